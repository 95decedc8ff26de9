"""The clock: what becomes due by passing time. Rows polled on the database's time; no timer carries a promise."""

import time
from typing import Any

import structlog

from hub import metrics, scheduling
from store import outbox, partitions, receipts, schedule, tallies
from store.database import Pool, transaction
from store.orders import order_message
from streams.service import RowService

log = structlog.get_logger()

_STALLED_S = 30
_SELDOM_S = 5
_TALLYING_S = 0.3
"""At a time: what else is due must not wait for a month of orders to be counted."""


class Clock(RowService):
    """Notices, retries, unclear outcomes, leases, stalled fan-outs, early receipts, tallies, partitions."""

    def __init__(self, pool: Pool, dsn: str, *, batch_size: int, **options: Any) -> None:
        super().__init__(dsn, every_s=0.25, **options)
        self._pool = pool
        self._batch_size = batch_size
        self._seldom_at = 0.0

    async def work(self) -> bool:
        """One look at everything that can be due."""
        async with transaction(self._pool) as connection:
            await scheduling.emit_due(connection)
        async with transaction(self._pool) as connection:
            await schedule.requeue_due(connection, self._batch_size)
        async with transaction(self._pool) as connection:
            lost = await schedule.dispatch_lost(connection)
        if lost:
            metrics.batches_lost(lost)
            log.warning("batches_dispatched_again", count=lost)
        if time.monotonic() >= self._seldom_at:
            self._seldom_at = time.monotonic() + _SELDOM_S
            await self._seldom()
        return False

    async def _seldom(self) -> None:
        async with transaction(self._pool) as connection:
            stalled = await schedule.stalled_orders(connection, _STALLED_S)
            await outbox.put(connection, [order_message(order, lane) for order, lane in stalled])
        async with transaction(self._pool) as connection:
            await receipts.bindable(connection)
        async with transaction(self._pool) as connection:
            await partitions.ensure(connection)
        await self._tally()

    async def _tally(self) -> None:
        """Count orders on which nobody works any more."""
        began = time.monotonic()
        async with self._pool.acquire() as connection:
            for order in await tallies.ready(connection):
                await tallies.tally(connection, order)
                if time.monotonic() - began > _TALLYING_S:
                    return
