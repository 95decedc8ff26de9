"""The dispatcher: waiting batches to Kafka, a little at a time, so that everybody has a turn (store.schedule)."""

import asyncio
import time
from typing import Any

from hub import metrics
from hub.pacing import Pace
from schemas.lanes import Lane
from store import schedule
from store.database import Pool, transaction
from streams.service import RowService

_GATHER_S = 0.02  # a hundred batches end within a moment of each other: one look serves them all


class Dispatcher(RowService):
    """Keeps at most ``depth`` batches of a family and lane on Kafka or being sent; fewer where they take long."""

    def __init__(self, pool: Pool, dsn: str, depth: int, **options: Any) -> None:
        super().__init__(dsn, every_s=1.0, wakes_on="batches", **options)
        self._pool = pool
        self._depth = depth
        self._paces: dict[tuple[str, Lane], Pace] = {}

    async def work(self) -> bool:
        """Fill up every road on which something waits and has room."""
        async with self._pool.acquire() as connection:
            roads = await schedule.roads_with_work(connection, self._depth)
        for family, lane in roads:
            metrics.batches_dispatched(lane, await self._fill_up(family, lane))
        await asyncio.sleep(_GATHER_S)
        return False

    async def _fill_up(self, family: str, lane: Lane) -> int:
        async with transaction(self._pool) as connection:
            if lane is Lane.URGENT:  # nobody waits for anybody there
                return await schedule.dispatch(connection, family, lane, self._depth)
            counts = await schedule.under_way(connection, family, lane)
            pace = self._paces.get((family, lane), Pace(self._depth)).seen(*counts, time.monotonic())
            offered = await schedule.dispatch(connection, family, lane, pace.depth)
        self._paces[family, lane] = pace.offered(offered)
        return offered
