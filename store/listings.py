"""Filtered lists that page by key: events and deliveries. What every number on a page links to."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from schemas.deliveries import ENDS, DeliveryId, State, attempt_of, state_of
from store.database import Connection

UNACCOUNTED = "unaccounted"
"""A filter beside the states: deliveries that neither ended nor wait for anything. There should be none."""

END_RANKS = sorted(state.value for state in ENDS)

UNACCOUNTED_WHERE = """
    d.standing % 16 <> ALL($1::int[])
    AND NOT EXISTS (SELECT FROM due WHERE due.order_id = d.order_id AND due.recipient_id = d.recipient_id)
    AND NOT EXISTS (SELECT FROM batch b WHERE b.order_id = d.order_id AND b.state <> 'done'
                    AND d.recipient_id = ANY(b.members))
"""

_DEFAULT_ZONE = "Europe/Paris"

EVENT_COLUMNS = """
    e.id, e.source, e.event_id, e.type, e.matter, e.revision, e.action, e.outcome, e.occurred_at, e.received_at,
    e.seen, e.announcement_id, e.version, e.payload, a.code, a.name, a.time_zone
    FROM event e LEFT JOIN authority a ON a.id = e.authority_id
"""


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event as intake recorded it. ``seen`` counts its arrivals: 1, and one for each repeat."""

    id: int
    source: str
    event_id: str
    type: str
    authority: str | None
    authority_name: str | None
    time_zone: str
    matter: str | None
    revision: int | None
    action: str | None
    outcome: str
    occurred_at: datetime | None
    received_at: datetime
    seen: int
    announcement_id: int | None
    version: int | None
    payload: Any


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One delivery in a list. ``address`` is None once the recipient has been erased.

    ``code`` and ``reason`` are those of its latest fact; ``waits`` the kind of its due row, until ``due_at``.
    """

    public: str
    order_id: int
    recipient_id: int
    announcement_id: int
    version: int
    channel: str
    lane: str
    address: str | None
    language: str | None
    state: str
    attempt: int
    tries: int
    sent_at: datetime | None
    updated_at: datetime
    code: str | None
    reason: str | None
    waits: str | None
    due_at: datetime | None
    seconds: float | None
    """From the event's arrival to the provider's acceptance; None before that."""


def event_row(row: asyncpg.Record) -> EventRow:
    """The event in a row of EVENT_COLUMNS."""
    return EventRow(
        id=row["id"],
        source=row["source"],
        event_id=row["event_id"],
        type=row["type"],
        authority=row["code"],
        authority_name=row["name"],
        time_zone=row["time_zone"] or _DEFAULT_ZONE,
        matter=row["matter"],
        revision=row["revision"],
        action=row["action"],
        outcome=row["outcome"],
        occurred_at=row["occurred_at"],
        received_at=row["received_at"],
        seen=row["seen"],
        announcement_id=row["announcement_id"],
        version=row["version"],
        payload=row["payload"],
    )


async def events(
    connection: Connection,
    *,
    authority: str | None = None,
    outcome: str | None = None,
    search: str | None = None,
    since: datetime | None = None,
    before_id: int | None = None,
    limit: int = 50,
) -> list[EventRow]:
    """Events, newest first, after the page that ended with ``before_id``.

    ``authority`` is a code; ``search`` is found anywhere in source, id, type or matter, whatever the case.
    """
    rows = await connection.fetch(
        f"""
        SELECT {EVENT_COLUMNS}
        WHERE ($1::text IS NULL OR a.code = $1) AND ($2::text IS NULL OR e.outcome = $2)
          AND ($3::text IS NULL OR position(lower($3) IN lower(
                concat_ws(' ', e.source, e.event_id, e.type, e.matter))) > 0)
          AND ($4::timestamptz IS NULL OR e.received_at >= $4) AND ($5::bigint IS NULL OR e.id < $5)
        ORDER BY e.id DESC LIMIT $6
        """,
        authority,
        outcome,
        search,
        since,
        before_id,
        limit,
    )
    return [event_row(row) for row in rows]


async def deliveries(
    connection: Connection,
    *,
    announcement_id: int | None = None,
    order_id: int | None = None,
    delivery: DeliveryId | None = None,
    channel: str | None = None,
    state: str | None = None,
    search: str | None = None,
    since: datetime | None = None,
    before: DeliveryId | None = None,
    limit: int = 50,
) -> list[DeliveryRow]:
    """Deliveries, newest order first, after the page that ended with ``before``.

    ``state`` is a state's word or UNACCOUNTED (ValueError for another); ``search`` is found anywhere in the
    address; ``since`` is about when the order was made.
    """
    rank = None
    if state is not None and state != UNACCOUNTED:
        try:
            rank = State[state.upper()].value
        except KeyError:
            raise ValueError(f"no state {state!r}") from None
    orders = None if order_id is None else [order_id]
    if announcement_id is not None:
        # by its orders' ids, which begin the key: a condition on the announcement would read the key backwards
        rows = await connection.fetch(
            "SELECT id FROM delivery_order WHERE announcement_id = $1 AND ($2::bigint[] IS NULL OR id = ANY($2))",
            announcement_id,
            orders,
        )
        orders = [row["id"] for row in rows]
    within = "d.order_id = ANY($2::bigint[])" if orders is not None else "$2::bigint[] IS NULL"
    unaccounted = f"AND {UNACCOUNTED_WHERE}" if state == UNACCOUNTED else "AND $1::int[] IS NOT NULL"
    one = delivery or DeliveryId(0, 0)
    rows = await connection.fetch(
        f"""
        SELECT d.*, o.announcement_id, o.version, o.channel, o.lane, r.address, r.language, due.kind, due.at AS due_at,
               f.code, f.reason, extract(epoch FROM d.sent_at - e.received_at)::float8 AS seconds
        FROM delivery d
        JOIN delivery_order o ON o.id = d.order_id
        LEFT JOIN recipient r ON r.id = d.recipient_id
        LEFT JOIN due ON due.order_id = d.order_id AND due.recipient_id = d.recipient_id
        LEFT JOIN LATERAL (
            SELECT code, reason FROM fact WHERE fact.order_id = d.order_id AND fact.recipient_id = d.recipient_id
            ORDER BY at DESC LIMIT 1) f ON true
        LEFT JOIN LATERAL (
            SELECT min(received_at) AS received_at FROM event WHERE event.announcement_id = o.announcement_id
            AND event.version = o.version AND event.outcome = 'announced') e ON true
        WHERE {within}
          AND (NOT $3::boolean OR (d.order_id, d.recipient_id) = ($4::bigint, $5::bigint))
          AND ($6::text IS NULL OR o.channel = $6) AND ($7::int IS NULL OR d.standing % 16 = $7)
          AND ($8::text IS NULL OR position(lower($8) IN lower(r.address)) > 0)
          AND ($9::timestamptz IS NULL OR o.created_at >= $9)
          AND (NOT $10::boolean OR (d.order_id, d.recipient_id) < ($11::bigint, $12::bigint))
          {unaccounted}
        ORDER BY d.order_id DESC, d.recipient_id DESC LIMIT $13
        """,
        END_RANKS,
        orders,
        delivery is not None,
        one.order_id,
        one.recipient_id,
        channel,
        rank,
        search,
        since,
        before is not None,
        before.order_id if before else 0,
        before.recipient_id if before else 0,
        limit,
    )
    return [
        DeliveryRow(
            public=DeliveryId(row["order_id"], row["recipient_id"]).public,
            order_id=row["order_id"],
            recipient_id=row["recipient_id"],
            announcement_id=row["announcement_id"],
            version=row["version"],
            channel=row["channel"],
            lane=row["lane"],
            address=row["address"],
            language=row["language"],
            state=state_of(row["standing"]).word,
            attempt=attempt_of(row["standing"]),
            tries=row["tries"],
            sent_at=row["sent_at"],
            updated_at=row["updated_at"],
            code=row["code"],
            reason=row["reason"],
            waits=row["kind"],
            due_at=row["due_at"],
            seconds=row["seconds"],
        )
        for row in rows
    ]
