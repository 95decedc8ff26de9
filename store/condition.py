"""What the doctor and other commands ask the database about itself and its authorities."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from store.database import Connection

REFUSED: tuple[type[Exception], ...] = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)
"""A server that answers, and refuses us: wrong user or password, no such database, no right to something."""


@dataclass(frozen=True, slots=True)
class AuthorityCondition:
    """One authority. ``restricted``: it writes to its allow-list only. ``rules``: its rules file, None without.

    ``mail_from`` is the address in the From of its mails.
    """

    code: str
    name: str
    restricted: bool
    rules: str | None
    mail_from: str


async def clock(connection: Connection) -> datetime:
    """The database's time, by which everything is due."""
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return now


async def version(connection: Connection) -> str:
    """The server's version: "18.1"."""
    found: str = await connection.fetchval("SELECT current_setting('server_version')")
    return found.split(" ")[0]


async def authorities(connection: Connection) -> list[AuthorityCondition]:
    """Every authority, by its code."""
    rows = await connection.fetch(
        "SELECT a.code, a.name, a.restricted, r.filename, a.identity->>'mail_from' FROM authority a"
        " LEFT JOIN rule_set r ON r.authority_id = a.id ORDER BY a.code"
    )
    return [AuthorityCondition(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Keeping:
    """How the server keeps what it acknowledged. ``turned_off`` are its settings that make a commit a promise no more.

    ``connections`` are taken of ``most``, over all databases of the server. ``standby``: it takes no writes.
    """

    turned_off: tuple[str, ...]
    connections: int
    most: int
    standby: bool


async def keeping(connection: Connection) -> Keeping:
    """What the server does with what it is told to keep."""
    row = await connection.fetchrow(
        "SELECT ARRAY(SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')"
        " AND setting = 'off' ORDER BY name) AS turned_off,"
        " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,"
        " current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most,"
        " pg_is_in_recovery() AS standby"
    )
    assert row is not None
    return Keeping(tuple(row["turned_off"]), row["connections"], row["most"], row["standby"])
