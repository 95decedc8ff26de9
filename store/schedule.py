"""Work that waits for a time: batches to dispatch or dispatch again, retries, unclear outcomes.

Each call is one short transaction of the caller's; rows another process holds are passed over, so any number of
clocks and dispatchers may run. Times are the database's.
"""

from collections.abc import Sequence

from schemas import tracing
from schemas.lanes import Lane
from store import outbox, tallies
from store.database import Connection
from store.orders import batch_message

DISPATCH_LEASE_S = 10
"""A dispatched batch that nobody claimed in this time is dispatched again: its message may be lost."""

_READY = """b.family = $1 AND b.lane = $2 AND b.state = 'waiting' AND b.not_before <= now() AND NOT EXISTS (
    SELECT FROM hold h WHERE h.scope = 'hub' OR h.scope = 'channel' AND h.key = b.channel
    OR h.scope = 'authority' AND h.key = (SELECT t.code FROM authority t WHERE t.id = b.authority_id)
    OR h.scope = 'announcement'
       AND h.key = (SELECT o.announcement_id::text FROM delivery_order o WHERE o.id = b.order_id))"""

_SHORT = 16
"""Batches of an authority, under way and waiting, up to which all of them go in its first turn."""
_SHARE = 8
"""So many of an authority may be under way however many others there are."""

# Authorities take turns, then the orders of each: the first batch of everybody goes before anybody's second, and what
# is under way already counts, so that whoever holds every hand waits when one comes free. Whoever has few batches in
# all has them all go before the second turn of the others: taking turns with a very long queue would double the time
# of a short one, and the long one does not notice. Many short ones don't starve it: its first turn counts as theirs do.
# In the same round whoever was served longest ago is first, so that nobody waits for ever where more authorities wait
# than may be under way.
# Of the $4 that may be under way, a long queue has no more than its share while others have work: what it has on Kafka
# goes before their next pages. To choose $3 batches, nobody needs to look past the first $3 batches of an order, nor
# past $3 orders of an authority besides those under way; each step of the walks is one entry of the index batch_turns.
_CHOOSE = f"""
WITH RECURSIVE busy AS MATERIALIZED (
    SELECT b.authority_id, b.order_id, count(*) AS batches FROM batch b
    WHERE b.family = $1 AND b.lane = $2 AND b.state IN ('dispatched', 'claimed') GROUP BY 1, 2),
speaker(id) AS (
    (SELECT b.authority_id FROM batch b WHERE b.family = $1 AND b.lane = $2 AND b.state = 'waiting'
     ORDER BY b.authority_id LIMIT 1)
    UNION ALL
    SELECT following.id FROM speaker CROSS JOIN LATERAL (
        SELECT b.authority_id AS id FROM batch b WHERE b.family = $1 AND b.lane = $2 AND b.state = 'waiting'
        AND b.authority_id > speaker.id ORDER BY b.authority_id LIMIT 1) following),
line AS MATERIALIZED (
    SELECT speaker.id, few.waiting, holds.batches AS held, holds.batches + few.waiting <= {_SHORT} AS short,
           coalesce(served.at, '-infinity') AS served
    FROM speaker LEFT JOIN served ON served.family = $1 AND served.lane = $2 AND served.authority_id = speaker.id
    CROSS JOIN LATERAL (SELECT coalesce(sum(batches), 0) AS batches FROM busy WHERE authority_id = speaker.id) holds
    CROSS JOIN LATERAL (SELECT count(*) AS waiting FROM (
        SELECT FROM batch b WHERE b.authority_id = speaker.id AND {_READY} LIMIT {_SHORT} + 1) first) few),
share AS MATERIALIZED (
    SELECT greatest({_SHARE}, $4::int / greatest(1, count(*))) AS most FROM (
        SELECT id FROM line WHERE waiting > 0 UNION SELECT authority_id FROM busy) active)
SELECT turn.id FROM line AS speaker CROSS JOIN LATERAL (
    WITH RECURSIVE asked(id, place) AS (
        (SELECT b.order_id, 1 FROM batch b WHERE b.authority_id = speaker.id AND {_READY} ORDER BY b.order_id LIMIT 1)
        UNION ALL
        SELECT following.id, asked.place + 1 FROM asked CROSS JOIN LATERAL (
            SELECT b.order_id AS id FROM batch b WHERE b.authority_id = speaker.id AND b.order_id > asked.id
            AND {_READY} ORDER BY b.order_id LIMIT 1) following
        WHERE asked.place < $3 + (SELECT count(*) FROM busy WHERE busy.authority_id = speaker.id))
    SELECT waiting.id, speaker.held + row_number() OVER (ORDER BY waiting.turn + coalesce(
               (SELECT batches FROM busy WHERE busy.order_id = asked.id), 0), asked.id) AS round
    FROM asked CROSS JOIN LATERAL (
        SELECT first.id, row_number() OVER (ORDER BY first.id) AS turn FROM (
            SELECT b.id FROM batch b WHERE b.authority_id = speaker.id AND b.order_id = asked.id AND {_READY}
            ORDER BY b.id LIMIT $3) first) waiting
    ORDER BY round LIMIT $3) turn
WHERE speaker.short OR $4::int IS NULL OR turn.round <= (SELECT most FROM share)
ORDER BY CASE WHEN speaker.short THEN 1 ELSE turn.round END, turn.round, speaker.served, turn.id LIMIT $3"""

_OFFER = f"""
WITH offered AS (
    UPDATE batch SET state = 'dispatched', waits_for = NULL, changed_at = clock_timestamp(),
        lease_until = clock_timestamp() + interval '{DISPATCH_LEASE_S} seconds'
    WHERE id IN ({_CHOOSE}) AND state = 'waiting'
    RETURNING id, authority_id, (SELECT traceparent FROM delivery_order o WHERE o.id = batch.order_id)),
told AS (
    INSERT INTO served (family, lane, authority_id, at)
    SELECT $1, $2, authority_id, clock_timestamp() FROM offered GROUP BY authority_id ORDER BY authority_id
    ON CONFLICT (family, lane, authority_id) DO UPDATE SET at = excluded.at)
SELECT id, traceparent FROM offered"""

_ROADS = """
WITH RECURSIVE road(family, lane) AS (
    (SELECT b.family, b.lane FROM batch b WHERE b.state = 'waiting' ORDER BY b.family, b.lane LIMIT 1)
    UNION ALL
    SELECT following.family, following.lane FROM road CROSS JOIN LATERAL (
        SELECT b.family, b.lane FROM batch b WHERE b.state = 'waiting' AND (b.family, b.lane) > (road.family, road.lane)
        ORDER BY b.family, b.lane LIMIT 1) following)
SELECT family, lane FROM road WHERE EXISTS (
    SELECT FROM batch b WHERE b.family = road.family AND b.lane = road.lane AND b.state = 'waiting'
    AND b.not_before <= now())
AND ($1::int IS NULL OR road.lane = 'urgent' OR $1 > (
    SELECT count(*) FROM batch b WHERE b.family = road.family AND b.lane = road.lane
    AND b.state IN ('dispatched', 'claimed')))"""


async def roads_with_work(connection: Connection, depth: int | None = None) -> list[tuple[str, Lane]]:
    """Families and lanes in which a batch waits whose time has come.

    With ``depth``: and in which fewer than so many are under way, so that there is something to dispatch. The urgent
    lane is not asked: what waits there waits for nobody.
    """
    rows = await connection.fetch(_ROADS, depth)
    return [(row["family"], Lane(row["lane"])) for row in rows]


async def under_way(connection: Connection, family: str, lane: Lane) -> tuple[int, int]:
    """Batches of a family and lane that are on Kafka or being sent; how many of them a worker has claimed."""
    row = await connection.fetchrow(
        "SELECT count(*), count(*) FILTER (WHERE state = 'claimed') FROM batch"
        " WHERE family = $1 AND lane = $2 AND state IN ('dispatched', 'claimed')",
        family,
        lane.value,
    )
    assert row is not None  # an aggregate has one row
    return row[0], row[1]


async def dispatch(connection: Connection, family: str, lane: Lane, depth: int) -> int:
    """Offer waiting batches on Kafka until ``depth`` are under way; returns how many were offered.

    In the urgent lane up to ``depth`` whatever is under way: pages of a large alert are all dispatched at once, and
    what is given back, or tried again, does not wait for their end.
    One dispatcher at a time works on a family and lane (advisory lock): two would exceed the depth.
    """
    if not await connection.fetchval("SELECT pg_try_advisory_xact_lock(hashtext($1))", f"dispatch {family} {lane}"):
        return 0
    room = depth if lane is Lane.URGENT else depth - (await under_way(connection, family, lane))[0]
    if room <= 0:
        return 0
    rows = await connection.fetch(_OFFER, family, lane.value, room, None if lane is Lane.URGENT else depth)
    await outbox.put(connection, [batch_message(row["id"], family, lane, row["traceparent"]) for row in rows])
    for row in rows:
        tracing.step("dispatch", row["traceparent"], batch=row["id"], lane=lane.value)
    return len(rows)


async def dispatch_lost(connection: Connection, limit: int = 200) -> int:
    """Offer again the batches whose lease ran out: their message or their owner is gone."""
    rows = await connection.fetch(
        "WITH lost AS (SELECT id FROM batch WHERE state IN ('dispatched', 'claimed')"
        " AND lease_until < clock_timestamp() ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)"
        " UPDATE batch b SET lease_until = clock_timestamp() + make_interval(secs => $2),"
        " state = 'dispatched', changed_at = clock_timestamp() FROM lost WHERE b.id = lost.id"
        " RETURNING b.id, b.family, b.lane",
        limit,
        DISPATCH_LEASE_S,
    )
    await outbox.put(connection, [batch_message(row["id"], row["family"], row["lane"]) for row in rows])
    return len(rows)


async def requeue_due(connection: Connection, batch_size: int, limit: int = 2000) -> list[int]:
    """Turn deliveries whose time has come into batches of their orders; returns the batches' ids.

    One that waited for an officer until its announcement expired is settled by its batch. A batch of the urgent
    lane is offered at once, as at fan-out.
    """
    rows = await connection.fetch(
        "DELETE FROM due WHERE (order_id, recipient_id) IN (SELECT order_id, recipient_id FROM due"
        " WHERE at <= clock_timestamp() ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED)"
        " RETURNING order_id, recipient_id",
        limit,
    )
    by_order: dict[int, list[int]] = {}
    for row in rows:
        by_order.setdefault(row["order_id"], []).append(row["recipient_id"])
    made: list[int] = []
    for order, recipients in sorted(by_order.items()):  # so that two of us can't wait for each other
        recipients.sort()
        for start in range(0, len(recipients), batch_size):
            made.append(await add_retry_batch(connection, order, recipients[start : start + batch_size]))
    if made:
        await tell_dispatcher(connection)
    return made


async def tell_dispatcher(connection: Connection) -> None:
    """Batches wait: wake whoever dispatches, when the caller's transaction commits."""
    await connection.execute("SELECT pg_notify('batches', '')")


async def add_retry_batch(connection: Connection, order: int, members: Sequence[int]) -> int:
    """A batch of deliveries of an order that are to be tried again; of the urgent lane, it is offered at once."""
    row = await connection.fetchrow(
        "INSERT INTO batch (order_id, authority_id, channel, family, lane, members, state, lease_until)"
        " SELECT id, authority_id, channel, family, lane, $2,"
        "  CASE WHEN lane = 'urgent' THEN 'dispatched' ELSE 'waiting' END,"
        "  CASE WHEN lane = 'urgent' THEN clock_timestamp() + make_interval(secs => $3) END"
        " FROM delivery_order WHERE id = $1 RETURNING id, family, lane",
        order,
        list(members),
        DISPATCH_LEASE_S,
    )
    assert row is not None  # due rows are made from deliveries of existing orders
    await tallies.touch(connection, [order])
    if row["lane"] == Lane.URGENT:
        await outbox.put(connection, [batch_message(row["id"], row["family"], row["lane"])])
    return int(row["id"])


async def stalled_orders(connection: Connection, older_than_s: float, limit: int = 50) -> list[tuple[int, str]]:
    """Orders (id, lane) whose fan-out has not moved for a while: the message that drives it may be lost.

    They are marked as moved, so that each is driven again once a period.
    """
    rows = await connection.fetch(
        "UPDATE delivery_order SET moved_at = clock_timestamp() WHERE id IN ("
        " SELECT id FROM delivery_order WHERE fanned_out_at IS NULL"
        " AND moved_at < clock_timestamp() - make_interval(secs => $1) ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)"
        " RETURNING id, lane",
        older_than_s,
        limit,
    )
    return [(row["id"], row["lane"]) for row in rows]
