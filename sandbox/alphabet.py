"""How many SMS a text makes, as handsets and operators count (3GPP TS 23.038 and 23.040)."""

from dataclasses import dataclass

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")


@dataclass(frozen=True, slots=True)
class Size:
    """``encoding`` is "GSM-7" or "UCS-2"; ``units`` are septets or UTF-16 code units."""

    encoding: str
    units: int
    segments: int


def measure(text: str) -> Size:
    """The encoding, length and number of segments of a text.

    One segment holds 160 septets or 70 code units; with several, each gives room to its header (153, 67), and
    an escaped character or a surrogate pair is never cut in two.
    """
    if all(character in _BASIC or character in _EXTENDED for character in text):
        encoding, single, joined = "GSM-7", 160, 153
        costs = [2 if character in _EXTENDED else 1 for character in text]
    else:
        encoding, single, joined = "UCS-2", 70, 67
        costs = [2 if ord(character) > 0xFFFF else 1 for character in text]
    units = sum(costs)
    if units <= single:
        return Size(encoding, units, 1)
    segments, room = 1, joined
    for cost in costs:
        if cost > room:
            segments, room = segments + 1, joined
        room -= cost
    return Size(encoding, units, segments)
