"""A text as the octets of ``short_message``: GSM 7-bit (one septet an octet) or UCS-2, whole or in parts.

Parts carry a user data header (3GPP TS 23.040, 9.2.3.24.1): ``05 00 03 reference total number``. smpplib's own
table is not used: it has no § and no form feed, writes § for a back-quote, and cuts escape pairs in two.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

from publishers.sms.text import encoding_of, split

LongMessages = Literal["udh", "payload"]

# In the order of their codes (3GPP TS 23.038, 6.2.1); 0x1B is the escape.
_CODES = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_ESCAPED = {0x0A: "\f", 0x14: "^", 0x28: "{", 0x29: "}", 0x2F: "\\", 0x3C: "[", 0x3D: "~", 0x3E: "]", 0x40: "|"}
_ESCAPED[0x65] = "€"
_ESCAPE = 0x1B

OCTETS: dict[str, bytes] = {character: bytes([code]) for code, character in enumerate(_CODES) if code != _ESCAPE} | {
    character: bytes([_ESCAPE, code]) for code, character in _ESCAPED.items()
}
"""Every character of the alphabet and of its extension table, as it goes over the wire."""

GSM, LATIN, UCS2 = 0, 3, 8
"""``data_coding`` (SMPP 3.4, 5.2.19); 0 is the SMSC's default, which is GSM 7-bit wherever phones are reached."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """``parts`` as octets, each with its header when there are several; ``payload``: one part, in message_payload."""

    data_coding: int
    parts: tuple[bytes, ...]
    payload: bool = False

    @property
    def has_headers(self) -> bool:
        """Whether the parts begin with a user data header (the UDHI bit of ``esm_class``)."""
        return len(self.parts) > 1


def encode(text: str, key: str, long_messages: LongMessages) -> Encoded:
    """The octets of a text; what doesn't fit one message goes as ``long_messages`` says.

    The parts' reference is made of the key: the same at every try, so that a telephone which got a part twice
    still shows one message.
    """
    gsm = encoding_of(text) == "GSM-7"
    data_coding = GSM if gsm else UCS2
    texts = split(text)
    if len(texts) == 1:
        return Encoded(data_coding, (_octets(text, gsm),))
    if long_messages == "payload":
        return Encoded(data_coding, (_octets(text, gsm),), payload=True)
    reference, total = reference_of(key), len(texts)
    parts = (_header(reference, total, at) + _octets(part, gsm) for at, part in enumerate(texts, 1))
    return Encoded(data_coding, tuple(parts))


def reference_of(key: str) -> int:
    """One octet that stands for a message's key."""
    return hashlib.blake2b(key.encode(), digest_size=1).digest()[0]


def decode(octets: bytes, data_coding: int, *, has_header: bool = False) -> str:
    """What a person wrote, without the user data header. What can't be read is shown as U+FFFD."""
    if has_header and octets:
        octets = octets[1 + octets[0] :]
    if data_coding == UCS2:
        return octets.decode("utf-16-be", "replace")
    if data_coding == GSM or data_coding & 0xF0 == 0xF0:  # 0xF_: GSM with a message class
        return _gsm(octets)
    return octets.decode("ascii" if data_coding == 1 else "latin-1", "replace")


def _header(reference: int, total: int, number: int) -> bytes:
    return bytes([5, 0, 3, reference, total, number])


def _octets(text: str, gsm: bool) -> bytes:
    return b"".join(OCTETS[c] for c in text) if gsm else text.encode("utf-16-be", "surrogatepass")


def _gsm(octets: bytes) -> str:
    characters: list[str] = []
    escaped = False
    for octet in octets:
        if escaped:
            # an unknown escape shows the basic character (6.2.1.1)
            characters.append(_ESCAPED.get(octet, _CODES[octet & 0x7F]))
            escaped = False
        elif octet == _ESCAPE:
            escaped = True
        else:
            characters.append(_CODES[octet] if octet < 0x80 else "\ufffd")
    return "".join(characters)
