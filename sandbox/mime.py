"""What a mail says, read forgivingly: a sandbox shows broken mails too."""

import re
from base64 import b64encode
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from urllib.parse import unquote

from sandbox.journal import Line

_HEADER = re.compile(rb"^([!-9;-~]+):[ \t]*([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", re.MULTILINE)
_CID = re.compile(r"(?<=[\"'(])cid:([^\"')\s]+)")  # RFC 2392, as the value of an attribute or in url()
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_SUMMARY = re.compile(rb"^(message-id|subject):[ \t]*([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is shown by name only; ``size`` in octets, decoded."""

    name: str
    kind: str
    size: int


@dataclass(frozen=True, slots=True)
class Bodies:
    """The parts of a mail; text and html are None when it has none."""

    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...]


def summary(content: bytes) -> Line:
    """message_id and subject (null when missing) and size in octets, without parsing the whole mail."""
    found: dict[bytes, bytes] = {}
    for name, value in _SUMMARY.findall(_head(content)):
        found.setdefault(name.lower(), value)
    identity, subject = found.get(b"message-id"), found.get(b"subject")
    return {
        "message_id": None if identity is None else _unfolded(identity),
        "subject": None if subject is None else decoded(_unfolded(subject)),
        "size": len(content),
    }


def headers(content: bytes) -> list[tuple[str, str]]:
    """All headers in order, unfolded and with encoded words decoded."""
    return [(name.decode("ascii"), decoded(_unfolded(value))) for name, value in _HEADER.findall(_head(content))]


def bodies(content: bytes) -> Bodies:
    """The first text part, the first HTML part with the pictures it has in the mail itself, and the rest by name."""
    text: str | None = None
    html: str | None = None
    attachments: list[Attachment] = []
    pictures: dict[str, str] = {}
    for part in message_from_bytes(content).walk():
        if part.is_multipart():
            continue
        kind, inline = part.get_content_type(), part.get_content_disposition() != "attachment"
        if kind == "text/plain" and inline and text is None:
            text = _text(part)
        elif kind == "text/html" and inline and html is None:
            html = _text(part)
        else:
            attachments.append(Attachment(decoded(part.get_filename() or kind), kind, len(_octets(part))))
            if kind in _PICTURES and (identity := part.get("Content-ID")):
                pictures[str(identity).strip().strip("<>")] = f"data:{kind};base64,{b64encode(_octets(part)).decode()}"
    if html is not None and pictures:
        html = _CID.sub(lambda found: pictures.get(unquote(found[1]), found[0]), html)
    return Bodies(text, html, tuple(attachments))


def decoded(text: str) -> str:
    """RFC 2047 encoded words as people read them; the text itself when they are broken."""
    if "=?" not in text:
        return text
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, ValueError):
        return text


def _head(content: bytes) -> bytes:
    end = content.find(b"\r\n\r\n")
    return content if end < 0 else content[: end + 2]


def _unfolded(value: bytes) -> str:
    return b" ".join(part.strip() for part in value.split(b"\r\n")).strip().decode("utf-8", "replace")


def _octets(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _text(part: Message) -> str:
    try:
        return _octets(part).decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:
        return _octets(part).decode("utf-8", "replace")
