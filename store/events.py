"""Events as they arrived, once each: the deduplication of intake, and what became of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store.database import Connection


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is kept of an event. ``outcome`` is one of the words checked by the table."""

    source: str
    event_id: str
    type: str
    authority_id: int
    matter: str
    revision: int
    action: str
    outcome: str
    occurred_at: datetime | None
    payload: dict[str, Any]
    announcement_id: int | None = None
    version: int | None = None


async def seen(connection: Connection, source: str, event_id: str) -> bool:
    """Whether this event is known; if so, counts one more arrival of it."""
    return (
        await connection.fetchval(
            "UPDATE event SET seen = seen + 1 WHERE source = $1 AND event_id = $2 RETURNING id",
            source,
            event_id,
        )
        is not None
    )


async def add(connection: Connection, arrival: Arrival) -> int | None:
    """Record a new event and return its row; None when another worker recorded it first (roll back then)."""
    row: int | None = await connection.fetchval(
        "INSERT INTO event (source, event_id, type, authority_id, matter, revision, action, outcome, occurred_at,"
        " announcement_id, version, payload) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
        " ON CONFLICT (source, event_id) DO NOTHING RETURNING id",
        arrival.source,
        arrival.event_id,
        arrival.type,
        arrival.authority_id,
        arrival.matter,
        arrival.revision,
        arrival.action,
        arrival.outcome,
        arrival.occurred_at,
        arrival.announcement_id,
        arrival.version,
        arrival.payload,
    )
    return row
