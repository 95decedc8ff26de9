"""A message as the submit_sm that carry it (SMPP 3.4, 4.4.1)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from publishers.base import Permanent, Transient, Untried
from publishers.smpp.gsm import encode
from publishers.smpp.ids import digits
from publishers.smpp.marks import mark, message_reference
from publishers.smpp.options import SmppOptions
from publishers.smpp.pdus import TAGS
from publishers.sms.text import split
from schemas.messages import Text

log = structlog.get_logger(__name__)

_E164 = re.compile(r"\+[1-9]\d{6,14}")
_ALPHANUMERIC = re.compile(r"(?=.*[A-Za-z])[ -~]{1,11}")
_SHORT = re.compile(r"\d{3,8}")

_UDHI = 0x40
_DELIVERY = {"none": 0, "final": 1, "failure": 2}

INTERNATIONAL, NETWORK, ALPHANUMERIC = 1, 3, 5
ISDN = 1
_LONGEST_RELATIVE = timedelta(days=28)
"""A relative time counts in calendar months from there on; no SMSC keeps a message for half as long."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address as SMPP writes it: no plus."""

    ton: int
    npi: int
    digits: str


@dataclass(frozen=True, slots=True)
class Submit:
    """Fields of one submit_sm, by smpplib's names, and optional parameters by tag."""

    fields: Mapping[str, Any]
    tlvs: Mapping[int, bytes]


def submits(message: Text, options: SmppOptions, now: datetime) -> tuple[Submit, ...]:
    """One for each part, in order.

    Raises Permanent for what can't be sent at all, Transient when the sender must be mended, Untried once expired.
    """
    if not _E164.fullmatch(message.recipient):
        raise Permanent("this is not an E.164 number", code="invalid_number", address_dead=True)
    validity = ""
    if message.expires is not None:
        left = message.expires - now
        if left < timedelta(seconds=1):
            # Untried, not Permanent: the hub then finds it expired by its own clock, and says so in its own words
            raise Untried("expired before it was handed over", code="expired")
        validity = relative(left) if options.validity == "relative" else absolute(message.expires)
    _check_length(message.text, options)
    encoded = encode(message.text, message.key, options.long_messages)
    source = source_of(message.sender, options)
    fields = {
        "service_type": options.service_type or "",
        "source_addr_ton": source.ton,
        "source_addr_npi": source.npi,
        "source_addr": source.digits,
        "dest_addr_ton": INTERNATIONAL if options.destination_ton is None else options.destination_ton,
        "dest_addr_npi": ISDN if options.destination_npi is None else options.destination_npi,
        "destination_addr": digits(message.recipient),
        "esm_class": _UDHI if encoded.has_headers else 0,
        "validity_period": validity,
        "registered_delivery": _DELIVERY[options.registered_delivery],
        "data_coding": encoded.data_coding,
    }
    total = len(encoded.parts)
    return tuple(
        Submit(
            fields | ({} if encoded.payload else {"short_message": octets}),
            _parameters(message.key, total, number, options)
            | ({TAGS["message_payload"]: octets} if encoded.payload else {}),
        )
        for number, octets in enumerate(encoded.parts, 1)
    )


def _check_length(text: str, options: SmppOptions) -> None:
    segments = len(split(text))
    if segments > options.max_parts:
        reason = f"the text makes {segments} messages, more than the {options.max_parts} allowed"
        raise Permanent(reason, code="too_long")


def _parameters(key: str, total: int, number: int, options: SmppOptions) -> dict[int, bytes]:
    parameters: dict[int, bytes] = {}
    if options.message_reference:
        parameters[TAGS["user_message_reference"]] = message_reference(key, total, number).to_bytes(2, "big")
    if options.key_tag is not None:
        parameters[options.key_tag] = mark(key, total, number).encode() + b"\0"
    return parameters


def source_of(sender: str, options: SmppOptions) -> Address:
    """The sender as SMPP writes it. Raises Transient when nobody could send under it."""
    if _E164.fullmatch(sender):
        ton, npi, address = INTERNATIONAL, ISDN, digits(sender)
    elif _SHORT.fullmatch(sender):
        ton, npi, address = NETWORK, 0, sender
    elif _ALPHANUMERIC.fullmatch(sender):
        ton, npi, address = ALPHANUMERIC, 0, sender
    else:
        # Waits: the sender is the authority's setting, the same for all its messages
        log.error("smpp.settings_fault", code="invalid_sender", sender=sender)
        raise Transient("the sender is neither a number nor 1 to 11 letters and digits", code="invalid_sender")
    return Address(
        ton if options.source_ton is None else options.source_ton,
        npi if options.source_npi is None else options.source_npi,
        address,
    )


def relative(left: timedelta) -> str:
    """``YYMMDDhhmmss000R``: so long from now (7.1.1)."""
    seconds = int(min(left, _LONGEST_RELATIVE).total_seconds())
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    return f"0000{days:02}{hours:02}{rest // 60:02}{rest % 60:02}000R"


def absolute(moment: datetime) -> str:
    """``YYMMDDhhmmsstnnp`` in UTC, with its tenth of a second (7.1.1)."""
    utc = moment.astimezone(UTC)
    return f"{utc:%y%m%d%H%M%S}{utc.microsecond // 100_000}00+"
