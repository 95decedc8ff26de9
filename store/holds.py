"""Holds: nothing new is handed over for the hub, an authority, a channel or an announcement while one stands."""

from dataclasses import dataclass
from datetime import datetime

from store.database import Connection

SCOPES = ("hub", "authority", "channel", "announcement")


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold; ``key`` is "" for the hub, an authority's code, a channel's name, an announcement's id."""

    scope: str
    key: str
    reason: str
    since: datetime


async def place(connection: Connection, scope: str, key: str, reason: str) -> bool:
    """Begin a hold; False when it stands already. Windows being sent are finished, no new one begins."""
    return (
        await connection.fetchval(
            "INSERT INTO hold (scope, key, reason) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING true",
            scope,
            key,
            reason,
        )
        is not None
    )


async def release(connection: Connection, scope: str, key: str) -> bool:
    """End a hold; False when there is none. What waited goes on by itself."""
    return (
        await connection.fetchval("DELETE FROM hold WHERE scope = $1 AND key = $2 RETURNING true", scope, key)
        is not None
    )


async def standing(connection: Connection) -> list[Hold]:
    """Every hold, oldest first."""
    return [Hold(*row) for row in await connection.fetch("SELECT scope, key, reason, since FROM hold ORDER BY since")]
