"""SMPP 3.4 on the wire, as much as an SMSC needs (smpp.org, issue 1.2): PDUs, and texts in GSM 7-bit or UCS-2."""

import asyncio
import struct
from dataclasses import dataclass, field

BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER = 0x01, 0x02, 0x09
QUERY_SM, SUBMIT_SM, DELIVER_SM, UNBIND, ENQUIRE_LINK = 0x03, 0x04, 0x05, 0x06, 0x15
RESPONSE, GENERIC_NACK = 0x80000000, 0x80000000
BINDS = frozenset({BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER})

USER_MESSAGE_REFERENCE, RECEIPTED_MESSAGE_ID, MESSAGE_PAYLOAD, MESSAGE_STATE = 0x0204, 0x001E, 0x0424, 0x0427
CUSTOMER_REFERENCE = 0x1400
"""Of the range that is left to vendors: the sender's own name for the message, given back in its receipt."""

UDHI, RECEIPT = 0x40, 0x04
GSM, UCS2 = 0, 8

_CODES = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_ESCAPED = dict(zip(b"\x0a\x14\x28\x29\x2f\x3c\x3d\x3e\x40\x65", "\f^{}\\[~]|€", strict=True))


@dataclass(frozen=True, slots=True)
class Pdu:
    """A PDU as read."""

    command: int
    status: int
    sequence: int
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Submit:
    """What a submit_sm asks. ``octets`` are the text without its header; ``part`` is (reference, total, number)."""

    source: str
    source_ton: int
    source_npi: int
    number: str
    validity: str
    registered: int
    data_coding: int
    octets: bytes
    part: tuple[int, int, int] | None
    tlvs: dict[int, bytes] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What the octets say."""
        return decode(self.octets, self.data_coding)


class Fields:
    """Reads a body from its start. ValueError: it is shorter than it says."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def text(self) -> str:
        """A C-octet string."""
        end = self._body.index(b"\0", self._at)
        value, self._at = self._body[self._at : end], end + 1
        return value.decode("latin-1")

    def octet(self) -> int:
        """One octet."""
        return self.octets(1)[0]

    def octets(self, size: int) -> bytes:
        """As many octets."""
        value = self._body[self._at : self._at + size]
        if len(value) < size:
            raise ValueError("cut off")
        self._at += size
        return value

    def tlvs(self) -> dict[int, bytes]:
        """Everything that is left, as optional parameters."""
        found = {}
        while self._at < len(self._body):
            tag, size = struct.unpack(">HH", self.octets(4))
            found[tag] = self.octets(size)
        return found


async def read(reader: asyncio.StreamReader) -> Pdu | None:
    """The next PDU; None at the end of the connection. ValueError: it isn't one."""
    try:
        size, command, status, sequence = struct.unpack(">LLLL", await reader.readexactly(16))
        if not 16 <= size <= 80_000:
            raise ValueError(f"a PDU of {size} octets")
        return Pdu(command, status, sequence, await reader.readexactly(size - 16))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def pdu(command: int, sequence: int, status: int = 0, body: bytes = b"") -> bytes:
    """The octets of a PDU."""
    return struct.pack(">LLLL", 16 + len(body), command, status, sequence) + body


def text(value: str) -> bytes:
    """A C-octet string."""
    return value.encode("latin-1", "replace") + b"\0"


def tlv(tag: int, value: bytes) -> bytes:
    """An optional parameter."""
    return struct.pack(">HH", tag, len(value)) + value


def submit(body: bytes) -> Submit:
    """What a submit_sm asks. ValueError: it can't be read."""
    fields = Fields(body)
    fields.text()  # service_type
    source_ton, source_npi, source = fields.octet(), fields.octet(), fields.text()
    ton, _, number = fields.octet(), fields.octet(), fields.text()
    esm_class, _, _, _ = fields.octet(), fields.octet(), fields.octet(), fields.text()
    validity, registered, _ = fields.text(), fields.octet(), fields.octet()
    data_coding, _ = fields.octet(), fields.octet()
    octets = fields.octets(fields.octet())
    tlvs = fields.tlvs()
    octets = octets or tlvs.get(MESSAGE_PAYLOAD, b"")
    part = None
    if esm_class & UDHI and octets:
        header, octets = octets[1 : 1 + octets[0]], octets[1 + octets[0] :]
        part = _concatenation(header)
    return Submit(
        f"+{source}" if source_ton == 1 else source,
        source_ton,
        source_npi,
        f"+{number}" if ton == 1 else number,
        validity,
        registered,
        data_coding,
        octets,
        part,
        tlvs,
    )


def _concatenation(header: bytes) -> tuple[int, int, int] | None:
    """Reference, total and number of a user data header (3GPP TS 23.040, 9.2.3.24.1), if it has them."""
    while len(header) >= 2:
        element, size = header[0], header[1]
        if element == 0 and size == 3 and len(header) >= 5:
            return header[2], header[3], header[4]
        header = header[2 + size :]
    return None


def deliver(source: str, destination: str, destination_ton: int, esm_class: int, says: str, tlvs: bytes = b"") -> bytes:
    """The body of a deliver_sm from a telephone's number."""
    try:
        octets, data_coding = _gsm(says), GSM
    except ValueError:
        octets, data_coding = says.encode("utf-16-be", "surrogatepass"), UCS2
    octets = octets[:254]
    return (
        b"\0\1\1"
        + text(source.removeprefix("+"))
        + bytes([destination_ton, 1 if destination_ton == 1 else 0])
        + text(destination.removeprefix("+"))
        + bytes([esm_class, 0, 0])
        + b"\0\0\0\0"
        + bytes([data_coding, 0, len(octets)])
        + octets
        + tlvs
    )


def decode(octets: bytes, data_coding: int) -> str:
    """What octets say."""
    if data_coding == UCS2:
        return octets.decode("utf-16-be", "replace")
    if data_coding != GSM:
        return octets.decode("latin-1")
    found, escaped = [], False
    for octet in octets:
        if octet == 0x1B and not escaped:
            escaped = True
            continue
        found.append(_ESCAPED.get(octet, "\ufffd") if escaped else _CODES[octet & 0x7F])
        escaped = False
    return "".join(found)


def _gsm(says: str) -> bytes:
    """ValueError: not in the alphabet."""
    codes = {character: bytes([code]) for code, character in enumerate(_CODES)}
    codes |= {character: bytes([0x1B, code]) for code, character in _ESCAPED.items()}
    if any(character not in codes for character in says):
        raise ValueError("not in the alphabet")
    return b"".join(codes[character] for character in says)
