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
    """One authority. ``restricted``: it writes to its allow-list only. ``rules``: its rules file, None without."""

    code: str
    name: str
    restricted: bool
    rules: str | None


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
        "SELECT a.code, a.name, a.restricted, r.filename FROM authority a"
        " LEFT JOIN rule_set r ON r.authority_id = a.id ORDER BY a.code"
    )
    return [AuthorityCondition(*row) for row in rows]
