"""Records outcomes of a claimed batch in groups, ``GROUP_S`` after they are known, whatever the database does."""

import asyncio
from collections.abc import Sequence
from time import perf_counter

import structlog

from hub import metrics, suppression
from schemas import tracing
from store import batches, deliveries
from store.batches import Claimed
from store.database import AWAY, Pool, transaction
from store.deliveries import Record

log = structlog.get_logger()

GROUP_S = 0.02
"""Outcomes wait this long for company; with the commit, under the 50 ms that the bound on repeats reckons with."""


class Recorder:
    """Collects records of one batch; a task writes them. Use as an async context manager: leaving flushes."""

    def __init__(self, pool: Pool, batch: Claimed) -> None:
        self._pool = pool
        self._batch = batch
        self._pending: list[Record] = []
        self._something = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    async def __aenter__(self) -> "Recorder":
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None  # set by __aenter__
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()

    def add(self, *records: Record) -> None:
        """Have these recorded soon."""
        self._pending.extend(records)
        self._something.set()

    async def _run(self) -> None:
        while True:
            await self._something.wait()
            await asyncio.sleep(GROUP_S)
            await asyncio.shield(self.flush())

    async def flush(self) -> None:
        """Return when all that was added is recorded. Waits as long as the database is away."""
        async with self._writing:
            while self._pending:
                group = self._pending
                self._pending = []
                self._something.clear()
                try:
                    with tracing.span("record", outcomes=len(group)):
                        await self._write(group)
                except BaseException:
                    self._pending = [*group, *self._pending]  # whoever flushes next meets the failure, not a gap
                    raise

    async def _write(self, group: Sequence[Record]) -> None:
        pause, began = 0.1, perf_counter()
        while True:
            try:
                await self._record(group)
                metrics.recorded(self._batch.channel, (one.state for one in group), perf_counter() - began)
                return
            except AWAY as error:
                log.warning("recording_waits_for_database", batch=self._batch.id, error=type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(2.0, pause * 2)

    async def _record(self, group: Sequence[Record]) -> None:
        order, channel = self._batch.order_id, self._batch.channel
        waiting = [one.recipient_id for one in group if one.due is not None]
        if not (waiting or any(one.address_dead for one in group)):
            async with self._pool.acquire() as connection:  # one statement: a transaction of its own
                await deliveries.record(connection, order, channel, group, batch=self._batch.id)
            return
        async with transaction(self._pool) as connection:
            ours = await batches.still_ours(connection, self._batch, without=waiting)
            await deliveries.record(connection, order, channel, group, may_requeue=ours)
            await suppression.after_records(connection, order, channel, group)
