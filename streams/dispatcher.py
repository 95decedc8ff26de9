"""The dispatcher: waiting batches to Kafka, a little at a time, so that everybody has a turn (store.schedule)."""

import asyncio
from typing import Any

from hub import metrics
from store import schedule
from store.database import Pool, transaction
from streams.service import RowService

_GATHER_S = 0.02  # a hundred batches end within a moment of each other: one look serves them all


class Dispatcher(RowService):
    """Keeps at most ``depth`` batches of a family and lane on Kafka or being sent."""

    def __init__(self, pool: Pool, dsn: str, depth: int, **options: Any) -> None:
        super().__init__(dsn, every_s=1.0, wakes_on="batches", **options)
        self._pool = pool
        self._depth = depth

    async def work(self) -> bool:
        """Fill up every road on which something waits and has room."""
        async with self._pool.acquire() as connection:
            roads = await schedule.roads_with_work(connection, self._depth)
        for family, lane in roads:
            async with transaction(self._pool) as connection:
                offered = await schedule.dispatch(connection, family, lane, self._depth)
            metrics.batches_dispatched(lane, offered)
        await asyncio.sleep(_GATHER_S)
        return False
