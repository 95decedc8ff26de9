"""What X makes of a text and of a request: short addresses, weights, the signature of OAuth 1.0a (RFC 5849)."""

import base64
import hashlib
import hmac
import html
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from sandbox.journal import Line

MAX_WEIGHT = 280
ADDRESS = 23

_URL = re.compile(r"https?://[^\s<>\"]+[^\s<>\".,;:!?)»]")
_EMOJI = re.compile(
    "(?:[\U0001f1e6-\U0001f1ff]{2}|[#*0-9]\ufe0f?\u20e3|"
    "[\u203c-\u3299\U0001f000-\U0001faff][\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]*"
    "(?:\u200d[\u203c-\u3299\U0001f000-\U0001faff][\ufe0f\U0001f3fb-\U0001f3ff]*)*)"
)
_LIGHT = ((0, 4351), (8192, 8205), (8208, 8223), (8242, 8247))


def weight(text: str) -> int:
    """About what X counts (docs.x.com, "Counting characters"); never more, so that nothing X takes is refused."""
    spared = _EMOJI.sub("日", _URL.sub(lambda found: "x" * min(ADDRESS, len(found[0])), text))
    return sum(1 if any(low <= ord(each) <= high for low, high in _LIGHT) else 2 for each in spared)


def shown(line: Line, site: str) -> tuple[str, list[dict[str, Any]]]:
    """A post's text as X gives it back, and its entities: every address a t.co one, ``&``, ``<``, ``>`` escaped."""
    text, urls = line["text"], []
    for address in dict.fromkeys(_URL.findall(text)):
        short = _short(address)
        text = text.replace(address, short)
        urls.append({"url": short, "expanded_url": address, "display_url": address.split("://", 1)[1]})
    text = html.escape(text, quote=False)
    for number, picture in enumerate(line.get("pictures") or []):
        page = f"{site}/i/web/status/{line['id']}/photo/1"
        short = _short(page)
        if number == 0:
            text = f"{text} {short}".lstrip()
        urls.append({"url": short, "expanded_url": page, "media_key": f"3_{picture['digest'][:12]}"})
    placed = [
        {"start": text.find(each["url"]), "end": text.find(each["url"]) + len(each["url"]), **each} for each in urls
    ]
    return text, placed


def _short(address: str) -> str:
    digest = hashlib.blake2b(address.encode(), digest_size=8).digest()
    return "https://t.co/" + base64.b32encode(digest).decode().rstrip("=").lower()[:10]


def signed_with(header: str) -> dict[str, str]:
    """The parameters of an Authorization header of OAuth 1.0a."""
    pairs = (pair.strip().partition("=") for pair in header.partition(" ")[2].split(","))
    return {name: unquote(value.strip('"')) for name, _, value in pairs if name}


def signature(method: str, url: str, query: str, given: Mapping[str, str], secrets: Iterable[str]) -> str:
    """What ``oauth_signature`` must be (RFC 5849, 3.4): HMAC-SHA1 under the application's and the account's secret."""
    own = [(name, value) for name, value in given.items() if name.startswith("oauth_") and name != "oauth_signature"]
    pairs = sorted(
        (_escaped(name), _escaped(value)) for name, value in [*own, *parse_qsl(query, keep_blank_values=True)]
    )
    base = "&".join((method.upper(), _escaped(url), _escaped("&".join(f"{name}={value}" for name, value in pairs))))
    key = "&".join(map(_escaped, secrets))
    return base64.b64encode(hmac.new(key.encode(), base.encode(), hashlib.sha1).digest()).decode()


def _escaped(text: str) -> str:
    return quote(text, safe="-._~")
