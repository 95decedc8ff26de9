"""A background task of a worker that works on rows: woken or by the clock, and patient when something is away."""

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from mode import Service

from store.database import AWAY
from store.listening import listen

log = structlog.get_logger()


class RowService(Service):
    """Calls ``work`` again and again: at once while it says there is more, else when woken or after ``every_s``.

    A database or a broker that is away is waited for; any other error ends the worker, loudly, to be started
    again by whoever supervises it.
    """

    def __init__(self, dsn: str, *, every_s: float, wakes_on: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._dsn = dsn
        self._every_s = every_s
        self._wakes_on = wakes_on
        self._wake = asyncio.Event()

    async def work(self) -> bool:
        """One round; True when there is more to do at once."""
        raise TypeError(f"{type(self).__name__} has no work")

    async def on_start(self) -> None:
        """Begin to listen."""
        if self._wakes_on:
            self.add_future(listen(self._dsn, self._wakes_on, self._wake))

    @Service.task
    async def _run(self) -> None:
        pause = 0.1
        while not self.should_stop:
            self._wake.clear()
            try:
                more = await self.work()
                pause = 0.1
            except (*AWAY, KafkaError) as error:
                log.warning("service_waits", service=type(self).__name__, error=type(error).__name__)
                await self.sleep(pause)
                pause = min(2.0, pause * 2)
                continue
            if not more:
                await self._rest()

    async def _rest(self) -> None:
        waiting: Sequence[asyncio.Future[Any]] = [asyncio.ensure_future(self._wake.wait())]
        try:
            await self.wait_for_stopped(*waiting, timeout=self._every_s)
        finally:
            for one in waiting:
                one.cancel()
