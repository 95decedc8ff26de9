"""How long what became of each message is kept, and its removal when that time is over.

Personal data is kept no longer than what it is for needs (GDPR, article 5(1)(e)). Whole months are removed, so that
nothing is kept longer than the months that are set, plus the one that is running.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from store import retention
from store.database import Connection
from store.retention import Busy, Old, Removed, old

__all__ = ["Busy", "Old", "Purge", "cutoff", "month", "old", "purge"]


@dataclass(frozen=True, slots=True)
class Purge:
    """What was removed, and in how many seconds."""

    before: datetime
    removed: Removed
    kept: int
    """Orders that are older and not over: they stay."""
    seconds: float


def cutoff(now: datetime, months: int) -> datetime:
    """The beginning of the first month that is kept when the last ``months`` whole months are."""
    number = now.astimezone(UTC).year * 12 + now.astimezone(UTC).month - 1 - months
    return datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)


def month(text: str) -> datetime:
    """The beginning of a month, in UTC: "2026-01". Raises ValueError."""
    return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)


async def purge(connection: Connection, before: datetime) -> Purge | None:
    """Remove what is older than ``before``; None when somebody else is just removing.

    Each step is a transaction of its own: a call that is interrupted is finished by the next. Raises Busy when a table
    is in use for too long; then some of it may be done.
    """
    if not await retention.alone(connection):
        return None
    began, removed = time.monotonic(), Removed()
    try:
        await retention.drop_cells(connection, before, removed)
        await retention.remove_orders(connection, before, removed)
        await retention.remove_rest(connection, before, removed)
        kept = (await retention.old(connection, before)).kept
    finally:
        await retention.done(connection)
    return Purge(before, removed, kept, time.monotonic() - began)
