"""A mail in the bytes of the protocol, as one server takes it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import aiosmtplib

from publishers.base import Permanent
from publishers.smtp.addresses import with_ascii_domain
from schemas.messages import Mail

_USUAL = re.compile(r"[!-;=?-~]{1,254}")  # ASCII that can be seen, but for < and >
_NOT_IN_AN_ADDRESS = re.compile(r"[\x00-\x20\x7f<>]")
_ADDRESS_LIMIT = 254  # RFC 5321 §4.5.3.1.3: 256 with its brackets

OF_THE_SERVER = frozenset({"size", "8bit", "smtputf8"})
"""Codes of the refusals below that are about what a server offers: another may take the mail."""

Sign = Callable[[bytes], bytes]
"""Gives the whole content with its signatures before it."""


@dataclass(frozen=True, slots=True)
class Offers:
    """What a server said in its EHLO. ``size`` in octets, 0 for no limit, None when it does not say."""

    pipelining: bool
    size: int | None
    eight_bit: bool
    utf8: bool

    @classmethod
    def of(cls, connection: aiosmtplib.SMTP) -> "Offers":
        """The offers of a greeted connection."""
        size = connection.esmtp_extensions.get("size")
        return cls(
            pipelining=connection.supports_extension("pipelining"),
            size=None if size is None else int(size) if size.isdigit() else 0,
            eight_bit=connection.supports_extension("8bitmime"),
            utf8=connection.supports_extension("smtputf8"),
        )


class Letter(NamedTuple):
    """``envelope`` is the mail's MAIL, RCPT and DATA lines, ``content`` what follows, not dot-stuffed yet.

    ``ready``: it needs no dot-stuffing (schemas.messages.is_ready).
    """

    mail: Mail
    envelope: bytes
    content: bytes
    ready: bool = False


def letter(mail: Mail, offers: Offers, sign: Sign | None = None) -> Letter:
    """The mail for a server of these offers. Raises Permanent for one that can't be sent there as it is.

    Nothing that could be read as another command, or as the end of another mail, gets past here; a content that
    was made ready is taken at its word, unless it is signed.
    """
    sender, recipient, international = mail.sender, mail.recipient, False
    if not (_USUAL.fullmatch(sender) and _USUAL.fullmatch(recipient)):
        sender, recipient = _address("sender", sender), _address("recipient", recipient)
        international = not (sender.isascii() and recipient.isascii())
        if not recipient:
            raise Permanent("the mail has no recipient")
    content = mail.content
    ready = mail.ready and sign is None
    if not ready:
        _check_line_ends(content)
    if sign is not None:
        content = sign(content)
    size = len(content)
    if offers.size and size > offers.size:
        raise Permanent(f"the mail is larger ({size} bytes) than the mail server takes ({offers.size})", code="size")
    parameters = f" SIZE={size}" if offers.size is not None else ""
    if not (ready or content.isascii()):
        if not offers.eight_bit:
            raise Permanent("the mail has 8-bit content, which the mail server does not take (8BITMIME)", code="8bit")
        parameters += " BODY=8BITMIME"
        international = international or not content.partition(b"\r\n\r\n")[0].isascii()
    if international:
        if not offers.utf8:
            what = "the address has letters beyond ASCII before its @, which the mail server does not take (SMTPUTF8)"
            raise Permanent(what, code="smtputf8")
        parameters += " SMTPUTF8"
    envelope = f"MAIL FROM:<{sender}>{parameters}\r\nRCPT TO:<{recipient}>\r\nDATA\r\n".encode()
    return Letter(mail, envelope, content, ready)


def _check_line_ends(content: bytes) -> None:
    lines = content.count(b"\r\n")
    if content.count(b"\n") != lines or content.count(b"\r") != lines:
        # servers differ in what a lone CR or LF ends: the way one mail smuggles in another
        raise Permanent("the mail has a line end that is not CRLF")


def _address(what: str, address: str) -> str:
    """The address as it goes into the envelope. Raises Permanent for one that can't."""
    shown = address
    if not address.isascii():
        try:
            address = with_ascii_domain(address)
        except ValueError as error:
            raise Permanent(f"the {what} is not an address that can be sent to: {error}") from error
    if _NOT_IN_AN_ADDRESS.search(address) or len(address.encode()) > _ADDRESS_LIMIT:
        raise Permanent(f"the {what} is not an address that can be sent to: {shown[:80]!r}")
    return address
