"""Keeps receipts that come over connections of ours: whatever comes while one group is committed is the next group."""

import asyncio

import structlog

from publishers.base import Incoming
from store import receipts
from store.database import AWAY, Pool
from store.receipts import Arrived

log = structlog.get_logger()

_GATHER_S = 0.005
"""A group waits this long for company: less than a commit takes, so that a small window of the SMSC stays quick."""

_Waiting = list[tuple[Arrived, asyncio.Future[None]]]


class Keeper:
    """Commits receipts in groups of up to ``receipts.GROUP``, one group at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: _Waiting = []
        self._writing: asyncio.Task[None] | None = None

    async def keep(self, channel: str, said: Incoming) -> None:
        """Return once it is committed. Raises what kept it from that: the provider must tell it again."""
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        arrived = Arrived(channel, said.kind, said.body, said.hint, said.reference, said.arrival)
        self._waiting.append((arrived, kept))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="keeps receipts")
        await kept

    async def _write(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(_GATHER_S)
                group, self._waiting = self._waiting[: receipts.GROUP], self._waiting[receipts.GROUP :]
                await self._commit(group)
        finally:
            self._writing = None
            for _, kept in self._waiting:  # only when this very task is ended
                kept.cancel()
            self._waiting = []

    async def _commit(self, group: _Waiting) -> None:
        try:
            async with self._pool.acquire() as connection:
                ids = await receipts.keep_all(connection, [arrived for arrived, _ in group])
        except AWAY as error:
            _tell(group, error)
        except Exception as error:
            if len(group) == 1:
                _tell(group, error)
            for one in group if len(group) > 1 else ():  # one of them can't be kept: the others can
                await self._commit([one])
        else:
            new = [receipt for receipt in ids if receipt is not None]
            log.info("receipts_kept", count=len(new), repeats=len(ids) - len(new), first=min(new, default=None))
            _tell(group, None)


def _tell(group: _Waiting, error: BaseException | None) -> None:
    for _, kept in group:
        if kept.done():
            continue  # its session is over: nobody waits for it any more
        if error is None:
            kept.set_result(None)
        else:
            kept.set_exception(error)
