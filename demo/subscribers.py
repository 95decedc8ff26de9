"""The demo's subscribers: invented people, the same ones every time for the same seed.

Addresses are fictional: mail under .example (RFC 2606), mobile numbers 06 39 98 xx xx, which Arcep keeps for
films. Some make the sandbox's providers misbehave, as docs/sandbox.md lists; the others keep clear of that.
"""

import random
import tomllib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

EVERYWHERE = ""
"""The area of those who want to hear about the whole commune."""
AREAS = {"centre": 30, "tanneries": 16, "haut-clos": 16, "gare": 14, "moulin-neuf": 13, "les-aulnes": 11}
"""Codes of the areas, and how many in a hundred live there."""
THEMES = {
    "alertes": 92,
    "travaux": 55,
    "dechets": 60,
    "eau-energie": 58,
    "ecole": 34,
    "transports": 40,
    "conseil": 18,
    "culture-sport": 45,
    "demarches": 22,
}
"""Codes of the themes, and how many in a hundred subscribe to each."""
MISBEHAVING_MAIL = ("refuse", "later2", "greylist", "late-bounce", "dropdata", "ooo")
"""First labels of local parts to which the sandbox's mail server reacts: three addresses of each."""
MISBEHAVING_SMS = (86, 87, 90, 91, 92, 94, 95, 96)
"""Last two digits to which the sandbox's SMS gateway reacts, in its block of numbers: one number of each."""
MISBEHAVING_BLOCK = "+336399801"
ACCOUNTS = ("facebook", "x", "mastodon", "bluesky", "telegram", "webhook")
"""Channels on which the commune has an account, named after it; the webhook tells the intercommunal portal."""
_NAMES = tomllib.loads(Path(__file__).with_name("names.toml").read_text(encoding="utf-8"))
_DOMAINS = ("courrier-orvelle.example", "boite.example", "messagerie.example", "valmail.example")


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One address on one channel; ``places`` are pairs of a theme and an area, none for a broadcast account."""

    channel: str
    address: str
    language: str
    places: tuple[tuple[str, str], ...]
    broadcast: bool = False


def subscribers(count: int = 2000, seed: int = 96001) -> tuple[Subscriber, ...]:
    """That many addresses of people (about two of three are mail, one SMS), then the commune's own accounts."""
    chance = random.Random(seed)
    numbers = iter(chance.sample([n for n in range(10_000) if n // 100 != 1], 9900))
    names: set[str] = set()
    found = [Subscriber(channel, address, "fr", tuple(_alerted(chance))) for channel, address in _misbehaving()]
    while len(found) < count:
        language = "en" if chance.random() < 0.12 else "fr"
        places = tuple(_places(chance))
        has = chance.random()
        if has < 0.70:
            found.append(Subscriber("email", _mail(chance, language, names), language, places))
        if has >= 0.65:  # one person in twenty has both
            found.append(Subscriber("sms", f"+3363998{next(numbers):04d}", language, places))
    found = found[:count]
    chance.shuffle(found)
    return (*found, *(Subscriber(channel, "valmerande", "fr", (), broadcast=True) for channel in ACCOUNTS))


def _misbehaving() -> list[tuple[str, str]]:
    mails = [
        ("email", f"{label}.{name}@boite.example") for label in MISBEHAVING_MAIL for name in ("morel", "roy", "weil")
    ]
    return mails + [("sms", f"{MISBEHAVING_BLOCK}{ending}") for ending in MISBEHAVING_SMS]


def _alerted(chance: random.Random) -> Iterator[tuple[str, str]]:
    """Like anybody's, and every alert: so that the providers' moods are seen."""
    yield "alertes", EVERYWHERE
    yield from (place for place in _places(chance) if place[0] != "alertes")


def _places(chance: random.Random) -> Iterator[tuple[str, str]]:
    """Themes, each for home; some add a second place (a workplace, a parent's street) or want all of them."""
    home, other = chance.choices(list(AREAS), list(AREAS.values()), k=2)
    themes = [theme for theme, share in THEMES.items() if chance.random() * 100 < share] or ["alertes"]
    kind = chance.random()
    for theme in themes:
        if kind < 0.12:
            yield theme, EVERYWHERE
            continue
        yield theme, home
        if kind < 0.30 and other != home:
            yield theme, other


def _mail(chance: random.Random, language: str, names: set[str]) -> str:
    first = chance.choice(_NAMES["english" if language == "en" else "first"])
    name = _ascii(f"{first}.{chance.choice(_NAMES['last'])}")
    domain = chance.choice(_DOMAINS)
    address, number = f"{name}@{domain}", 1
    while address in names:
        number += 1
        address = f"{name}{number}@{domain}"
    names.add(address)
    return address


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
