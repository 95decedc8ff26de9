"""The SMS alphabet (3GPP TS 23.038) and how a text is cut into segments (TS 23.040, concatenated messages).

A text whose every character is in the GSM 7-bit default alphabet or its extension table takes septets, 160 in
a single message and 153 in each of several; any other text is UCS-2 (in practice UTF-16), 70 and 67 units.
One lower-case ç or one typographic quote therefore costs a commune more than twice as much, each time.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

Encoding = Literal["GSM-7", "UCS-2"]

BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The 127 characters of the default alphabet (its 128th code is the escape to the extension table)."""

EXTENSION = frozenset("\f^{}\\[~]|€")
"""Characters of the extension table: an escape and a code, two septets, never parted."""

_LIMITS: dict[Encoding, tuple[int, int]] = {"GSM-7": (160, 153), "UCS-2": (70, 67)}

# What reads the same, where Unicode's own decompositions (é → e, … → ..., no-break space → space) don't help.
_SAME = str.maketrans(
    {"œ": "oe", "Œ": "OE", "’": "'", "‘": "'", "‚": "'", "‛": "'", "′": "'", "`": "'", "´": "'"}
    | {"“": '"', "”": '"', "„": '"', "‟": '"', "″": '"', "‹": "'", "›": "'"}
    | {"‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "―": "-", "−": "-", "•": "-", "·": "-"}
    | {"→": "->", "←": "<-", "×": "x", "÷": "/", "⁄": "/", "\t": " ", "°": "o", "º": "o", "ª": "a"}
    | dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufe0f\ufeff", "")  # soft hyphen, joiners, variation selectors
)
_QUOTES = {"«": '"', "»": '"'}
_GUILLEMETS = re.compile(r"«\s*|\s*»")
_DEGREES = re.compile(r"\s*°\s*(?=[CF]\b)")


@dataclass(frozen=True, slots=True)
class Segments:
    """What a text costs: ``units`` are septets (GSM-7) or UTF-16 units (UCS-2), ``segments`` messages billed.

    ``per_segment`` is how many units each of them holds.
    """

    alphabet: Encoding
    units: int
    segments: int
    per_segment: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """A cheaper way to write a text: ``text``, and what both ways cost.

    ``changed`` lists each character that is written otherwise, once, with its equivalent ("" when it is left out).
    """

    text: str
    before: Segments
    after: Segments
    changed: tuple[tuple[str, str], ...]

    @property
    def saved(self) -> int:
        """Segments that each recipient costs less."""
        return self.before.segments - self.after.segments


def encoding_of(text: str) -> Encoding:
    """The alphabet the text needs."""
    return "GSM-7" if all(c in BASIC or c in EXTENSION for c in text) else "UCS-2"


def split(text: str) -> tuple[str, ...]:
    """The text as its segments carry it; an escape pair or a surrogate pair is never parted."""
    encoding = encoding_of(text)
    single, joined = _LIMITS[encoding]
    if _units(text, encoding) <= single:
        return (text,)
    parts: list[str] = []
    start, room = 0, joined
    for index, character in enumerate(text):
        width = _width(character, encoding)
        if width > room:
            parts.append(text[start:index])
            start, room = index, joined
        room -= width
    return (*parts, text[start:])


def measure(text: str) -> Segments:
    """How many messages the text is, in which alphabet. An empty text is one empty message."""
    encoding = encoding_of(text)
    count = len(split(text))
    return Segments(encoding, _units(text, encoding), count, _LIMITS[encoding][count > 1])


def proposal(text: str) -> Proposal:
    """The text as ``transliterate`` would write it, for an officer to see what that changes and saves."""
    plain = transliterate(text)
    foreign = dict.fromkeys(c for c in unicodedata.normalize("NFC", text) if encoding_of(c) == "UCS-2")
    changed = () if plain == text else tuple((c, _QUOTES.get(c) or _spell(c)) for c in foreign)
    return Proposal(plain, measure(text), measure(plain), changed)


def transliterate(text: str) -> str:
    """The same text within the GSM alphabet, as French readers write it on a telephone (ç → c, « → ").

    Characters the alphabet has (é è à ù Ç €) stay. When something has no equivalent there (an emoji, another
    script), the text comes back untouched: it is UCS-2 anyway, and losing accents would save nothing.
    """
    spelled = _GUILLEMETS.sub('"', _DEGREES.sub(" degrés ", unicodedata.normalize("NFC", text)))
    proposal = "".join(_spell(c) for c in spelled)
    return proposal if encoding_of(proposal) == "GSM-7" else text


def _spell(character: str) -> str:
    if character in BASIC or character in EXTENSION:
        return character
    plain = character.translate(_SAME)
    if plain != character:
        return plain
    decomposed = unicodedata.normalize("NFKD", character).translate(_SAME)
    return "".join(c for c in decomposed if not unicodedata.combining(c)) or character


def _units(text: str, encoding: Encoding) -> int:
    return sum(_width(c, encoding) for c in text)


def _width(character: str, encoding: Encoding) -> int:
    if encoding == "GSM-7":
        return 2 if character in EXTENSION else 1
    return 2 if ord(character) > 0xFFFF else 1
