"""One mail as ready bytes, into which each recipient's slots are spliced.

Everything that is the same for all readers (headers, both bodies, their quoted-printable encoding) is made once
for each announcement version and language. A recipient then costs one bytes formatting: about 5 µs, where
rendering and encoding each mail anew costs 2,500.

The hard part is that a slot must not disturb the encoding around it. In a body every slot stands between two
soft line breaks (RFC 2045, section 6.7, rule 5), so it begins at column 0 and the text around it never needs
re-encoding; in a header it stands on a line of its own.

No line of a body begins with a dot: such a dot is encoded, so that SMTP needs to double none.
"""

import base64
import binascii
import html
import re
import secrets
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from operator import itemgetter

from publishers.smtp.addresses import with_ascii_domain
from schemas.messages import is_ready

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MESSAGE_ID = re.compile(rf"(?=.{{3,250}}\Z){_ATOM}(?:\.{_ATOM})*@{_ATOM}(?:\.{_ATOM})*")
_URL = re.compile(r"(?=.{8,900}\Z)https?://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_LOOKS_ENCODED = "=?"  # begins an encoded word (RFC 2047): many readers decode it even where it is not one

_CID = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?(?:@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,62}[A-Za-z0-9])?)?"
)
_CID_IN_PAGE = re.compile(r"\bsrc=[\"']cid:([^\"']*)[\"']", re.IGNORECASE)

# "=_" cannot occur in a quoted-printable body (RFC 2045, section 6.7), so no text can forge the boundary
_BOUNDARY = b"=_tambour_alternative"
_RELATED = b"=_tambour_related"

IMAGE_TYPES = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif"}
"""What every mail program shows; WebP and SVG many don't."""
IMAGES_LIMIT = 1_000_000
"""Bytes of all images of one mail: they travel once for each reader."""


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

    ``recipient`` is an address (RFC 5321 Dot-string), at most 254 octets. Its domain may be written in letters
    beyond ASCII, and stands in the To header as A-labels; the part before the @ may, too, and makes the mail one
    for servers that know SMTPUTF8. ``message_id`` stands without its angle brackets; ``unsubscribe_url`` is an
    absolute http(s) address of at most 900 characters, which goes into List-Unsubscribe and into both bodies.
    """

    recipient: str
    message_id: str
    unsubscribe_url: str

    def __post_init__(self) -> None:
        if not _is_address(self.recipient):
            raise BadSlot("recipient", self.recipient, "is not a mail address (name@domain)")
        if not _MESSAGE_ID.fullmatch(self.message_id):
            raise BadSlot("message_id", self.message_id, "is not of the form left@right, without brackets")
        if not _URL.fullmatch(self.unsubscribe_url):
            raise BadSlot("unsubscribe_url", self.unsubscribe_url, "is not an http(s) address in ASCII")
        if _LOOKS_ENCODED in self.recipient or _LOOKS_ENCODED in self.unsubscribe_url:
            where = "recipient" if _LOOKS_ENCODED in self.recipient else "unsubscribe_url"
            raise BadSlot(where, getattr(self, where), 'holds "=?", which mail programs would decode')


def _is_address(address: str) -> bool:
    local, _, domain = address.rpartition("@")
    plain = "".join("a" if not char.isascii() and unicodedata.category(char)[0] in "LMN" else char for char in local)
    if not _LOCAL.fullmatch(plain) or len(local.encode()) > 64:
        return False
    try:
        _, _, domain = with_ascii_domain(address).rpartition("@")
    except ValueError:
        return False
    return _DOMAIN.fullmatch(domain) is not None and len(local.encode()) + 1 + len(domain) <= 254


@dataclass(frozen=True, slots=True)
class InlineImage:
    """A picture within the mail, which the page shows as ``<img src="cid:…">``. Checked when made: ValueError.

    ``cid`` of letters, digits, ``.``, ``_`` and ``-``, with or without ``@domain``.
    """

    cid: str
    content: bytes
    media_type: str

    def __post_init__(self) -> None:
        if not _CID.fullmatch(self.cid):
            raise ValueError(f"{self.cid!r} can't be the content id of an image")
        if self.media_type not in IMAGE_TYPES:
            raise ValueError(f"an image in a mail is one of {', '.join(IMAGE_TYPES)}, not {self.media_type}")
        if not self.content:
            raise ValueError(f"the image {self.cid} is empty")


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
    """A mail with holes. Make it with ``compose``; it is immutable and may be shared between tasks.

    ``ready``: spliced for an address in ASCII, it is a content that is_ready. Found once, on the form: no slot's
    value brings a line end of its own but soft breaks, and none begins a line with a dot.
    """

    form: bytes
    pick: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]
    ready: bool

    def splice(self, slots: MailSlots) -> bytes:
        """The whole MIME message of one recipient, CRLF line ends, not dot-stuffed.

        ASCII bytes, but for a To whose part before the @ is not (RFC 6532, in UTF-8).
        """
        recipient, url = slots.recipient, slots.unsubscribe_url
        return self.form % self.pick(
            (
                (recipient if recipient.isascii() else with_ascii_domain(recipient)).encode(),
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


def compose(
    headers: Headers, text: str, page: str, placeholders: Placeholders, images: Sequence[InlineImage] = ()
) -> MailTemplate:
    """The mail of these headers, plain text and HTML page, whose placeholders become slots, with its images.

    Raises ValueError when a body leaves the unsubscribe link out (every reader can always leave), and when the
    images are not those that the page shows, or are too large together.
    """
    _check_images(page, images)
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
            b"\r\n--" + _BOUNDARY + b"\r\n" + _readable(b"plain", plain),
            b"\r\n--" + _BOUNDARY + b"\r\n" + _with_images(_readable(b"html", rich), images),
            b"\r\n--" + _BOUNDARY + b"--\r\n",
        )
    )
    return MailTemplate(form, itemgetter(*order), is_ready(form))


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


def _readable(subtype: bytes, body: bytes) -> bytes:
    return (
        b"Content-Type: text/" + subtype + b"; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + body
    )


def _check_images(page: str, images: Sequence[InlineImage]) -> None:
    given, shown = [image.cid for image in images], set(_CID_IN_PAGE.findall(page))
    if len(given) != len(set(given)):
        raise ValueError("two images have the same content id")
    for cid in sorted(shown.symmetric_difference(given)):
        what = "the mail does not carry the image" if cid in shown else "the page does not show the image"
        raise ValueError(f"{what} {cid}")
    if (size := sum(len(image.content) for image in images)) > IMAGES_LIMIT:
        raise ValueError(f"the images are too large together: {size} bytes, at most {IMAGES_LIMIT}")


def _with_images(part: bytes, images: Sequence[InlineImage]) -> bytes:
    """The page's part with its images beside it (multipart/related, RFC 2387); alone when there are none."""
    if not images:
        return part
    head = b'Content-Type: multipart/related; type="text/html";\r\n boundary="' + _RELATED + b'"\r\n'
    parts = [part, *map(_image, images)]
    return head + b"".join(b"\r\n--" + _RELATED + b"\r\n" + one for one in parts) + b"\r\n--" + _RELATED + b"--\r\n"


def _image(image: InlineImage) -> bytes:
    name = f"{image.cid.partition('@')[0]}.{IMAGE_TYPES[image.media_type]}"
    head = (
        f"Content-Type: {image.media_type}\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        f"Content-ID: <{image.cid}>\r\n"
        f'Content-Disposition: inline; filename="{name}"\r\n\r\n'
    )
    return head.encode() + base64.encodebytes(image.content).rstrip(b"\n").replace(b"\n", b"\r\n")


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
    return _undotted(_with_room(encoded.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")))  # soft breaks, too


def _quoted(value: str) -> bytes:
    raw = value.encode()
    if len(raw) < 76 and b"=" not in raw and raw.isascii():
        return raw
    return _undotted(_with_room(binascii.b2a_qp(raw).replace(b"\n", b"\r\n")))


def _undotted(encoded: bytes) -> bytes:
    """The same, no line of it beginning with a dot; neither a longer one than may be, nor a last one without room."""
    if encoded[:1] != b"." and b"\n." not in encoded:
        return encoded
    lines = encoded.split(b"\r\n")
    for place, line in enumerate(lines):
        begun = b""
        while line[:1] == b".":
            fits = len(line) + 2 < 76
            begun, line = begun + (b"=2E" if fits else b"=2E=\r\n"), line[1:]
            if fits:
                break
        lines[place] = begun + line
    return b"\r\n".join(lines)


def _with_room(encoded: bytes) -> bytes:
    """The same, its last line short enough for the soft break that follows it: 76 characters with its ``=``."""
    if len(encoded) - encoded.rfind(b"\n") - 1 < 76:
        return encoded
    cut = 3 if encoded[-3:-2] == b"=" else 1  # an escape stays whole
    return encoded[:-cut] + b"=\r\n" + encoded[-cut:]
