"""One mail as ready bytes, into which each recipient's slots are spliced.

Everything that is the same for all readers (headers, both bodies, their quoted-printable encoding) is made once
for each announcement version and language. A recipient then costs one bytes formatting: about 5 µs, where
rendering and encoding each mail anew costs 2,500.

The hard part is that a slot must not disturb the encoding around it. In a body every slot stands between two
soft line breaks (RFC 2045, section 6.7, rule 5), so it begins at column 0 and the text around it never needs
re-encoding; in a header it stands on a line of its own.
"""

import binascii
import html
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from operator import itemgetter

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_RECIPIENT = re.compile(rf"(?=.{{3,254}}\Z)(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")
_MESSAGE_ID = re.compile(rf"(?=.{{3,250}}\Z){_ATOM}(?:\.{_ATOM})*@{_ATOM}(?:\.{_ATOM})*")
_URL = re.compile(r"(?=.{8,900}\Z)https?://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_LOOKS_ENCODED = "=?"  # begins an encoded word (RFC 2047): many readers decode it even where it is not one

# "=_" cannot occur in a quoted-printable body (RFC 2045, section 6.7), so no text can forge the boundary
_BOUNDARY = b"=_tambour_alternative"


class BadSlot(ValueError):
    """A recipient's value that cannot stand in a mail: ``slot`` names the field, ``value`` is what it held."""

    def __init__(self, slot: str, value: str, reason: str) -> None:
        super().__init__(f"{slot} {value!r} {reason}")
        self.slot = slot
        self.value = value
        self.reason = reason


@dataclass(frozen=True, slots=True)
class MailSlots:
    """What differs from one recipient to the next. Checked when made: raises BadSlot.

    ``recipient`` is an ASCII address (RFC 5321 Dot-string, the domain in its A-label form), at most 254
    characters; ``message_id`` stands without its angle brackets; ``unsubscribe_url`` is an absolute http(s)
    address of at most 900 characters, which goes into List-Unsubscribe and into both bodies.
    """

    recipient: str
    message_id: str
    unsubscribe_url: str

    def __post_init__(self) -> None:
        if not _RECIPIENT.fullmatch(self.recipient):
            raise BadSlot("recipient", self.recipient, "is not a mail address in ASCII (name@domain)")
        if not _MESSAGE_ID.fullmatch(self.message_id):
            raise BadSlot("message_id", self.message_id, "is not of the form left@right, without brackets")
        if not _URL.fullmatch(self.unsubscribe_url):
            raise BadSlot("unsubscribe_url", self.unsubscribe_url, "is not an http(s) address in ASCII")
        if _LOOKS_ENCODED in self.recipient or _LOOKS_ENCODED in self.unsubscribe_url:
            where = "recipient" if _LOOKS_ENCODED in self.recipient else "unsubscribe_url"
            raise BadSlot(where, getattr(self, where), 'holds "=?", which mail programs would decode')


@dataclass(frozen=True, slots=True)
class Placeholders:
    """Words that stand for the slots while the bodies are rendered; random, so that no text can forge them."""

    recipient: str
    unsubscribe_url: str

    @classmethod
    def fresh(cls) -> "Placeholders":
        """Placeholders for one rendering."""
        nonce = secrets.token_hex(16)
        return cls(f"recipient-{nonce}", f"unsubscribe-{nonce}")


@dataclass(frozen=True, slots=True)
class Headers:
    """The headers that all readers of one mail share."""

    from_name: str
    from_address: str
    reply_to: str | None
    subject: str
    date: datetime
    list_id: str
    language: str


@dataclass(frozen=True, slots=True)
class MailTemplate:
    """A mail with holes. Make it with ``compose``; it is immutable and may be shared between tasks."""

    form: bytes
    pick: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]

    def splice(self, slots: MailSlots) -> bytes:
        """The whole MIME message of one recipient: ASCII bytes, CRLF line ends, not dot-stuffed."""
        recipient, url = slots.recipient, slots.unsubscribe_url
        return self.form % self.pick(
            (
                recipient.encode(),
                slots.message_id.encode(),
                url.encode(),
                _quoted(recipient),
                _quoted(url),
                _quoted(html.escape(recipient)),
                _quoted(html.escape(url)),
            )
        )


# positions in the tuple that splice builds
_TO, _ID, _URL_HEADER, _RECIPIENT_TEXT, _URL_TEXT, _RECIPIENT_HTML, _URL_HTML = range(7)


def compose(headers: Headers, text: str, page: str, placeholders: Placeholders) -> MailTemplate:
    """The mail of these headers, plain text and HTML page, whose placeholders become slots.

    Raises ValueError when a body leaves the unsubscribe link out: every reader can always leave.
    """
    for name, body in (("text", text), ("HTML", page)):
        if placeholders.unsubscribe_url not in body:
            raise ValueError(f"the {name} body has no unsubscribe link")
    order = [_TO, _ID, _URL_HEADER]
    plain = _body(text, {placeholders.recipient: _RECIPIENT_TEXT, placeholders.unsubscribe_url: _URL_TEXT}, order)
    rich = _body(page, {placeholders.recipient: _RECIPIENT_HTML, placeholders.unsubscribe_url: _URL_HTML}, order)
    form = b"".join(
        (
            _shared(headers).replace(b"%", b"%%"),
            b"To: %b\r\nMessage-ID: <%b>\r\nList-Unsubscribe: <%b>\r\n",
            b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
            b"Auto-Submitted: auto-generated\r\n",
            b"MIME-Version: 1.0\r\n",
            b'Content-Type: multipart/alternative; boundary="' + _BOUNDARY + b'"\r\n',
            _part(b"plain", plain),
            _part(b"html", rich),
            b"\r\n--" + _BOUNDARY + b"--\r\n",
        )
    )
    return MailTemplate(form, itemgetter(*order))


def _shared(headers: Headers) -> bytes:
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = Address(headers.from_name, addr_spec=headers.from_address)
    if headers.reply_to:
        message["Reply-To"] = Address(addr_spec=headers.reply_to)
    message["Subject"] = headers.subject
    message["Date"] = format_datetime(headers.date)
    message["List-Id"] = f"<{headers.list_id}>"
    message["Content-Language"] = headers.language
    return b"".join(policy.SMTP.fold_binary(name, value) for name, value in message.items())


def _part(subtype: bytes, body: bytes) -> bytes:
    return (
        b"\r\n--" + _BOUNDARY + b"\r\nContent-Type: text/" + subtype + b"; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + body
    )


def _body(text: str, slots: dict[str, int], order: list[int]) -> bytes:
    """``text`` in quoted-printable with a %b for each slot; appends the slots met to ``order``."""
    pieces = []
    for piece in re.split(f"({'|'.join(map(re.escape, slots))})", text):
        if piece in slots:
            order.append(slots[piece])
            pieces.append(b"=\r\n%b=\r\n")
        elif piece:
            pieces.append(_literal(piece).replace(b"%", b"%%"))
    return b"".join(pieces)


def _literal(text: str) -> bytes:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    encoded = binascii.b2a_qp(lines.encode(), istext=True)
    return _with_room(encoded.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))  # soft breaks, too, end in CRLF


def _quoted(value: str) -> bytes:
    raw = value.encode()
    if len(raw) < 76 and b"=" not in raw:
        return raw
    return _with_room(binascii.b2a_qp(raw).replace(b"\n", b"\r\n"))


def _with_room(encoded: bytes) -> bytes:
    """The same, its last line short enough for the soft break that follows it: 76 characters with its ``=``."""
    if len(encoded) - encoded.rfind(b"\n") - 1 < 76:
        return encoded
    cut = 3 if encoded[-3:-2] == b"=" else 1  # an escape stays whole
    return encoded[:-cut] + b"=\r\n" + encoded[-cut:]
