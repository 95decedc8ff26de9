"""A wrong wall clock for one Python process: this folder before all others on PYTHONPATH, CHAOS_CLOCK_AHEAD_S seconds.

Python imports this before anything else. What asks ``datetime.now``, ``utcnow`` or ``time.time`` from then on is told
a time that is off by so much; the monotonic and boot clocks, which no operator sets, stay right.
"""

import datetime
import os
import time

_AHEAD = datetime.timedelta(seconds=float(os.environ.get("CHAOS_CLOCK_AHEAD_S", "0")))
_true_time = time.time
_TrueDatetime = datetime.datetime


class _Either(type):
    """The wrong class stands for the true one: values are true ones, wherever they were made."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, _TrueDatetime)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, _TrueDatetime)


class WrongDatetime(datetime.datetime, metaclass=_Either):
    """``datetime.datetime`` but for what it says the time is."""

    __slots__ = ()  # of the size that compiled modules expect

    def __new__(cls, *args, **named):  # type: ignore[no-untyped-def]
        """A true one: nothing else that a process does with times changes."""
        return _TrueDatetime(*args, **named)

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
        """The wrong time."""
        return _TrueDatetime.now(tz) + _AHEAD

    @classmethod
    def utcnow(cls) -> datetime.datetime:  # type: ignore[override]
        """The wrong time."""
        return _TrueDatetime.now(datetime.UTC).replace(tzinfo=None) + _AHEAD


def wrong_time() -> float:
    """``time.time`` but for what it says."""
    return _true_time() + _AHEAD.total_seconds()


datetime.datetime = WrongDatetime  # type: ignore[misc]
time.time = wrong_time
