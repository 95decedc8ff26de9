"""The signature of a request under OAuth 1.0a (RFC 5849, 3; docs.x.com, "Creating a signature").

oauthlib, which tweepy uses for this, writes token, parameters and signature into its debug log.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import quote


def authorization(
    method: str,
    url: str,
    query: Sequence[tuple[str, str]],
    *,
    key: tuple[str, str],
    token: tuple[str, str],
    nonce: str,
    timestamp: int,
) -> str:
    """The Authorization header of a request to ``url`` (without its query) whose body is not a form's fields.

    ``key`` and ``token``: name and secret of the application and of the account. ``nonce`` differs each time;
    ``timestamp`` in seconds since 1970.
    """
    own = {
        "oauth_consumer_key": key[0],
        "oauth_nonce": nonce,
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": str(timestamp),
        "oauth_token": token[0],
        "oauth_version": "1.0",
    }
    pairs = sorted((escaped(name), escaped(value)) for name, value in (*own.items(), *query))
    base = "&".join(map(escaped, (method.upper(), url, "&".join(f"{name}={value}" for name, value in pairs))))
    secret = f"{escaped(key[1])}&{escaped(token[1])}".encode()
    own["oauth_signature"] = base64.b64encode(hmac.new(secret, base.encode(), hashlib.sha1).digest()).decode()
    return "OAuth " + ", ".join(f'{name}="{escaped(value)}"' for name, value in sorted(own.items()))


def escaped(text: str) -> str:
    """Percent-encoded as the signature wants it (RFC 5849, 3.6)."""
    return quote(text, safe="-._~")
