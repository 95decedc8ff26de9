"""A hub's database after months of work, made in SQL: orders, deliveries, batches, facts and references of providers.

Announcements go to ten thousand recipients each, one in five by SMS; one more goes to two hundred thousand. Of the
deliveries 96 of 100 are sent, 3 delivered, 1 failed with the fact that says why; they were sent 1 to 60 s after the
event. Nothing is open, and orders have the tallies that the clock would have made.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from bench import town
from schemas.deliveries import State, standing
from store import partitions, tallies
from store.database import Connection

PEOPLE, LARGE = 10_000, 200_000
SMS_EACH = 5
"""One order in so many goes by SMS, and its provider's references are kept."""
DAYS = 60
_BATCH = 200
_ORDERS_AT_ONCE = 20
_AREA, _LARGE_AREA = "ville", "agglomeration"


@dataclass(frozen=True, slots=True)
class Archive:
    """What was made: ids run from 1 without gaps, of announcements as of orders; the last is the large one."""

    orders: int
    people: int
    large: int
    deliveries: int
    references: int


async def fill(connection: Connection, deliveries: int, say: Callable[[str], None]) -> Archive:
    """About so many deliveries, in an empty database; then VACUUM ANALYZE."""
    large = min(LARGE, deliveries // 10)
    people = min(PEOPLE, max(100, deliveries // 100))
    orders = max(SMS_EACH, (deliveries - large) // people)
    authority = await town.found(connection, [_AREA, _LARGE_AREA])
    await town.subscribe(connection, authority, people, _AREA)
    await town.subscribe(connection, authority, large, _LARGE_AREA)
    await connection.execute(_ANNOUNCEMENTS, authority, orders + 1, DAYS)
    await connection.execute(_EVENTS, authority)
    await connection.execute(_ORDERS, authority, orders, people, large, SMS_EACH)
    for start in range(1, orders + 1, _ORDERS_AT_ONCE):
        await _deliver(connection, start, min(start + _ORDERS_AT_ONCE - 1, orders), 1, people)
        if start // _ORDERS_AT_ONCE % 5 == 4:
            say(f"  {start * people:,} of {deliveries:,} deliveries")
    await _deliver(connection, orders + 1, orders + 1, people + 1, people + large)
    await connection.execute(_REFERENCES, timeout=600)
    await tally(connection)
    await connection.execute("VACUUM (ANALYZE)", timeout=600)
    made = await connection.fetchrow(
        "SELECT (SELECT count(*) FROM delivery), (SELECT count(*) FROM provider_reference)"
    )
    assert made is not None  # an aggregate has one row
    return Archive(orders, people, large, made[0], made[1])


async def tally(connection: Connection) -> None:
    """What the clock does when nobody works on an order any more: afterwards all have their tallies."""
    while await connection.fetchval("SELECT EXISTS (SELECT FROM delivery_order WHERE tallied_at IS NULL)"):
        for order in await tallies.ready(connection):
            await tallies.tally(connection, order)
        await asyncio.sleep(0.1)  # those that were just changed have a moment's grace


async def grow_old(connection: Connection) -> None:
    """All of it is fourteen months older, and the month in which it was is over."""
    await connection.execute(_OLDER)
    for _ in range(2):  # the clock makes the next cell, then lets orders' ids leap to it
        async with connection.transaction():
            await partitions.ensure(connection)


def reference(order: int, recipient: int) -> str:
    """The provider's reference of a delivery by SMS."""
    return f"main:bench-{order}-{recipient}"


async def _deliver(connection: Connection, first: int, last: int, lowest: int, highest: int) -> None:
    numbers = (first, last, lowest, highest)
    states = (standing(State.SENT), standing(State.DELIVERED), standing(State.FAILED))
    await connection.execute(_DELIVERIES, *numbers, *states, timeout=600)
    await connection.execute(_BATCHES, *numbers, _BATCH, timeout=600)
    await connection.execute(_FACTS, *numbers[:2], State.FAILED.value, timeout=600)


# Ids are given, as identity columns count from 1 in an empty database; the one that matters later is set.
_ANNOUNCEMENTS = """
WITH made AS (
    INSERT INTO announcement (authority_id, matter, revision, version, created_at)
    SELECT $1, 'archive-' || n, 1, 1, now() - make_interval(secs => 86400.0 * $3::int * (1 - n::float8 / $2::int))
    FROM generate_series(1, $2::int) n ORDER BY n RETURNING id, matter, created_at)
INSERT INTO announcement_version (announcement_id, version, content, created_at)
SELECT id, 1, jsonb_build_object('headline', matter, 'body', repeat('La rivière monte. ', 40)), created_at FROM made"""

_EVENTS = """
INSERT INTO event (source, event_id, type, authority_id, matter, revision, action, outcome, occurred_at, received_at,
                   announcement_id, version, payload)
SELECT '/bench', matter, 'fr.tambour.notice', $1, matter, 1, 'announce', 'announced', created_at, created_at, id, 1,
       jsonb_build_object('matter', matter, 'body', repeat('La rivière monte. ', 40))
FROM announcement ORDER BY id"""

_ORDERS = """
INSERT INTO delivery_order (announcement_id, version, authority_id, channel, family, lane, broadcast, expires,
                            page_cursor, recipients, moved_at, fanned_out_at, created_at)
SELECT id, 1, $1, c, c, 'bulk', false, created_at + interval '2 days', 0, CASE WHEN id > $2 THEN $4::bigint ELSE $3 END,
       created_at, created_at, created_at
FROM announcement, LATERAL (SELECT CASE WHEN id % $5 = 0 AND id <= $2 THEN 'sms' ELSE 'email' END) AS of(c)
ORDER BY id"""

_DELIVERIES = """
INSERT INTO delivery (order_id, recipient_id, standing, tries, sent_at, updated_at)
SELECT o.id, r, CASE WHEN (r + o.id) % 100 < 96 THEN $5::int WHEN (r + o.id) % 100 < 99 THEN $6 ELSE $7 END, 1,
       o.created_at + make_interval(secs => 1 + (r - $3) * 59.0 / ($4 - $3 + 1)), o.created_at + interval '61 seconds'
FROM delivery_order o, generate_series($3::bigint, $4::bigint) r WHERE o.id BETWEEN $1 AND $2 ORDER BY 1, 2"""

_BATCHES = """
INSERT INTO batch (order_id, authority_id, channel, family, lane, members, state, epoch, not_before, changed_at)
SELECT o.id, o.authority_id, o.channel, o.family, o.lane,
       ARRAY(SELECT generate_series(low, least(low + $5 - 1, $4::bigint))), 'done', 1, o.created_at, o.created_at
FROM delivery_order o, generate_series($3::bigint, $4::bigint, $5) low WHERE o.id BETWEEN $1 AND $2 ORDER BY 1, low"""

_FACTS = """
INSERT INTO fact (order_id, recipient_id, attempt, state, at, code, reason)
SELECT order_id, recipient_id, 1, $3::int, updated_at, '550 5.1.1', 'there is no such mailbox'
FROM delivery WHERE order_id BETWEEN $1 AND $2 AND standing % 16 = $3::int"""

_OLDER = """
UPDATE delivery_order SET created_at = created_at - interval '14 months', expires = expires - interval '14 months'"""

_REFERENCES = """
INSERT INTO provider_reference (channel, reference, order_id, recipient_id, attempt)
SELECT 'sms', 'main:bench-' || o.id || '-' || d.recipient_id, o.id, d.recipient_id, 1
FROM delivery_order o JOIN delivery d ON d.order_id = o.id WHERE o.channel = 'sms'"""
