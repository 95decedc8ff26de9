"""Old deliveries, and what hangs on them, are removed; what an order's tally says stays.

A cell of which every order is old is dropped as a table (store/partitions.py). Orders that are not over yet stay:
their rows are copied to a new table, which takes the cell's place in the same transaction. Old orders that share a
cell with younger ones are removed one by one, which takes time but blocks nobody.

Never removed: announcements with their versions, orders with their tallies, what was posted in public, suppressions
and their journal, and whatever is not over: an announcement that still runs, a delivery that waits for something.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from store.database import Connection
from store.partitions import TABLES, Cell, attach, cells, like, next_order
from store.tallies import END_RANKS

_PATIENCE_MS = 500
"""How long a drop waits for those who use the tables: whoever comes meanwhile waits behind it."""

_AT_ONCE = 20_000
_TIMEOUT_S = 600

Busy = asyncpg.LockNotAvailableError
"""Somebody uses the tables, for instance a backup: nothing was dropped. Try again later."""

_ENDS = f"'{{{', '.join(map(str, END_RANKS))}}}'"

# An order is over when nobody works on it (it has a tally), each of its deliveries has ended, and no version of its
# announcement is still running: a correction goes to those who hold an earlier version.
_OVER = f"""o.purged_at IS NULL AND o.tallied_at IS NOT NULL
AND NOT EXISTS (SELECT FROM order_tally t WHERE t.order_id = o.id AND t.rank <> ALL ({_ENDS}))
AND NOT EXISTS (SELECT FROM delivery_order n WHERE n.announcement_id = o.announcement_id AND n.expires > now())"""

_OLD = f"""
SELECT count(*) FILTER (WHERE over) AS orders, count(*) FILTER (WHERE NOT over) AS kept,
       coalesce(sum(deliveries) FILTER (WHERE over), 0)::bigint AS deliveries
FROM (SELECT {_OVER} AS over, (SELECT sum(t.deliveries) FROM order_tally t WHERE t.order_id = o.id) AS deliveries
      FROM delivery_order o WHERE o.created_at < $1 AND o.purged_at IS NULL) old"""


@dataclass(frozen=True, slots=True)
class Old:
    """What is older than a moment: orders that are over, with their deliveries, and ``kept``, which are not.

    ``receipts``, ``events`` (those that announced nothing), ``letters`` (put back) and ``faults`` of mailboxes.
    """

    orders: int = 0
    deliveries: int = 0
    kept: int = 0
    receipts: int = 0
    events: int = 0
    letters: int = 0
    faults: int = 0

    @property
    def anything(self) -> bool:
        """Whether there is something to remove."""
        return any((self.orders, self.receipts, self.events, self.letters, self.faults))


# By their age alone. What nobody has looked at yet, and what waits for somebody, is not removed.
_BY_AGE = {
    "receipts": ("receipt", "received_at < $1 AND outcome IS NOT NULL"),
    "events": ("event", "received_at < $1 AND announcement_id IS NULL"),
    "letters": ("dead_letter", "at < $1 AND state = 'put_back'"),
    "faults": ("mailbox_fault", "at < $1"),
}


async def old(connection: Connection, before: datetime) -> Old:
    """Count what is older."""
    orders = await connection.fetchrow(_OLD, before, timeout=_TIMEOUT_S)
    assert orders is not None  # an aggregate has one row
    rest = {
        name: await connection.fetchval(f"SELECT count(*) FROM {table} WHERE {which}", before, timeout=_TIMEOUT_S)
        for name, (table, which) in _BY_AGE.items()
    }
    return Old(**dict(orders), **rest)


@dataclass(slots=True)
class Removed:
    """What was removed so far: ``dropped`` names tables that went whole, ``singly`` counts orders that went alone."""

    orders: int = 0
    deliveries: int = 0
    dropped: list[str] = field(default_factory=list)
    singly: int = 0
    batches: int = 0
    receipts: int = 0
    events: int = 0
    letters: int = 0
    faults: int = 0


async def drop_cells(connection: Connection, before: datetime, removed: Removed) -> None:
    """Drop every cell all of whose orders are older, but for the one that is being filled. Raises Busy."""
    await _drop_detached(connection)  # of a call that was interrupted
    here = await next_order(connection)
    for cell in await cells(connection):
        if cell.table == TABLES[0] and cell.high <= here and await _is_old(connection, cell, before):
            await _drop(connection, cell, before, removed)
    await _drop_detached(connection)


async def _is_old(connection: Connection, cell: Cell, before: datetime) -> bool:
    return not await connection.fetchval(
        "SELECT EXISTS (SELECT FROM delivery_order WHERE id >= $1 AND id < $2 AND created_at >= $3)",
        cell.low,
        cell.high,
        before,
    ) and bool(
        await connection.fetchval(
            "SELECT NOT EXISTS (SELECT FROM delivery_order o WHERE id >= $1 AND id < $2 AND purged_at IS NULL)"
            f" OR EXISTS (SELECT FROM delivery_order o WHERE id >= $1 AND id < $2 AND {_OVER})",
            cell.low,
            cell.high,
        )
    )


async def _drop(connection: Connection, cell: Cell, before: datetime, removed: Removed) -> None:
    """Take the cell out of its tables, with those of its orders that are not over in a new one."""
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{_PATIENCE_MS}ms'")
        for table in TABLES:  # in the order of recording, and before anything is looked at: nobody records meanwhile
            await connection.execute(f"LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE")
        rows = await connection.fetch(
            f"SELECT o.id, {_OVER} AS over FROM delivery_order o WHERE id >= $1 AND id < $2 AND purged_at IS NULL",
            cell.low,
            cell.high,
        )
        gone, kept = [row["id"] for row in rows if row["over"]], [row["id"] for row in rows if not row["over"]]
        for part in await cells(connection):
            if (part.low, part.high) == (cell.low, cell.high):
                await _replace(connection, part, kept)
                removed.dropped.append(part.name)
            elif part.low < cell.high and part.high > cell.low:  # a wider one, made before there were cells
                await _delete(connection, part.table, gone)
        await _purged(connection, gone, removed)


async def _replace(connection: Connection, part: Cell, kept: Sequence[int]) -> None:
    fresh = await like(connection, part.table, f"kept_{part.name}") if kept else None
    if fresh is not None:
        await connection.execute(
            f"INSERT INTO {fresh.name} SELECT * FROM {part.name} WHERE order_id = ANY($1::bigint[])",
            list(kept),
            timeout=_TIMEOUT_S,
        )
    await connection.execute(f"ALTER TABLE {part.table} DETACH PARTITION {part.name}")
    await connection.execute(f"ALTER TABLE {part.name} RENAME TO purged_{part.name}")
    if fresh is not None:
        await attach(connection, fresh, part.low, part.high - part.low)
        await connection.execute(f"ALTER TABLE {fresh.name} RENAME TO {part.name}")


async def _drop_detached(connection: Connection) -> None:
    """Tables that are part of nothing any more: dropping them blocks nobody."""
    rows = await connection.fetch(
        "SELECT c.oid::regclass::text AS name FROM pg_class c WHERE c.relkind = 'r' AND NOT c.relispartition"
        " AND c.relname ~ '^purged_(delivery|fact|provider_reference)_[0-9]+$' AND pg_table_is_visible(c.oid)"
    )
    for row in rows:
        await connection.execute(f"DROP TABLE {row['name']}", timeout=_TIMEOUT_S)


async def _delete(connection: Connection, table: str, orders: Sequence[int]) -> None:
    await connection.execute(
        f"DELETE FROM {table} WHERE order_id = ANY($1::bigint[])", list(orders), timeout=_TIMEOUT_S
    )


async def _purged(connection: Connection, orders: Sequence[int], removed: Removed) -> None:
    counted = await connection.fetchval(
        "WITH gone AS (UPDATE delivery_order SET purged_at = now() WHERE id = ANY($1::bigint[]) RETURNING id)"
        " SELECT coalesce(sum(t.deliveries), 0)::bigint FROM gone JOIN order_tally t ON t.order_id = gone.id",
        list(orders),
    )
    removed.orders += len(orders)
    removed.deliveries += counted


async def remove_orders(connection: Connection, before: datetime, removed: Removed) -> None:
    """Remove the deliveries of older orders that share a cell with younger ones: one order a transaction."""
    rows = await connection.fetch(
        f"SELECT o.id FROM delivery_order o WHERE o.created_at < $1 AND {_OVER} ORDER BY o.id", before
    )
    for row in rows:
        async with connection.transaction():
            # as those who tally do: whoever would change its deliveries waits
            await connection.execute("SELECT pg_advisory_xact_lock(7, ($1::bigint % 2147483647)::int)", row["id"])
            if await connection.fetchval(
                f"SELECT EXISTS (SELECT FROM delivery_order o WHERE o.id = $1 AND {_OVER})", row["id"]
            ):
                for table in TABLES:
                    await _delete(connection, table, [row["id"]])
                await _purged(connection, [row["id"]], removed)
                removed.singly += 1


async def remove_rest(connection: Connection, before: datetime, removed: Removed) -> None:
    """Remove the batches of purged orders, and what goes by its age: some thousand rows a transaction."""
    while count := _count(
        await connection.execute(
            "DELETE FROM batch WHERE id IN (SELECT b.id FROM batch b JOIN delivery_order o ON o.id = b.order_id"
            " WHERE o.purged_at IS NOT NULL LIMIT $1)",
            _AT_ONCE,
            timeout=_TIMEOUT_S,
        )
    ):
        removed.batches += count
    for name, (table, which) in _BY_AGE.items():
        while count := _count(
            await connection.execute(
                f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {which} LIMIT {_AT_ONCE}))",
                before,
                timeout=_TIMEOUT_S,
            )
        ):
            setattr(removed, name, getattr(removed, name) + count)


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])


async def alone(connection: Connection) -> bool:
    """Whether nobody else removes: then nobody else will, as long as this connection lasts or until ``done``."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_lock(hashtext('retention'))"))


async def done(connection: Connection) -> None:
    """Let others remove."""
    await connection.execute("SELECT pg_advisory_unlock(hashtext('retention'))")
