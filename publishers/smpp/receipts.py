"""What an SMSC tells later: receipts in their dialects, and texts that people send us. Functions of values.

A receipt is a deliver_sm (some send data_sm) of message type "delivery receipt" whose text is, by custom only
(SMPP 3.4, appendix B), ``id:… sub:… dlvrd:… submit date:… done date:… stat:… err:… text:…``. Fields are missing,
differ in case, order and spelling ("submitdate:"), or stand in optional parameters instead.
"""

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from types import MappingProxyType

import structlog

from publishers.base import Incoming
from publishers.smpp.gsm import GSM, decode
from publishers.smpp.ids import Dialect, digits, of_receipt, reference
from publishers.smpp.marks import Part, part_of_mark, part_of_reference
from publishers.smpp.pdus import TAGS, Pdu
from schemas.webhooks import SmsInbound, SmsReceipt, dump

log = structlog.get_logger(__name__)

_TYPE = 0x3C
_RECEIPT, _INTERMEDIATE = 0x04, 0x20
_UDHI = 0x40

WORDS: Mapping[str, str] = MappingProxyType(
    {
        "DELIVRD": "delivered",
        "DELIVERED": "delivered",
        "UNDELIV": "undelivered",
        "UNDELIVERABLE": "undelivered",
        "UNDELIVERED": "undelivered",
        "FAILED": "failed",
        "EXPIRED": "expired",
        "DELETED": "failed",  # by the operator, before it reached anybody
        "REJECTD": "rejected",
        "REJECTED": "rejected",
        "SKIPPED": "failed",
        "ACCEPTD": "accepted",  # read on somebody's behalf: proves no handset
        "ACCEPTED": "accepted",
        "ENROUTE": "buffered",
        "SCHEDULED": "buffered",
        "BUFFERED": "buffered",
        "UNKNOWN": "unknown",  # the SMSC lost track: proves nothing
    }
)
"""``stat`` → the common form's word (schemas.webhooks.STATES)."""

STATES: Mapping[int, str] = MappingProxyType(
    {0: "buffered", 1: "buffered", 2: "delivered", 3: "expired", 4: "failed", 5: "undelivered"}
    | {6: "accepted", 7: "unknown", 8: "rejected", 9: "failed"}
)
"""message_state (5.2.28; 0 and 9 from version 5.0) → the same words."""

FINAL = frozenset({"delivered", "undelivered", "failed", "expired", "rejected"})

_NO_SUBSCRIBER = b"\x03\x00\x01"
"""network_error_code of a GSM network (5.3.2.31) whose register has no such number (3GPP TS 29.002, 17.6.6:
unknownSubscriber). The text's ``err`` is each vendor's own, and proves nothing of the kind."""

_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "undelivered": "the operator could not deliver it to this number",
        "expired": "the telephone could not be reached before the message was too old",
        "rejected": "the operator refused it",
        "failed": "the operator gave it up",
    }
)

_FIELD = re.compile(r"(?<![^\s,;])(id|sub|dlvrd|submit[ _]?date|done[ _]?date|stat|err|text)\s*:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Told:
    """What a receipt says of one message or part. ``sender`` and ``recipient`` are digits or letters as it has them.

    ``id`` is of our form (publishers.smpp.ids). ``key`` is ours, ``part`` which of several this is about, when the
    SMSC gave them back. ``address_dead``: the network has no such number.
    """

    id: str
    status: str
    recipient: str
    at: datetime | None = None
    sender: str = ""
    error: str | None = None
    key: str | None = None
    part: Part | None = None
    address_dead: bool = False


def is_receipt(pdu: Pdu) -> bool:
    """Whether this is about a message of ours.

    Text that only looks like a receipt is not one: anybody can send that from a telephone. Some SMSCs mark
    nothing, but then name the message in receipted_message_id, which no telephone can.
    """
    kind = pdu.number("esm_class") & _TYPE
    return kind in (_RECEIPT, _INTERMEDIATE) or (kind == 0 and TAGS["receipted_message_id"] in pdu.tlvs)


def fields_of(text: str) -> dict[str, str]:
    """The fields of a receipt's text by their usual names; the first of each counts.

    What follows ``text:`` is the message's own beginning and could hold anything: it is read last, for dialects
    that have it in another place.
    """
    marks = list(_FIELD.finditer(text))
    found: dict[str, str] = {}
    for mark, following in zip_longest(marks, marks[1:]):
        name = re.sub(r"(submit|done)[ _]?date", r"\1 date", mark[1].lower())
        end = following.start() if following and name != "text" else len(text)
        found.setdefault(name, text[mark.end() : end].strip(" \t\r\n,;\0"))
    return found


def read(pdu: Pdu, dialect: Dialect, key_tag: int | None) -> Told | None:
    """What a receipt says; None when it names no message or no state."""
    # said to be in the SMSC's alphabet and written in ASCII, where "_" would be read as "§"
    words = fields_of(_octets(pdu).decode("latin-1") if pdu.number("data_coding") == GSM else text_of(pdu))
    identity = of_receipt(words.get("id"), pdu.tlv_text(TAGS["receipted_message_id"]), dialect)
    status = _status(pdu.tlv_number(TAGS["message_state"]), words.get("stat"))
    if not identity or status is None:
        return None
    key, part = _marks(pdu, key_tag)
    network = pdu.tlvs.get(TAGS["network_error_code"])
    return Told(
        id=identity,
        status=status,
        at=moment(words.get("done date")),
        recipient=digits(pdu.text("source_addr")),
        sender=pdu.text("destination_addr"),
        error=_error(words.get("err"), network) if status != "delivered" else None,
        key=key,
        part=part,
        address_dead=status in _REASONS and network == _NO_SUBSCRIBER,
    )


def _marks(pdu: Pdu, key_tag: int | None) -> tuple[str | None, Part | None]:
    """Our key and the part, from whichever mark came back."""
    if key_tag is not None and (text := pdu.tlv_text(key_tag)):
        return part_of_mark(text)
    reference = pdu.tlv_number(TAGS["user_message_reference"])
    return None, None if reference is None else part_of_reference(reference)


def _status(state: int | None, stat: str | None) -> str | None:
    if state is not None and state in STATES:
        return STATES[state]
    if not stat:
        return None
    word = WORDS.get(stat.split()[0].upper())
    if word is None:
        log.error("smpp.new_state", stat=stat[:40])
        return stat[:40].lower()  # kept under its own name, and proves nothing
    return word


def _error(err: str | None, network: bytes | None) -> str | None:
    if err and err.strip("0"):
        return err[:40]
    if network and len(network) == 3 and any(network[1:]):
        return f"{network[0]}:{int.from_bytes(network[1:], 'big')}"  # 5.3.2.31: network type, code
    return None


def moment(text: str | None) -> datetime | None:
    """``YYMMDDhhmm``, with seconds or a century or without, read as UTC (no SMSC says its zone); None otherwise."""
    for pattern in ("%y%m%d%H%M%S", "%y%m%d%H%M", "%Y%m%d%H%M%S"):
        number = re.sub(r"[^0-9]", "", text or "")
        if len(number) != {"%y%m%d%H%M%S": 12, "%y%m%d%H%M": 10, "%Y%m%d%H%M%S": 14}[pattern]:
            continue
        try:
            return datetime.strptime(number, pattern).replace(tzinfo=UTC)
        except ValueError:
            return None
    return None


def text_of(pdu: Pdu) -> str:
    """What the message says, wherever it carries it."""
    return decode(_octets(pdu), pdu.number("data_coding"), has_header=bool(pdu.number("esm_class") & _UDHI))


def _octets(pdu: Pdu) -> bytes:
    return pdu.octets("short_message") or pdu.tlvs.get(TAGS["message_payload"], b"")


def as_receipt(told: Told, dialect: Dialect, ids: tuple[str, ...] | None = None) -> Incoming:
    """In the common form. ``ids``: of all the parts, when this is about the whole message."""
    known_by = reference(ids or (told.id,), told.recipient, dialect) or told.id
    return Incoming("receipt", dump(said(told, known_by)), reference=known_by, hint=told.key)


def said(told: Told, reference: str) -> SmsReceipt:
    """The same in the common form, about the message that the hub knows by this reference."""
    return SmsReceipt(
        id=reference,
        client_reference=told.key,
        status=told.status,
        error=told.error,
        reason="the network has no such number" if told.address_dead else _REASONS.get(told.status),
        address_dead=told.address_dead,
        at=told.at,
    )


def as_unreadable(pdu: Pdu) -> Incoming:
    """A receipt that can't be understood: kept all the same, so that somebody can look at it."""
    body = {
        "type": "receipt",
        "unreadable": text_of(pdu),
        "from": pdu.text("source_addr"),
        "to": pdu.text("destination_addr"),
    }
    return Incoming("receipt", json.dumps(body).encode())


def as_inbound(pdu: Pdu, now: datetime) -> Incoming:
    """What a person wrote to one of our numbers.

    Each is an arrival of its own: SMPP gives no id, and a second STOP after a START must count. A repeat by the
    SMSC, after a lost acknowledgement, therefore counts twice, which changes nothing.
    """
    written = SmsInbound.model_validate(
        {
            "from": number_of(pdu.text("source_addr"), pdu.number("source_addr_ton")) or "unknown",
            "to": number_of(pdu.text("destination_addr"), pdu.number("dest_addr_ton")) or "unknown",
            "text": text_of(pdu),
            "at": now,
        }
    )
    return Incoming("inbound", dump(written), arrival=uuid.uuid4().hex)


def number_of(address: str, ton: int) -> str:
    """E.164 where the address is one; short codes and names as they are.

    Type of number 1 says international; under 0 a long number without a leading zero is one in practice.
    """
    bare = address.strip().removeprefix("00")
    if bare.isdigit() and not bare.startswith("0") and (ton == 1 or (ton == 0 and len(bare) >= 10)):
        return f"+{bare}"
    return bare
