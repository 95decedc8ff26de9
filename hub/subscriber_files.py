"""Subscribers from a spreadsheet: CSV with semicolons, one address a line.

    channel;address;language;themes;areas
    email;anne@courrier.example;fr;travaux,dechets;centre
    sms;06 39 98 12 34;fr;alertes;*

``areas`` ``*`` is everywhere. Themes and areas of one line go together each with each; several lines of one
address add up.
"""

import csv
import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import phonenumbers

from hub.rules import RuleFault
from publishers.registry import CHANNELS

COLUMNS = ("channel", "address", "language", "themes", "areas")
EVERYWHERE = "*"
_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


@dataclass(frozen=True, slots=True)
class Line:
    """One address, its language, and what it subscribes to as (theme, area) pairs; area "" is everywhere."""

    channel: str
    address: str
    language: str
    places: tuple[tuple[str, str], ...]
    broadcast: bool


class SubscribersInvalid(ValueError):
    """A file that can't be used: ``faults``, all of them, each with its line."""

    def __init__(self, faults: tuple[RuleFault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def parse_subscribers(
    text: str, filename: str, *, themes: Collection[str], areas: Collection[str], languages: Sequence[str], region: str
) -> list[Line]:
    """The subscribers of a file, one for each channel and address. Raises SubscribersInvalid with every fault.

    ``region`` (ISO 3166-1, "FR") reads national telephone numbers; addresses come out as E.164.
    """
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=";"))
    header = [cell.strip().casefold() for cell in rows[0]] if rows else []
    if header != list(COLUMNS):
        fault = RuleFault(filename, 1, f"the first line is {';'.join(header)!r}", f"Begin with {';'.join(COLUMNS)}.")
        raise SubscribersInvalid((fault,))
    faults: list[RuleFault] = []
    found: dict[tuple[str, str], Line] = {}
    for number, cells in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        line = _line(cells, number, filename, faults, themes=themes, areas=areas, languages=languages, region=region)
        if line is None:
            continue
        known = found.get((line.channel, line.address))
        places = tuple(dict.fromkeys((*(known.places if known else ()), *line.places)))
        found[line.channel, line.address] = Line(line.channel, line.address, line.language, places, line.broadcast)
    if faults:
        raise SubscribersInvalid(tuple(faults))
    return list(found.values())


def _line(
    cells: Sequence[str],
    number: int,
    filename: str,
    faults: list[RuleFault],
    *,
    themes: Collection[str],
    areas: Collection[str],
    languages: Sequence[str],
    region: str,
) -> Line | None:
    def fault(reason: str, mend: str) -> None:
        faults.append(RuleFault(filename, number, reason, mend))

    before = len(faults)
    if len(cells) != len(COLUMNS):
        fault(f"{len(cells)} columns, not {len(COLUMNS)}", f"The columns are {';'.join(COLUMNS)}.")
        return None
    channel, address, language, wanted, places = (cell.strip() for cell in cells)
    if channel not in CHANNELS:
        fault(f"the channel {channel!r} is unknown", f"Use one of {', '.join(CHANNELS)}.")
        return None
    written = address_on(channel, address, region)
    if written is None:
        fault(f"{address!r} is no address of the channel {channel}", "Correct it, or leave the line out.")
    if language not in languages:
        fault(f"the language {language!r} is not spoken here", f"Use one of {', '.join(languages)}.")
    broadcast = CHANNELS[channel].broadcast
    themes_named = [word.strip() for word in wanted.split(",") if word.strip()]
    areas_named = [word.strip() for word in places.split(",") if word.strip()]
    for theme in themes_named:
        if theme not in themes:
            fault(f"the theme {theme!r} is unknown", f"Use some of {', '.join(sorted(themes))}.")
    for area in areas_named:
        if area not in areas and area != EVERYWHERE:
            fault(f"the area {area!r} is unknown", f"Use {EVERYWHERE}, or some of {', '.join(sorted(areas))}.")
    if not broadcast and not (themes_named and areas_named):
        fault("no theme or no area", f"Name some; {EVERYWHERE} is every area.")
    if len(faults) > before or written is None:
        return None
    pairs = tuple((theme, "" if area == EVERYWHERE else area) for theme in themes_named for area in areas_named)
    return Line(channel, written, language, () if broadcast else pairs, broadcast)


def address_on(channel: str, text: str, region: str) -> str | None:
    """The address as the channel takes it; None when it is none."""
    match CHANNELS[channel].family:
        case "email":
            local, _, domain = text.rpartition("@")
            return f"{local}@{domain.lower()}" if _MAIL.fullmatch(text) and len(text) <= 254 else None
        case "sms":
            try:
                number = phonenumbers.parse(text, region)
            except phonenumbers.NumberParseException:
                return None
            if not phonenumbers.is_possible_number(number):
                return None
            return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        case _:
            return text or None
