"""How X measures a text: its published rules (docs.x.com, "Counting characters"; twitter-text, configuration 3).

A post holds 280. Most letters of Europe, Africa and India weigh 1, others (CJK, lone emoji, typographic signs)
2; an emoji counts 2 however many code points make it up, an address 23 however long it is. What counts as an
emoji or an address is fixed by the official library twitter-text 3.1 (Unicode 11, and the domains of
``x_tlds``): an emoji that is younger counts as the code points it is made of. The rules are ours, the contract
tests compare them with that library.
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from unicodedata import normalize

from publishers.x.tlds import TLDS

CHARACTERS = 280
ADDRESS = 23

_LIGHT = ((0, 4351), (8192, 8205), (8208, 8223), (8242, 8247))
"""Code points that weigh 1; any other 2."""

_LABEL_OCTETS = 63
_ADDRESS_OCTETS = 4096
_SHORT_SLUG = 40
_LABELS = 30  # of a name, as far as we look: a text of nothing but dots and letters would take seconds


def count(text: str) -> int:
    """The weight of a text, of which one post holds ``CHARACTERS``."""
    text = normalize("NFC", text)
    weight, position = 0, 0
    fixed = {match.start(): (len(match[0]), 2) for match in _emoji().finditer(text)}
    fixed |= {start: (length, ADDRESS) for start, length in _addresses(text)}
    while position < len(text):
        length, weighs = fixed.get(position) or (1, _weight(ord(text[position])))
        weight += weighs
        position += length
    return weight


def addresses(text: str) -> list[tuple[int, int]]:
    """Where the addresses are that X makes links of: start and end of each, in the order of the text (NFC)."""
    return [(start, start + length) for start, length in _addresses(text)]


def _weight(point: int) -> int:
    return 1 if any(low <= point <= high for low, high in _LIGHT) else 2


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    """Start and length of each address."""
    if "." not in text:
        return
    for found in _address().finditer(text):
        whole, scheme, domain = found["address"], found["scheme"], found["domain"]
        if not _is_valid(whole, scheme or "https://", domain):
            continue
        if scheme:
            yield from _with_scheme(found.start("address"), whole)
        elif not found["before"].endswith(("-", "_", ".", "/")):
            yield from _without_scheme(found.start("address"), whole, domain, found["path"])


def _with_scheme(start: int, whole: str) -> Iterator[tuple[int, int]]:
    if short := _SHORT.match(whole):
        if len(short[1]) > _SHORT_SLUG:
            return
        whole = short[0]  # nothing after X's own short address belongs to it
    yield start, len(whole)


def _without_scheme(start: int, whole: str, domain: str, path: str | None) -> Iterator[tuple[int, int]]:
    """Only what is ASCII or accented Latin in the domain; port and query only where a path ends the last one."""
    names = [match[0] for match in _latin_domain().finditer(domain)]
    place = 0
    for left, name in enumerate(names, 1 - len(names)):
        place = domain.find(name, place)  # where X looks for it: not always where it was found
        length = len(name) + (len(whole) - len(domain) if path and not left else 0)
        yield start + place, _within(whole[place:], length)
        place += len(name)


def _within(text: str, units: int) -> int:
    """How many characters at the beginning of the text fit into so many units of UTF-16."""
    ends = accumulate(2 if character > "\uffff" else 1 for character in text)
    return sum(1 for end in ends if end <= units)


def _is_valid(whole: str, scheme: str, domain: str) -> bool:
    """Whether the name system could hold the domain (RFC 3490, 4.1) and X takes an address that long."""
    if domain.startswith("xn--") and not _latin_domain().search(domain):
        return False
    labels = [label if label.isascii() else "xn--" + label.encode("punycode").decode() for label in domain.split(".")]
    if any(not 1 <= len(label) <= _LABEL_OCTETS for label in labels):
        return False
    return len(scheme) + len(whole) <= _ADDRESS_OCTETS


_SPACES = "\t-\r \x85\xa0\u1680\u180e\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_DIRECTIONS = "\u202a-\u202e\u061c\u200e\u200f\u2066-\u2069"
_INVALID = "\ufffe\ufeff\uffff"
_NO_LETTER = rf"!'#%&()*+,\-./:;<=>?@\[\]^_{{|}}~$\\{_SPACES}{_INVALID}{_DIRECTIONS}"
_LATIN = (
    "\xc0-\xd6\xd8-\xf6\xf8-\xff\u0100-\u024f\u0253\u0254\u0256\u0257\u0259\u025b\u0263\u0268\u026f\u0272\u0289\u028b"
    "\u02bb\u0300-\u036f\u1e00-\u1eff"
)
_CYRILLIC = "\u0400-\u04ff"
_QUERY = r"[A-Za-z0-9!?*'@();:&=+$/%#\[\]\-_.,~|]"
_SHORT = re.compile(rf"https?://t\.co/([a-z0-9]+)(?:\?{_QUERY}*[A-Za-z0-9\-_&=#/])?", re.IGNORECASE)


@cache
def _tld() -> str:
    """A top-level domain that nothing follows which could be part of its name; the longest first."""
    names = "|".join(sorted(TLDS, key=lambda name: (-len(name), name)))
    return rf"(?:(?i:{names})(?=[^0-9a-zA-Z@+\-]|\Z)|[xX][nN]--[\-0-9a-zA-Z]+)"


@cache
def _address() -> re.Pattern[str]:
    letter, part = f"[^{_NO_LETTER}]", f"[^{_NO_LETTER}]|[_-]"
    subdomain = rf"(?:{letter}(?:(?:{part})*{letter})?\.)"
    name = rf"(?:{letter}(?:(?:{letter}|-)*{letter})?\.)"
    general = rf"[a-zA-Z{_CYRILLIC}0-9!*';:=+,.$/%#\[\]\-\u2013_~@|&{_LATIN}]"
    # in an address, brackets come in pairs, one pair inside another at most
    brackets = rf"\((?:{general}+|{general}*\({general}+\){general}*)\)"
    path = rf"/(?:(?:{general}|{brackets})*[+\-a-zA-Z{_CYRILLIC}0-9=_#/{_LATIN}])?(?:{brackets})*"
    # the library reads UTF-16: the first half of a character beyond it may stand before the second
    before = rf"(?=[\U00010000-\U0010ffff])|[^A-Za-z0-9@＠$#＃{_INVALID}]|^"
    return re.compile(
        rf"(?P<before>{before})(?P<address>(?P<scheme>[hH][tT][tT][pP][sS]?://)?"
        rf"(?P<domain>{subdomain}{{0,{_LABELS}}}{name}{_tld()})(?::[0-9]+)?(?P<path>{path})?(?:\?{_QUERY}*[A-Za-z0-9\-_&=#/])?)"
    )


@cache
def _latin_domain() -> re.Pattern[str]:
    return re.compile(rf"(?:[\-a-zA-Z0-9{_LATIN}]+\.)+{_tld()}")


_SIGNS = """
a9 ae 203c 2049 2122 2139 2194-2199 21a9-21aa 231a-231b 2328 23cf 23ed-23ef 23f1-23f2 23f8-23fa 24c2 25aa-25ab 25b6
25c0 25fb-25fe 2600-2604 260e 2611 2614-2615 2618 261d 2620 2622-2623 2626 262a 262e-262f 2638-263a 2640 2642 2648-2653
265f-2660 2663 2665-2666 2668 267b 267f 2692-2697 2699 269b-269c 26a0-26a1 26aa-26ab 26b0-26b1 26bd-26be 26c4-26c5 26c8
26cf 26d1 26d3-26d4 26e9-26ea 26f0-26f5 26f7-26fa 26fd 2702 2708-2709 270c-270d 270f 2712 2714 2716 271d 2721 2733-2734
2744 2747 2757 2763-2764 27a1 2934-2935 2b05-2b07 2b1b-2b1c 2b50 2b55 3030 303d 3297 3299 1f004 1f170-1f171 1f17e-1f17f
1f202 1f21a 1f22f 1f237 1f321 1f324-1f32c 1f336 1f37d 1f396-1f397 1f399-1f39b 1f39e-1f39f 1f3cb-1f3ce 1f3d4-1f3df 1f3f3
1f3f5 1f3f7 1f43f 1f441 1f4fd 1f549-1f54a 1f56f-1f570 1f573-1f579 1f587 1f58a-1f58d 1f590 1f5a5 1f5a8 1f5b1-1f5b2 1f5bc
1f5c2-1f5c4 1f5d1-1f5d3 1f5dc-1f5de 1f5e1 1f5e3 1f5e8 1f5ef 1f5f3 1f5fa 1f6cb 1f6cd-1f6cf 1f6e0-1f6e5 1f6e9 1f6f0 1f6f3
"""
"""Signs that U+FE0F makes a picture of (Unicode 11, emoji-variation-sequences.txt, without the keycaps)."""

_TONED = """
261d 26f7 26f9 270a-270d 1f385 1f3c2-1f3c4 1f3c7 1f3ca-1f3cc 1f442-1f443 1f446-1f450 1f466-1f469 1f46e 1f470-1f478
1f47c 1f481-1f483 1f485-1f487 1f4aa 1f574-1f575 1f57a 1f590 1f595-1f596 1f645-1f647 1f64b-1f64f 1f6a3 1f6b4-1f6b6 1f6c0
1f6cc 1f918-1f91c 1f91e-1f91f 1f926 1f930-1f939 1f93d-1f93e 1f9b5-1f9b6 1f9b8-1f9b9 1f9d1-1f9dd
"""
"""People and hands that take a colour of skin (Unicode 11, Emoji_Modifier_Base)."""

_PICTURED_AND_TONED = "261d 26f7 26f9 270c-270d 1f3cb-1f3cc 1f574-1f575 1f590"

_GENDERED = """
1f3c3-1f3c4 1f3ca 1f46e 1f471 1f473 1f477 1f481-1f482 1f486-1f487 1f645-1f647 1f64b 1f64d-1f64e 1f6a3 1f6b4-1f6b6 1f926
1f935 1f937-1f939 1f93d-1f93e 1f9b8-1f9b9 1f9d6-1f9dd
"""
"""People who are a man or a woman by a sign joined to them (Unicode 11, emoji-zwj-sequences.txt)."""

_OBJECTS = "1f33e 1f373 1f393 1f3a4 1f3a8 1f3eb 1f3ed 1f4bb 1f4bc 1f527 1f52c 1f680 1f692 1f9b0-1f9b3"
"""What makes a trade, or hair, of a man or a woman."""

_FLAGS = """
AC AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC
CD CF CG CH CI CK CL CM CN CO CP CR CU CV CW CX CY CZ DE DG DJ DK DM DO DZ EA EC EE EG EH ER ES ET EU FI FJ FK FM FO FR
GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU IC ID IE IL IM IN IO IQ IR IS IT JE JM JO JP
KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU
MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB
SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TA TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM UN
US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW
"""


@cache
def _emoji() -> re.Pattern[str]:
    """Emoji of more than one code point; a lone one weighs as much as the rules give any such code point."""
    joined, tone = "\u200d", "[\U0001f3fb-\U0001f3ff]"
    signs, toned, both = _class(_SIGNS), _class(_TONED), _class(_PICTURED_AND_TONED)
    man, woman, boy, girl, heart, kiss = "👨", "👩", "👦", "👧", "\u2764\ufe0f", "💋"
    children = f"{joined}(?:{boy}{joined}{boy}|{girl}{joined}[{boy}{girl}]|[{boy}{girl}])"
    couple = f"(?:{woman}{joined}{heart}{joined}(?:{kiss}{joined})?[{man}{woman}]"
    couple += f"|{man}{joined}{heart}{joined}(?:{kiss}{joined})?{man})"
    family = f"(?:{man}(?:{joined}[{man}{woman}])?|{woman}(?:{joined}{woman})?){children}"
    sign = f"{joined}[\u2640\u2642]\ufe0f"
    return re.compile(
        "|".join(
            (
                f"[{man}{woman}]{tone}?{joined}(?:[\u2695\u2696\u2708]\ufe0f|{_class(_OBJECTS)})",
                f"{_class('26f9 1f3cb-1f3cc 1f574-1f575')}(?:{tone}|\ufe0f){sign}",
                f"{_class(_GENDERED)}{tone}?{sign}",
                couple,
                family,
                f"\U0001f3f3\ufe0f{joined}\U0001f308",
                f"\U0001f3f4{joined}\u2620\ufe0f",
                f"\U0001f441{joined}\U0001f5e8",
                f"[\U0001f46f\U0001f93c\U0001f9de\U0001f9df]{sign}",
                "[#*0-9]\ufe0f?\u20e3",
                f"{both}\ufe0f{tone}",
                f"{signs}\ufe0f",
                f"{toned}{tone}",
                *(f"\U0001f3f4{_letters(part, 0xE0061)}\U000e007f" for part in ("GBENG", "GBSCT", "GBWLS")),
                *(_letters(region, 0x1F1E6) for region in _FLAGS.split()),
            )
        )
    )


def _class(ranges: str) -> str:
    """A class of characters from code points in hexadecimal, alone or as ``first-last``."""
    ends = (pair.split("-") for pair in ranges.split())
    return "[" + "".join("-".join(chr(int(end, 16)) for end in pair) for pair in ends) + "]"


def _letters(text: str, first: int) -> str:
    """Capital letters in the alphabet that begins at ``first``."""
    return "".join(chr(ord(letter) - ord("A") + first) for letter in text)
