"""Moments in the demo's files, resolved when they are read, so that its week always begins today.

====================  ===========================================================  =========================
``{{now}}``           this moment, as RFC 3339                                     2026-11-04T08:12:31+01:00
``{{now+2d}}``        later (or ``-``: earlier) by days (d), hours (h), minutes    2026-11-06T08:12:31+01:00
                      (m) or seconds (s)
``{{day}}``           today in the zone; ``{{day+1}}``, ``{{day-3}}``              2026-11-05
``{{day+1 08:00}}``   that day at that local time                                  2026-11-05T08:00:00+01:00
``{{day+1 fr}}``      that day in words; or ``en``                                 jeudi 5 novembre
``{{run}}``           a word of this run: ids and matters hold it, so that a       20261104-081231
                      second run tells its own week
====================  ===========================================================  =========================
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from babel.dates import format_date

PARIS = ZoneInfo("Europe/Paris")
_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}")
_NOW = re.compile(r"now(?:([+-]\d{1,4})([dhms]))?")
_DAY = re.compile(r"day([+-]\d{1,4})?(?: (?:(\d\d):(\d\d)|(fr|en)))?")
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_RUN = re.compile(r"[A-Za-z0-9-]{1,40}")


@dataclass(frozen=True, slots=True)
class Moment:
    """When a run of the demo takes place, where, and its word. ``now`` has an offset from UTC."""

    now: datetime
    run: str
    zone: ZoneInfo = PARIS

    def __post_init__(self) -> None:
        if self.now.tzinfo is None:
            raise ValueError("the demo's clock has no offset from UTC")
        if not _RUN.fullmatch(self.run):
            raise ValueError(f"{self.run!r} is not a run: 1 to 40 letters, digits and dashes")

    @classmethod
    def beginning(cls, now: datetime, zone: ZoneInfo = PARIS) -> "Moment":
        """A run that begins at this moment, named after it (to the millisecond)."""
        return cls(now, now.astimezone(UTC).strftime("%Y%m%d-%H%M%S-%f")[:-3], zone)


def resolve(text: str, moment: Moment) -> str:
    """The text with every placeholder replaced. Raises ValueError that names one which means nothing."""
    return _PLACEHOLDER.sub(lambda found: _value(found[1], moment), text)


def _value(name: str, moment: Moment) -> str:
    if name == "run":
        return moment.run
    local = moment.now.astimezone(moment.zone)
    if found := _NOW.fullmatch(name):
        shift = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found[1] else timedelta()
        return _written(local.astimezone(UTC) + shift, moment.zone)
    if found := _DAY.fullmatch(name):
        day = local.date() + timedelta(days=int(found[1] or 0))
        if language := found[4]:
            first = "'1er'" if language == "fr" and day.day == 1 else "d"
            return format_date(day, f"EEEE {first} MMMM", locale=language)
        if found[2] is None:
            return day.isoformat()
        if int(found[2]) < 24 and int(found[3]) < 60:
            at = datetime.combine(day, time(int(found[2]), int(found[3])), moment.zone)
            # by way of UTC, so that an hour which summer time skips becomes one that exists
            return _written(at.astimezone(UTC), moment.zone)
    raise ValueError(f"{{{{{name}}}}} means nothing: see demo/placeholders.py")


def _written(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).isoformat(timespec="seconds")
