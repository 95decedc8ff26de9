"""Reading a mail of strangers, whatever it claims to be: its parts, its own text, its subject, addresses in it."""

import email
import html
import re
from collections.abc import Iterator
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message

from hub import bounces_phrases as phrases

CONTENT_LIMIT = 262_144
"""Bytes read of one mail; what matters stands before the returned original."""
TEXT_LIMIT = 32_768
PARTS_LIMIT = 100
_NESTED_LIMIT = 8

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_TAG = re.compile(r"<[^<>]{0,2000}>")
_LINE_TAG = re.compile(r"<(?:br|/p|/div|/tr|/li|/h\d)\b[^<>]{0,200}>", re.IGNORECASE)
_HIDDEN = re.compile(r"<(style|script|head)\b.{0,20000}?</\1>", re.IGNORECASE | re.DOTALL)
_ORIGINALS = ("message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/partial", "message/global")


def parse(content: bytes) -> Message:
    """The mail, its bare 8-bit headers made ordinary text: where they are, the parser gives unexpected objects."""
    mail = email.message_from_bytes(content[:CONTENT_LIMIT])
    raw = {name.lower(): value for name, value in reversed(list(mail.raw_items()))}
    for name in ("from", "to", "subject", "return-path", "delivered-to", "x-failed-recipients"):
        value = raw.get(name)
        if value is not None and not value.isascii():
            mail.replace_header(name, value.encode("ascii", "surrogateescape").decode("utf-8", "replace"))
    return mail


def parts_of(mail: Message, depth: int = 0) -> Iterator[Message]:
    """The parts of the mail itself, without those of a returned original."""
    if depth > _NESTED_LIMIT:
        return
    for index, part in enumerate(mail.get_payload() if mail.get_content_maintype() == "multipart" else ()):
        if index >= PARTS_LIMIT or not isinstance(part, Message):
            return
        yield part
        if part.get_content_maintype() == "multipart":
            yield from parts_of(part, depth + 1)


def is_original(part: Message) -> bool:
    """Whether a part carries the returned mail, or its headers."""
    return part.get_content_type() in _ORIGINALS


def text_of(part: Message) -> str:
    """A part as text, whatever it claims to be encoded in."""
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    payload = payload[: 2 * TEXT_LIMIT]
    japanese = ["iso-2022-jp"] if b"\x1b$" in payload else []  # never told by those who write it
    for charset in (part.get_content_charset() or "utf-8", *japanese, "utf-8", "cp932"):
        try:
            text = payload.decode(charset)
        except (LookupError, ValueError):  # no such charset, or not what it is
            continue
        if not (japanese and "\x1b$" in text):
            return text
    return payload.decode("utf-8", "replace")


def fields_text(part: Message) -> str:
    """The text of a part made of header-like fields, which the parser takes apart into messages of its own."""
    payload = part.get_payload()
    if not isinstance(payload, list):
        return text_of(part)
    text = "\n\n".join(str(item) for item in payload)
    if str(part.get("Content-Transfer-Encoding", "")).strip().lower() in ("base64", "quoted-printable"):
        # RFC 3464 §2.1.1 forbids it; some encode all the same
        encoded = Message()
        encoded["Content-Transfer-Encoding"] = part["Content-Transfer-Encoding"]
        encoded.set_payload(text.strip())
        return text_of(encoded) or text
    return text


def own_text(mail: Message, parts: list[Message]) -> str:
    """The text that the sender wrote, up to the returned original."""
    plain = [part for part in parts or [mail] if part.get_content_type() == "text/plain"]
    texts = [text for part in plain[:3] if (text := _before_original(text_of(part))).strip()]
    if texts:
        # the reason may stand in a second part, after a polite first one
        return next((text for text in texts if phrases.SAYS_BOUNCE.search(" ".join(text.split()))), texts[0])
    for part in parts or [mail]:
        if part.get_content_type() == "text/html":
            text = _HIDDEN.sub(" ", text_of(part))
            return _before_original(html.unescape(_TAG.sub(" ", _LINE_TAG.sub("\n", text))))
    if parts or mail.get_content_maintype() in ("text", "multipart"):
        # a body that is no multipart though its header says so, and what else has text in it
        return _before_original(str(mail.get_payload())) if isinstance(mail.get_payload(), str) else ""
    return ""


def _before_original(text: str) -> str:
    text = text[:TEXT_LIMIT]
    for pattern in (phrases.ORIGINAL, phrases.ORIGINAL_HEADERS):
        cut = pattern.search(text)
        if cut is not None:
            text = text[: cut.start()]
    return text


def subject_of(mail: Message) -> str:
    """The subject, decoded if it can be, at most 500 characters."""
    return decoded(str(mail.get("Subject", ""))[:2000])[:500]


def decoded(raw: str) -> str:
    """A header's encoded words (RFC 2047) as text; as it stands when they can't be read."""
    try:
        return str(make_header(decode_header(raw)))
    except (LookupError, ValueError, MessageError):
        return raw


def header(mail: Message, name: str) -> str:
    """A header's value in lower case, stripped; empty when it is not there."""
    return str(mail.get(name, ""))[:1000].strip().lower()


def addresses(text: str) -> list[str]:
    """Mail addresses in a text, each once, in order."""
    return list(dict.fromkeys(_ADDRESS.findall(text[:TEXT_LIMIT])))


def without_addresses(text: str) -> str:
    """A server's words with every mail address left out: facts are kept longer than people's addresses."""
    return _ADDRESS.sub("…", text)
