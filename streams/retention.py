"""Removes, a little after each month has begun, what is older than the settings say. Beside the clock, because it may
take long where the clock must not."""

from typing import Any

import structlog

from hub import retention
from hub.retention import Busy
from store.database import Pool, database_time
from streams.service import RowService

log = structlog.get_logger()

_EVERY_S = 600.0


class Retention(RowService):
    """Looks every ten minutes whether something has become too old. ``months`` 0: nothing ever does."""

    def __init__(self, pool: Pool, dsn: str, *, months: int, **options: Any) -> None:
        super().__init__(dsn, every_s=_EVERY_S, **options)
        self._pool = pool
        self._months = months

    async def work(self) -> bool:
        """One look."""
        if self._months == 0:
            return False
        async with self._pool.acquire() as connection:
            # the database's clock: a worker whose own is years ahead must not remove what is not old
            before = retention.cutoff(await database_time(connection), self._months)
            if not (await retention.old(connection, before)).anything:
                return False
            try:
                done = await retention.purge(connection, before)
            except Busy:
                log.info("purge_waits", before=f"{before:%Y-%m}")
                return False
        if done is not None:
            log.info(
                "purged",
                before=f"{before:%Y-%m}",
                orders=done.removed.orders,
                deliveries=done.removed.deliveries,
                receipts=done.removed.receipts,
                kept=done.kept,
                seconds=round(done.seconds, 1),
            )
        return False
