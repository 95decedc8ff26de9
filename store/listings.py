"""Filtered lists that page by key: events and deliveries. What every number on a page links to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from schemas.deliveries import DeliveryId, State, attempt_of, state_of
from store.database import Connection
from store.tallies import COVERED, END_RANKS

UNACCOUNTED = "unaccounted"
"""A filter beside the states: deliveries that neither ended nor wait for anything. There should be none."""

_DEFAULT_ZONE = "Europe/Paris"
_LAST = 2**63 - 1

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


_MANY = 500
"""A text found in more addresses than this is looked for delivery by delivery: a page of them is soon full."""

# Every address is looked at, 0.1 ms a thousand: the collation is the one that compares bytes.
_PEOPLE = """
SELECT r.id, r.authority_id, r.channel FROM recipient r
WHERE ($2::text IS NULL OR r.channel = $2) AND lower(r.address COLLATE "C") LIKE $1 LIMIT $3"""

# $1 orders or NULL, $2 channel, $3 since, $4 and $5 the delivery that the last page ended with, $6 page, $7 rank.
# A tally says which orders have a delivery in that state at all: the others are not read.
_ORDERS = """
o.purged_at IS NULL AND ($1::bigint[] IS NULL OR o.id = ANY($1)) AND ($2::text IS NULL OR o.channel = $2)
AND ($3::timestamptz IS NULL OR o.created_at >= $3) AND o.id <= $4
AND ($7::int IS NULL OR o.tallied_at IS NULL
     OR EXISTS (SELECT FROM order_tally t WHERE t.order_id = o.id AND t.rank = $7))"""

_WITHIN = f"""
d.recipient_id < CASE WHEN o.id < $4 THEN {_LAST} ELSE $5 END AND ($7::int IS NULL OR d.standing % 16 = $7)"""

# Newest order first, each order's deliveries by its part of the key, until the page is full.
_WALK = f"""
SELECT o.id AS order_id, d.recipient_id FROM delivery_order o CROSS JOIN LATERAL (
    SELECT d.recipient_id FROM delivery d {{join}} WHERE d.order_id = o.id AND {_WITHIN} {{condition}}
    ORDER BY d.recipient_id DESC LIMIT $6) d
WHERE {_ORDERS} ORDER BY o.id DESC, d.recipient_id DESC LIMIT $6"""

# A recipient has deliveries in orders of its authority and channel only: each is one look at the key.
_OF_PEOPLE = f"""
SELECT o.id AS order_id, d.recipient_id
FROM unnest($8::bigint[], $9::bigint[], $10::text[]) AS r(id, authority_id, channel)
JOIN delivery_order o ON o.authority_id = r.authority_id AND o.channel = r.channel
JOIN delivery d ON d.order_id = o.id AND d.recipient_id = r.id
WHERE {_ORDERS} AND {_WITHIN} {{condition}} ORDER BY o.id DESC, d.recipient_id DESC LIMIT $6"""

_IS_UNACCOUNTED = f"""
AND (o.tallied_at IS NULL OR o.unaccounted > 0) AND d.standing % 16 <> ALL ('{{{", ".join(map(str, END_RANKS))}}}')
AND NOT EXISTS (SELECT FROM covered c WHERE c.order_id = d.order_id AND c.recipient_id = d.recipient_id)"""

_ROWS = """
SELECT d.*, o.announcement_id, o.version, o.channel, o.lane, r.address, r.language, due.kind, due.at AS due_at,
       f.code, f.reason, extract(epoch FROM d.sent_at - e.received_at)::float8 AS seconds
FROM unnest($1::bigint[], $2::bigint[]) AS key(order_id, recipient_id)
JOIN delivery d ON d.order_id = key.order_id AND d.recipient_id = key.recipient_id
JOIN delivery_order o ON o.id = d.order_id
LEFT JOIN recipient r ON r.id = d.recipient_id
LEFT JOIN due ON due.order_id = d.order_id AND due.recipient_id = d.recipient_id
LEFT JOIN LATERAL (
    SELECT code, reason FROM fact WHERE fact.order_id = d.order_id AND fact.recipient_id = d.recipient_id
    ORDER BY at DESC LIMIT 1) f ON true
LEFT JOIN LATERAL (
    SELECT min(received_at) AS received_at FROM event WHERE event.announcement_id = o.announcement_id
    AND event.version = o.version AND event.outcome = 'announced') e ON true
ORDER BY d.order_id DESC, d.recipient_id DESC"""


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
    address, whatever its case; ``since`` is about when the order was made. ``delivery`` stands alone.
    """
    rank = None
    if state is not None and state != UNACCOUNTED:
        try:
            rank = State[state.upper()].value
        except KeyError:
            raise ValueError(f"no state {state!r}") from None
    if delivery is not None:
        return await _rows(connection, [(delivery.order_id, delivery.recipient_id)])
    orders = None if order_id is None else [order_id]
    if announcement_id is not None:
        rows = await connection.fetch(
            "SELECT id FROM delivery_order WHERE announcement_id = $1 AND ($2::bigint[] IS NULL OR id = ANY($2))",
            announcement_id,
            orders,
        )
        orders = [row["id"] for row in rows]
    last = before or DeliveryId(_LAST, _LAST)
    asked: list[Any] = [orders, channel, since, last.order_id, last.recipient_id, limit, rank]
    condition = _IS_UNACCOUNTED if state == UNACCOUNTED else ""
    query, more = _WALK.format(join="", condition=condition), list[Any]()
    if search is not None:
        anywhere = "%" + re.sub(r"([\\%_])", r"\\\1", search.lower()) + "%"
        people = await connection.fetch(_PEOPLE, anywhere, channel, _MANY + 1)
        if len(people) <= _MANY:
            query = _OF_PEOPLE.format(condition=condition)
            more = [[person[part] for person in people] for part in ("id", "authority_id", "channel")]
        else:
            condition += " AND position(lower($8::text) IN lower(r.address)) > 0"
            query = _WALK.format(join="JOIN recipient r ON r.id = d.recipient_id", condition=condition)
            more = [search]
    if state == UNACCOUNTED:
        query = f"WITH covered AS MATERIALIZED ({COVERED}) {query}"
    keys = await connection.fetch(query, *asked, *more)
    return await _rows(connection, [(key["order_id"], key["recipient_id"]) for key in keys])


async def _rows(connection: Connection, keys: Sequence[tuple[int, int]]) -> list[DeliveryRow]:
    """The deliveries of these keys with what is shown of each."""
    rows = await connection.fetch(_ROWS, [key[0] for key in keys], [key[1] for key in keys]) if keys else []
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
