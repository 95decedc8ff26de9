"""Fan-out of an order: a page of its audience becomes deliveries and batches, in one transaction.

The audience is what matches when its page is read. The cursor, the deliveries, the batches and the messages that
announce them are committed together, so a page that is repeated after a crash finds its cursor moved on.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas import tracing
from schemas.deliveries import State, standing
from schemas.lanes import Lane
from store import outbox
from store.database import Connection
from store.deliveries import UNCLEAR

_HELD = ", ".join(str(state.value) for state in (State.UNKNOWN, State.SENT, State.DELIVERED))

Row = Mapping[str, Any]


def fan_out_topic(lane: Lane | str) -> str:
    """The topic on which orders of a lane ask for their next pages."""
    return f"tambour.orders.{Lane(lane).value}"


def batches_topic(family: str, lane: Lane | str) -> str:
    """The topic on which batches of a family and lane are dispatched."""
    return f"tambour.batches.{family}.{Lane(lane).value}"


def order_message(order: int, lane: Lane | str, trace: str | None = None) -> outbox.Outgoing:
    """Asks for the next pages of an order. ``trace`` is its traceparent."""
    return outbox.Outgoing(fan_out_topic(lane), json.dumps({"order": order}).encode(), b"%d" % order, _traced(trace))


def batch_message(batch: int, family: str, lane: Lane | str, trace: str | None = None) -> outbox.Outgoing:
    """Offers a batch to the workers of its family and lane. ``trace`` is its order's traceparent."""
    topic, value = batches_topic(family, lane), json.dumps({"batch": batch}).encode()
    return outbox.Outgoing(topic, value, b"%d" % batch, _traced(trace))


def _traced(trace: str | None) -> tuple[tuple[str, bytes], ...]:
    return ((tracing.HEADER, trace.encode()),) if trace else ()


async def traceparent(connection: Connection, order: int) -> str | None:
    """The trace that an order belongs to."""
    found: str | None = await connection.fetchval("SELECT traceparent FROM delivery_order WHERE id = $1", order)
    return found


@dataclass(frozen=True, slots=True)
class Page:
    """What one page did: how many recipients it found, and whether the audience is at its end."""

    recipients: int
    last: bool
    dispatched: int = 0
    """Batches that this very page offers to workers."""


# FOR SHARE meets the FOR UPDATE of a new version (store.announcements.lock): either this page is committed
# before that version reads who holds this one, or this page sees that it has been superseded.
_LOCK_ORDER = """
SELECT o.id, o.announcement_id, o.version, o.authority_id, o.channel, o.family, o.lane, o.broadcast, o.audience,
       o.page_cursor, o.fanned_out_at, v.content, a.version = o.version AS current
FROM delivery_order o JOIN announcement_version v USING (announcement_id, version)
JOIN announcement a ON a.id = o.announcement_id
WHERE o.id = $1 FOR UPDATE OF o FOR SHARE OF a"""

_SUPERSEDED = "UPDATE delivery_order SET moved_at = now(), fanned_out_at = now() WHERE id = $1"

# An audience is a query of one to three parts over $1 order, $2 page size, $3 cursor, $4 channel; each part adds
# its own parameters behind those. Scalars, not a join with the order: so that the index gives the page in order.
# Few areas are each read in the order of recipients, and so cost what is found, be it twenty people of a million;
# everywhere, and many areas, are read by theme: then most of what is read is found.
_FEW_AREAS = 8

_MATCHES_OF_AREAS = """
SELECT found.recipient_id AS id
FROM unnest({1}::text[]) AS themes(theme) CROSS JOIN unnest({2}::text[]) AS areas(area)
CROSS JOIN LATERAL (
    SELECT s.recipient_id FROM subscription s
    WHERE s.authority_id = {0} AND s.channel = $4 AND s.theme = themes.theme AND s.area = areas.area
      AND s.recipient_id > $3
    ORDER BY s.recipient_id LIMIT $2) AS found"""

_MATCHES_OF_THEMES = """
SELECT found.recipient_id AS id
FROM unnest({1}::text[]) AS themes(theme)
CROSS JOIN LATERAL (
    SELECT DISTINCT s.recipient_id FROM subscription s
    WHERE s.authority_id = {0} AND s.channel = $4 AND s.theme = themes.theme AND s.recipient_id > $3
      AND (cardinality({2}::text[]) = 0 OR s.area = ANY({2}::text[]))
    ORDER BY s.recipient_id LIMIT $2) AS found"""

_ACCOUNTS = """
SELECT r.id FROM recipient r
WHERE r.authority_id = {0} AND r.channel = $4 AND r.id > $3 AND r.broadcast
ORDER BY r.id LIMIT $2"""

# Who has, or may have, an earlier version: also those in a window that is being sent right now, those of whom nobody
# ever learnt whether they have it, and accounts on which a thread was begun.
_HOLDERS = f"""
SELECT DISTINCT d.recipient_id AS id FROM delivery d JOIN delivery_order e ON e.id = d.order_id
WHERE e.announcement_id = {{0}} AND e.version < {{1}} AND e.channel = $4 AND d.recipient_id > $3
  AND (d.standing % 16 IN ({_HELD})
       OR EXISTS (SELECT FROM batch b WHERE b.order_id = d.order_id AND d.recipient_id = ANY(b.in_flight))
       OR EXISTS (SELECT FROM post p WHERE p.order_id = d.order_id AND p.recipient_id = d.recipient_id
                  AND p.begun_at IS NOT NULL)
       OR d.standing % 16 = {State.FAILED.value} AND EXISTS (
          SELECT FROM fact f WHERE f.order_id = d.order_id AND f.recipient_id = d.recipient_id
          AND f.state = {State.FAILED.value} AND f.code = '{UNCLEAR}'))
ORDER BY id LIMIT $2"""

_PAGE = f"""
WITH page AS (SELECT DISTINCT id FROM ({{audience}}) AS audience ORDER BY id LIMIT $2),
     made AS (INSERT INTO delivery (order_id, recipient_id, standing)
              SELECT $1, id, {standing(State.QUEUED)} FROM page),
     found AS (SELECT count(*) AS many, max(id) AS furthest, array_agg(id ORDER BY id) AS members FROM page),
     moved AS (UPDATE delivery_order SET page_cursor = coalesce(furthest, page_cursor), recipients = recipients + many,
                   moved_at = now(), fanned_out_at = CASE WHEN many < $2 THEN now() END
               FROM found WHERE id = $1)
SELECT members FROM found"""


async def fan_out_page(connection: Connection, order: int, size: int, batch_size: int | None = None) -> Page:
    """Read the next ``size`` recipients of an order and make their deliveries and batches.

    A batch holds ``batch_size`` of them, or the whole page; the order's first page is one batch, which need not wait
    for the rows of the next, nor have others' orders wait. Part of the caller's transaction, which must commit page
    by page. Batches of the urgent lane are dispatched by this very commit; others wait for the dispatcher's turn.
    """
    row = await connection.fetchrow(_LOCK_ORDER, order)
    if row is None or row["fanned_out_at"] is not None:
        return Page(0, last=True)
    if not row["current"]:
        await connection.execute(_SUPERSEDED, order)
        return Page(0, last=True)
    size = batch_size if batch_size and not row["page_cursor"] else size
    members = await _insert_page(connection, row, size)
    dispatched = await _add_batches(connection, row, members, batch_size or size) if members else 0
    return Page(len(members), len(members) < size, dispatched)


async def _insert_page(connection: Connection, row: Row, size: int) -> list[int]:
    arguments: list[Any] = [row["id"], size, row["page_cursor"], row["channel"]]
    parts: list[str] = []

    def add(part: str, *values: Any) -> None:
        numbers = [f"${len(arguments) + n}" for n in range(1, len(values) + 1)]
        parts.append(f"SELECT id FROM ({part.format(*numbers)}) AS part")
        arguments.extend(values)

    if row["audience"] != "holders":
        if row["broadcast"]:
            add(_ACCOUNTS, row["authority_id"])
        else:
            areas = sorted({"", *row["content"]["areas"]}) if row["content"]["areas"] else []  # "" is everywhere
            few = 0 < len(areas) <= _FEW_AREAS
            themes = sorted(set(row["content"]["themes"]))
            add(_MATCHES_OF_AREAS if few else _MATCHES_OF_THEMES, row["authority_id"], themes, areas)
    if row["audience"] != "matches":
        add(_HOLDERS, row["announcement_id"], row["version"])
    found = await connection.fetchval(_PAGE.format(audience=" UNION ".join(parts)), *arguments)
    return list(found or [])


async def _add_batches(connection: Connection, row: Row, members: list[int], size: int) -> int:
    urgent = row["lane"] == Lane.URGENT
    batches = await connection.fetch(
        "INSERT INTO batch (order_id, authority_id, channel, family, lane, members, state, lease_until)"
        " SELECT $1, $2, $3, $4, $5, ($6::bigint[])[first : first + $9 - 1], $7,"
        "  CASE WHEN $8 THEN now() + interval '10 seconds' END"
        " FROM generate_series(1, cardinality($6::bigint[]), $9::int) AS page(first) ORDER BY first RETURNING id",
        row["id"],
        row["authority_id"],
        row["channel"],
        row["family"],
        row["lane"],
        members,
        "dispatched" if urgent else "waiting",
        urgent,
        size,
    )
    if not urgent:
        await connection.execute("SELECT pg_notify('batches', '')")
        return 0
    await outbox.put(connection, [batch_message(batch["id"], row["family"], row["lane"]) for batch in batches])
    return len(batches)
