"""A background task of a worker that works on rows: woken or by the clock, and patient when something is away."""

import asyncio
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from mode import Service

from store.database import AWAY
from store.listening import listen

log = structlog.get_logger()


class RowService(Service):
    """Calls ``work`` again and again: at once while it says there is more, else when woken or after ``every_s``.

    A NOTIFY on ``wakes_on`` wakes it at once, one on ``wakes_soon_on`` within ``soon_s``: what comes meanwhile is
    dealt with in the same round.

    A database or a broker that is away is waited for; any other error ends the worker, loudly, to be started
    again by whoever supervises it.
    """

    def __init__(
        self,
        dsn: str,
        *,
        every_s: float,
        wakes_on: str | None = None,
        wakes_soon_on: str | None = None,
        soon_s: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._dsn = dsn
        self._every_s = every_s
        self._soon_s = soon_s
        self._wake = asyncio.Event()
        self._gathering: asyncio.TimerHandle | None = None
        named = {wakes_on: self._wake.set, wakes_soon_on: self._gather}
        self._wakes = {channel: wake for channel, wake in named.items() if channel is not None}

    async def work(self) -> bool:
        """One round; True when there is more to do at once."""
        raise TypeError(f"{type(self).__name__} has no work")

    async def on_start(self) -> None:
        """Begin to listen."""
        if self._wakes:
            self.add_future(listen(self._dsn, self._wakes))

    @Service.task
    async def _run(self) -> None:
        pause = 0.1
        while not self.should_stop:
            self._wake.clear()
            self._gathered()
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
        waiting = [asyncio.ensure_future(self._wake.wait())]
        try:
            await self.wait_for_stopped(*waiting, timeout=self._every_s)
        finally:
            for one in waiting:
                one.cancel()

    def _gather(self) -> None:
        if self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(self._soon_s, self._wake.set)

    def _gathered(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None

    async def on_stop(self) -> None:
        """Wait for nothing any more."""
        self._gathered()
