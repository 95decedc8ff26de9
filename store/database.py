"""Connections, transactions, and which failures are the database being away rather than wrong."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:  # asyncpg's stubs make these generic; the classes themselves are not
    Connection = asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]
    Pool = asyncpg.Pool[Any]
else:
    Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
    Pool = asyncpg.Pool

CROSSED: tuple[type[Exception], ...] = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
)
"""Two transactions were in each other's way, and this one was undone."""

AWAY: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a pooled connection that the server ended while it was idle
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    *CROSSED,
)
"""Failures that pass: the same work done again later is expected to succeed. Anything else is a defect."""


async def _prepare(connection: "asyncpg.Connection[Any]") -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


async def connect(dsn: str) -> "asyncpg.Connection[Any]":
    """One connection for what holds its own (LISTEN, migrations). Raises one of AWAY when there is no server."""
    connection = await asyncpg.connect(dsn, timeout=10)
    await _prepare(connection)
    return connection


class _PlainConnection(asyncpg.Connection):
    """Given back to the pool without a question to the server: nothing of ours sets anything for a session."""

    def get_reset_query(self) -> str:
        return ""


async def open_pool(dsn: str, *, size: int = 8) -> Pool:
    """A pool of at most ``size`` connections, opened as they are needed: making it needs no server."""
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size,
        init=_prepare,
        command_timeout=30,
        timeout=10,
        connection_class=_PlainConnection,
    )


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """One transaction on a pooled connection: committed when the block ends well, undone otherwise."""
    async with pool.acquire() as connection, connection.transaction():
        yield connection


async def database_time(connection: Connection) -> datetime:
    """The database's time, when the caller's transaction began: what decides about times, not a worker's clock."""
    found: datetime = await connection.fetchval("SELECT now()")
    return found


async def impatient(connection: Connection, seconds: int) -> None:
    """Until the caller's transaction ends, wait for no lock for longer: one of CROSSED is raised then."""
    await connection.execute(f"SET LOCAL lock_timeout = '{seconds:d}s'")
