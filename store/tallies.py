"""Tallies of orders: how many deliveries are in each state, and how quick they were, as rows that are summed.

The truth is the deliveries. An order on which nobody works any more (its audience read, its batches done) is counted
once and keeps its tally; whoever changes a delivery after that gives the tally up in the same transaction
(``order_touched``, called by ``store.deliveries.record`` and ``store.schedule.add_retry_batch``), and it is counted
again. So at every moment an order is either tallied, and its tally is what counting would say, or it is counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from schemas.deliveries import ENDS, State
from store.database import Connection

END_RANKS = sorted(state.value for state in ENDS)

_BUCKETS = 4
"""Each time the seconds double. What is read from a bucket is off by less than a fifth, and exact where all agree."""

# What covers a delivery that has not ended: a due row, or a batch that is not done. Both by the indexes of those few.
COVERED = """
    SELECT order_id, recipient_id FROM due
    UNION ALL SELECT order_id, unnest(members) FROM batch WHERE state = 'waiting'
    UNION ALL SELECT order_id, unnest(members) FROM batch WHERE state IN ('dispatched', 'claimed')"""

_NOBODY_WORKS = """o.tallied_at IS NULL AND o.fanned_out_at IS NOT NULL
    AND NOT EXISTS (SELECT FROM batch b WHERE b.order_id = o.id AND b.family = o.family AND b.lane = o.lane
                    AND b.authority_id = o.authority_id AND b.state = 'waiting')
    AND NOT EXISTS (SELECT FROM batch b WHERE b.order_id = o.id AND b.family = o.family AND b.lane = o.lane
                    AND b.state IN ('dispatched', 'claimed'))"""

# One that is touched again and again, as an order by SMS while its receipts come in, is counted ever so often: the
# larger it is, the longer it waits.
_READY = f"""
SELECT o.id FROM delivery_order o WHERE {_NOBODY_WORKS}
AND (o.touched_at IS NULL
     OR o.touched_at < clock_timestamp() - make_interval(secs => least(60, 2 + o.recipients / 20000.0)))
ORDER BY o.id LIMIT $1"""

_STATES = """
SELECT order_id, (standing % 16)::smallint AS rank, count(*) AS n FROM delivery
WHERE order_id = ANY($1::bigint[]) GROUP BY 1, 2"""

# When its event came is looked up once an order, and its deliveries are read by the key (OFFSET 0), whatever the
# planner thinks of reading all.
_COUNT = f"""
WITH told AS MATERIALIZED (
    SELECT o.id, (SELECT min(e.received_at) FROM event e WHERE e.announcement_id = o.announcement_id
                  AND e.version = o.version AND e.outcome = 'announced') AS received_at
    FROM delivery_order o WHERE o.id = ANY($1::bigint[]))
SELECT told.id AS order_id, d.rank,
       CASE WHEN seconds IS NOT NULL THEN floor({_BUCKETS} * ln(greatest(seconds, 0.001)) / ln(2)) END::int2 AS bucket,
       count(*) AS n, sum(seconds) AS seconds
FROM told CROSS JOIN LATERAL (
    SELECT (d.standing % 16)::smallint AS rank, date_part('epoch', d.sent_at - told.received_at) AS seconds
    FROM delivery d WHERE d.order_id = told.id OFFSET 0) d
GROUP BY 1, 2, 3"""

_UNACCOUNTED = f"""
WITH covered AS MATERIALIZED ({COVERED})
SELECT d.order_id, count(*) AS n FROM delivery d
WHERE d.order_id = ANY($1::bigint[]) AND d.standing % 16 <> ALL($2::int[])
  AND NOT EXISTS (SELECT FROM covered c WHERE c.order_id = d.order_id AND c.recipient_id = d.recipient_id)
GROUP BY 1"""


@dataclass(slots=True)
class Pace:
    """Seconds from event to acceptance: deliveries and the sum of their seconds by bucket."""

    buckets: dict[int, tuple[int, float]] = field(default_factory=dict)

    def add(self, bucket: int, deliveries: int, seconds: float) -> None:
        """Add some deliveries of a bucket."""
        known = self.buckets.get(bucket, (0, 0.0))
        self.buckets[bucket] = (known[0] + deliveries, known[1] + seconds)

    def quantile(self, share: float) -> float | None:
        """The seconds that this share of deliveries took at most; None when there are none.

        It is the mean of the bucket in which the delivery of that rank lies.
        """
        total, seen = sum(deliveries for deliveries, _ in self.buckets.values()), 0
        for bucket in sorted(self.buckets):
            deliveries, seconds = self.buckets[bucket]
            seen += deliveries
            if seen >= share * total:
                return seconds / deliveries
        return None


@dataclass(slots=True)
class Tally:
    """What became of an order's deliveries: how many by rank of their state, and how quick they were."""

    states: dict[int, int] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)

    def add(self, other: "Tally") -> None:
        """Add what became of another order's deliveries."""
        for rank, deliveries in other.states.items():
            self.states[rank] = self.states.get(rank, 0) + deliveries
        for bucket, (deliveries, seconds) in other.pace.buckets.items():
            self.pace.add(bucket, deliveries, seconds)


async def count(connection: Connection, orders: Sequence[int]) -> dict[int, Tally]:
    """Count the deliveries of these orders, one by one."""
    found: dict[int, Tally] = {}
    for row in await connection.fetch(_COUNT, list(orders)) if orders else ():
        tally = found.setdefault(row["order_id"], Tally())
        tally.states[row["rank"]] = tally.states.get(row["rank"], 0) + row["n"]
        if row["bucket"] is not None:
            tally.pace.add(row["bucket"], row["n"], row["seconds"])
    return found


async def states(connection: Connection, tallied: Sequence[int], others: Sequence[int]) -> dict[int, dict[str, int]]:
    """Deliveries of each order by the word of their state, in precedence: read of ``tallied``, counted of ``others``.

    One snapshot must have told which is which.
    """
    rows = await connection.fetch(
        "SELECT order_id, rank, deliveries AS n FROM order_tally WHERE order_id = ANY($1::bigint[])", list(tallied)
    )
    if others:
        rows += await connection.fetch(_STATES, list(others))
    found: dict[int, dict[str, int]] = {}
    for row in sorted(rows, key=lambda row: int(row["rank"])):
        found.setdefault(row["order_id"], {})[State(row["rank"]).word] = row["n"]
    return found


async def unaccounted(connection: Connection, orders: Sequence[int]) -> dict[int, int]:
    """How many deliveries of each order neither ended nor wait for anything; orders without any are left out."""
    if not orders:
        return {}
    return {row["order_id"]: row["n"] for row in await connection.fetch(_UNACCOUNTED, list(orders), END_RANKS)}


async def touch(connection: Connection, orders: Iterable[int]) -> None:
    """Give up the tallies of these orders: their deliveries, or what they wait for, change in this transaction."""
    for order in sorted(set(orders)):  # in one order, so that two who touch the same can't wait for each other
        await connection.execute("SELECT order_touched($1)", order)


async def ready(connection: Connection, limit: int = 200) -> list[int]:
    """Orders on which nobody works and that have no tally."""
    return [row["id"] for row in await connection.fetch(_READY, limit)]


async def tally(connection: Connection, order: int) -> bool:
    """Count one order and keep its tally, in one transaction; False when somebody works on it, or counts it too.

    Until it commits, whoever would change the order's deliveries waits.
    """
    async with connection.transaction():
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock(7, ($1::bigint % 2147483647)::int)", order):
            return False
        if not await connection.fetchval(
            f"SELECT EXISTS (SELECT FROM delivery_order o WHERE o.id = $1 AND {_NOBODY_WORKS})", order
        ):
            return False
        found = (await count(connection, [order])).get(order, Tally())
        is_open = any(rank not in END_RANKS for rank in found.states)
        lost = (await unaccounted(connection, [order])).get(order, 0) if is_open else 0
        await _keep(connection, order, found)
        await connection.execute(
            "UPDATE delivery_order SET tallied_at = clock_timestamp(), unaccounted = $2 WHERE id = $1", order, lost
        )
    return True


async def _keep(connection: Connection, order: int, found: Tally) -> None:
    await connection.execute("DELETE FROM order_tally WHERE order_id = $1", order)
    await connection.execute("DELETE FROM order_pace WHERE order_id = $1", order)
    await connection.execute(
        "INSERT INTO order_tally SELECT $1, * FROM unnest($2::smallint[], $3::bigint[])",
        order,
        list(found.states.keys()),
        list(found.states.values()),
    )
    await connection.execute(
        "INSERT INTO order_pace SELECT $1, * FROM unnest($2::smallint[], $3::bigint[], $4::float8[])",
        order,
        list(found.pace.buckets.keys()),
        [deliveries for deliveries, _ in found.pace.buckets.values()],
        [seconds for _, seconds in found.pace.buckets.values()],
    )
