"""The portal's way to PostgreSQL: opened when it is there, asked for again politely when it is not."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from store.database import AWAY, Connection, Pool, open_pool

_ASK_AGAIN_S = 1.0
_log = structlog.get_logger(__name__)


class DatabaseAway(Exception):
    """PostgreSQL does not answer now; the same request is expected to work later."""


class Database:
    """Connections for the requests of one process. Safe to use before PostgreSQL is up, and across its restarts."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pool: Pool | None = None
        self._opening = asyncio.Lock()
        self._refused_at = -_ASK_AGAIN_S

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for this block. Raises DatabaseAway, also for what fails that way inside the block."""
        try:
            async with (await self._open()).acquire(timeout=5) as connection:
                try:
                    yield connection
                except Exception as error:
                    # asyncpg tells a server that left between two questions by an error of its own inner state
                    if connection.is_closed() and not isinstance(error, AWAY):
                        raise ConnectionError(str(error)) from error
                    raise
        except AWAY as error:
            _log.warning("database away", error=type(error).__name__)
            raise DatabaseAway from error

    async def _open(self) -> Pool:
        async with self._opening:
            if self._pool is None:
                # many pages may ask at once while it is away: only one of them tries, once a second
                if time.monotonic() - self._refused_at < _ASK_AGAIN_S:
                    raise DatabaseAway
                try:
                    self._pool = await open_pool(self._dsn)
                except AWAY:
                    self._refused_at = time.monotonic()
                    raise
            return self._pool

    async def aclose(self) -> None:
        """Give every connection back; those still busy after three seconds are cut."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), 3)
        except TimeoutError:
            pool.terminate()
