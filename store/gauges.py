"""What waits at this moment, as few figures: for gauges that are read every few seconds, so each query is cheap.

None of them reads deliveries but by primary key, nor counts what is done: they look at rows that wait, by the
partial indexes that dispatcher and clock use. docs/metrics.md has what they cost.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.deliveries import State
from store.database import Connection


@dataclass(frozen=True, slots=True)
class Waiting:
    """Rows that wait. ``oldest_unsent`` is in seconds by lane: since the announcement was ordered, for the oldest
    delivery that is queued and that nobody asked to pause; a lane without one is left out.

    ``batches`` counts by lane and state, ``due`` deliveries by what they wait for (retry, resolve, officer),
    ``holds`` by scope.
    """

    outbox: int = 0
    orders_open: int = 0
    receipts_unread: int = 0
    dead_letters: int = 0
    notices_asking: int = 0
    database_bytes: int = 0
    oldest_unsent: Mapping[str, float] = field(default_factory=dict)
    batches: Mapping[tuple[str, str], int] = field(default_factory=dict)
    due: Mapping[str, int] = field(default_factory=dict)
    holds: Mapping[str, int] = field(default_factory=dict)


_COUNTS = """
SELECT (SELECT count(*) FROM outbox) AS outbox,
       (SELECT count(*) FROM delivery_order WHERE fanned_out_at IS NULL) AS orders_open,
       (SELECT count(*) FROM receipt WHERE outcome IS NULL) AS receipts_unread,
       (SELECT count(*) FROM dead_letter WHERE state = 'open') AS dead_letters,
       (SELECT count(*) FROM notice WHERE state = 'asks') AS notices_asking,
       pg_database_size(current_database()) AS database_bytes"""

_BATCHES = """
SELECT lane, state, count(*) AS n FROM batch WHERE state = 'waiting' GROUP BY 1, 2
UNION ALL
SELECT lane, state, count(*) FROM batch WHERE state IN ('dispatched', 'claimed') GROUP BY 1, 2"""

# A batch of retries is as old as its announcement, and says nothing of the engine: only what no provider has been
# offered yet counts. Members are in order, and a turn begins with the first: the last is queued if any is.
_OLDEST = f"""
WITH open AS (
    SELECT lane, order_id, members[cardinality(members)] AS member FROM batch
    WHERE state = 'waiting' AND not_before <= now()
    UNION ALL
    SELECT lane, order_id, members[cardinality(members)] FROM batch WHERE state IN ('dispatched', 'claimed')),
ordered AS (
    SELECT DISTINCT ON (lane) open.lane, open.order_id FROM open
    WHERE EXISTS (SELECT FROM delivery d WHERE d.order_id = open.order_id AND d.recipient_id = open.member
                  AND d.standing % 16 = {State.QUEUED.value})
    ORDER BY open.lane, open.order_id)
SELECT lane, extract(epoch FROM now() - min(since))::float8 AS seconds FROM (
    SELECT ordered.lane, o.created_at AS since FROM ordered JOIN delivery_order o ON o.id = ordered.order_id
    UNION ALL
    SELECT lane, created_at FROM delivery_order WHERE fanned_out_at IS NULL) AS unsent
GROUP BY lane"""


async def waiting(connection: Connection) -> Waiting:
    """Read all of it."""
    counts = await connection.fetchrow(_COUNTS)
    assert counts is not None  # it has no FROM
    return Waiting(
        **dict(counts),
        oldest_unsent={row["lane"]: row["seconds"] for row in await connection.fetch(_OLDEST)},
        batches={(row["lane"], row["state"]): row["n"] for row in await connection.fetch(_BATCHES)},
        due={row[0]: row[1] for row in await connection.fetch("SELECT kind, count(*) FROM due GROUP BY 1")},
        holds={row[0]: row[1] for row in await connection.fetch("SELECT scope, count(*) FROM hold GROUP BY 1")},
    )
