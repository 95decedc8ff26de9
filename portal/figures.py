"""The totals of the first page, counted once for everybody who looks at the same time.

Pages ask every two seconds; counting over every delivery may take longer than that on a large hub. One count
runs at a time, and its result serves at least five times as long as it took.
"""

import asyncio
import time
from collections import defaultdict
from datetime import datetime

from portal.database import Database
from store.totals import Totals, totals

_FRESH_S = 1.0
_SHARE = 5.0


class Figures:
    """Totals by period, each kept for a moment."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._kept: dict[str, tuple[float, Totals]] = {}

    async def totals(self, period: str, since: datetime | None) -> Totals:
        """The totals since a moment; ``period`` names it. Raises DatabaseAway."""
        async with self._locks[period]:
            until, kept = self._kept.get(period, (0.0, None))
            started = time.monotonic()
            if kept is not None and started < until:
                return kept
            async with self._database.connection() as connection:
                kept = await totals(connection, since=since)
            ended = time.monotonic()
            self._kept[period] = (ended + max(_FRESH_S, _SHARE * (ended - started)), kept)
            return kept
