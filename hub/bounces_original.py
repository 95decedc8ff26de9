"""Whose mail came back, when the address that it came back to does not say.

Two names of ours stand in a returned mail. Its Message-ID begins with the key of the attempt: that finds the
delivery, and proves nothing, since everybody who has seen the mail can write it. Its envelope sender (VERP)
carries the key under our signature: who shows that has had the mail, or speaks for whom has.
"""

import re

from hub import bounces_mail as reading
from hub.addresses import Signer

_KEY = r"[0-9a-f]{1,16}-[0-9a-f]{1,16}\.[1-9]\d{0,2}"
_HEADER = re.compile(
    rb"^[ \t>]{0,20}(?:x-(?:original-)?|original-)?(?:message-id|in-reply-to|references)[ \t]*:"
    rb"([^\r\n]*(?:\r?\n[ \t][^\r\n]*){0,20})",
    re.IGNORECASE | re.MULTILINE,
)
_ID = re.compile(rf"<({_KEY})@[^<>\s]{{1,255}}>".encode(), re.IGNORECASE)
_SENDER = re.compile(rf"b-{_KEY}-[a-z2-7]{{16}}@".encode(), re.IGNORECASE)
_SENDERS_LIMIT = 20


def original_key(content: bytes) -> str | None:
    """The key of the attempt whose mail is returned, by its Message-ID; it finds a delivery and proves nothing.

    Looked for in the returned headers and in those that refer to it (In-Reply-To, References, and the
    X-Original-Message-ID of some reports).
    """
    for header in _HEADER.finditer(content[: reading.CONTENT_LIMIT]):
        if (found := _ID.search(header[1][:2000])) is not None:
            return found[1].decode().lower()
    return None


def signed_key(content: bytes, signer: Signer) -> str | None:
    """The key in the first envelope sender of ours that a report quotes and that bears our signature, else None."""
    for count, found in enumerate(_SENDER.finditer(content[: reading.CONTENT_LIMIT])):
        if count >= _SENDERS_LIMIT:
            return None
        if (key := signer.bounced_key(found[0].decode())) is not None:
            return key
    return None
