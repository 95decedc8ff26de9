"""Events as they arrived, once each: the deduplication of intake, and what became of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store.database import Connection

Name = tuple[str, str]
"""What tells an event from all others: its source and id."""


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
    seen: int = 1
    """How often it has arrived: more than once when its repeats are taken in by the same commit."""


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


async def known(connection: Connection, names: Sequence[Name]) -> set[Name]:
    """Those of these events that are recorded."""
    rows = await connection.fetch(
        "SELECT source, event_id FROM event JOIN unnest($1::text[], $2::text[]) AS n(source, event_id)"
        " USING (source, event_id)",
        [source for source, _ in names],
        [event_id for _, event_id in names],
    )
    return {(row["source"], row["event_id"]) for row in rows}


async def seen_again(connection: Connection, times: Mapping[Name, int]) -> bool:
    """Count so many more arrivals of recorded events; False when one of them is gone (roll back then)."""
    if not times:
        return True
    rows = await connection.fetch(
        "UPDATE event SET seen = seen + n.times FROM unnest($1::text[], $2::text[], $3::int[])"
        " AS n(source, event_id, times) WHERE event.source = n.source AND event.event_id = n.event_id"
        " RETURNING event.id",
        [source for source, _ in times],
        [event_id for _, event_id in times],
        list(times.values()),
    )
    return len(rows) == len(times)


async def add(connection: Connection, arrival: Arrival) -> int | None:
    """Record a new event and return its row; None when another worker recorded it first (roll back then)."""
    found = await _add(connection, [arrival])
    return found[0] if found else None


async def add_all(connection: Connection, arrivals: Sequence[Arrival]) -> bool:
    """Record different new events, in this order; False when another worker recorded one first (roll back then)."""
    return not arrivals or len(await _add(connection, arrivals)) == len(arrivals)


async def _add(connection: Connection, arrivals: Sequence[Arrival]) -> list[int]:
    rows = await connection.fetch(
        "INSERT INTO event (source, event_id, type, authority_id, matter, revision, action, outcome, occurred_at,"
        " announcement_id, version, seen, payload)"
        " SELECT source, event_id, type, authority_id, matter, revision, action, outcome, occurred_at,"
        "  announcement_id, version, seen, payload::jsonb"
        " FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::int[], $7::text[], $8::text[],"
        "  $9::timestamptz[], $10::bigint[], $11::int[], $12::int[], $13::text[]) WITH ORDINALITY AS a(source,"
        "  event_id, type, authority_id, matter, revision, action, outcome, occurred_at, announcement_id, version,"
        "  seen, payload, place)"
        " ORDER BY place ON CONFLICT (source, event_id) DO NOTHING RETURNING id",
        [one.source for one in arrivals],
        [one.event_id for one in arrivals],
        [one.type for one in arrivals],
        [one.authority_id for one in arrivals],
        [one.matter for one in arrivals],
        [one.revision for one in arrivals],
        [one.action for one in arrivals],
        [one.outcome for one in arrivals],
        [one.occurred_at for one in arrivals],
        [one.announcement_id for one in arrivals],
        [one.version for one in arrivals],
        [one.seen for one in arrivals],
        [json.dumps(one.payload) for one in arrivals],
    )
    return [row["id"] for row in rows]
