"""How many posts X, and the town's own budget, still allow: functions of an answer's headers and of the calendar.

X counts posts in windows of 15 minutes and of 24 hours, by account and by application, and tells with every
answer what remains (docs.x.com, "Rate limits"). The moments are seconds since 1970.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from publishers.http_errors import retry_after, until

WINDOWS = ("x-rate-limit", "x-user-limit-24hour", "x-app-limit-24hour")
"""Each has three headers: ``-limit``, ``-remaining`` and ``-reset``."""


def free_again(headers: Mapping[str, str]) -> datetime | None:
    """When the next post is possible, as far as these headers know; None while something remains everywhere."""
    ends = [
        moment
        for window in WINDOWS
        if headers.get(f"{window}-remaining", "").strip() == "0" and (moment := _reset(headers, window)) is not None
    ]
    return max(ends, default=None)


def pause(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that an answer of 429 or 503 asks to wait; None when it says nothing that can be read."""
    free = free_again(headers)
    if free is not None:
        return until(free, now)
    asked = retry_after(headers, now)
    if asked is not None:
        return asked
    end = _reset(headers, "x-rate-limit")
    return None if end is None else until(end, now)


def period_ends(period: str, now: datetime) -> datetime:
    """When a usage cap is lifted: "Daily" at the next midnight, "Monthly" on the first of next month (UTC)."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period.lower() == "daily":
        return midnight + timedelta(days=1)
    return (month_of(now) + timedelta(days=32)).replace(day=1)


def month_of(moment: datetime) -> datetime:
    """The first instant of its month (UTC): X bills by the calendar."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class Spent:
    """An account's posts in one month: ``seen`` in its timeline when we ``looked``, and our ``own`` made since."""

    month: datetime
    looked: datetime
    seen: int = 0
    own: int = 0

    @property
    def posts(self) -> int:
        """All that are known."""
        return self.seen + self.own

    def is_stale(self, now: datetime) -> bool:
        """Whether other processes may have posted since, or another month begun."""
        return self.month != month_of(now) or now - self.looked > LOOK_AGAIN


LOOK_AGAIN = timedelta(minutes=10)
"""How long a count of the month's posts is believed: other processes of the hub post on the same account."""


def _reset(headers: Mapping[str, str], window: str) -> datetime | None:
    value = headers.get(f"{window}-reset", "").strip()
    if not (value.isascii() and value.isdigit()):
        return None
    try:
        return datetime.fromtimestamp(int(value), UTC)
    except (ValueError, OverflowError, OSError):
        return None
