"""Cells: the ranges of order ids in which deliveries, facts and references are kept, so that a month is dropped whole.

A cell is ``SPAN`` ids wide. Order ids grow with time; when a month begins, the ids leap to the next cell, so that
(but for what came in the last minutes of a month) a cell holds orders of one month.
"""

from dataclasses import dataclass

from store.database import Connection

SPAN = 100_000
TABLES = ("delivery", "fact", "provider_reference")
"""What is kept in cells, in the order in which recording locks them."""

_OPTIONS = {"delivery": "WITH (fillfactor = 50)"}  # updates stay on their page (docs/adr/0011)

_CELLS = r"""
SELECT i.inhparent::regclass::text AS "table", c.relname AS name,
       (regexp_match(pg_get_expr(c.relpartbound, c.oid), '\(''(\d+)''\) TO'))[1]::bigint AS low,
       (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''(\d+)''\)'))[1]::bigint AS high
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = ANY(ARRAY['delivery', 'fact', 'provider_reference']::regclass[]) ORDER BY low"""

# The minutes are for the clock's next look: an order that is made before it belongs to the month that begins.
_MONTH_IS_OVER = """
SELECT date_trunc('month', (created_at AT TIME ZONE 'UTC') + interval '10 minutes')
     < date_trunc('month', (now() AT TIME ZONE 'UTC') + interval '10 minutes')
FROM delivery_order WHERE id >= $1 ORDER BY id LIMIT 1"""

_SEQUENCE = "pg_get_serial_sequence('delivery_order', 'id')::regclass"


@dataclass(frozen=True, slots=True)
class Cell:
    """A partition of ``table``: orders from ``low`` up to, and without, ``high``."""

    table: str
    name: str
    low: int
    high: int


async def cells(connection: Connection) -> list[Cell]:
    """Every cell there is, lowest first."""
    return [Cell(*row.values()) for row in await connection.fetch(_CELLS)]


async def next_order(connection: Connection) -> int:
    """The id that the next order will have, if nobody is quicker."""
    return int(await connection.fetchval(f"SELECT coalesce(pg_sequence_last_value({_SEQUENCE}), 0) + 1"))


async def ensure(connection: Connection, span: int = SPAN) -> list[str]:
    """Make what is missing of the cell of the next order and of the one after it; returns the names of what was made.

    In the caller's transaction.
    When the month of the next order's cell is over, ids leap to the one after it, which was made, and committed, by an
    earlier call.
    """
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext('cells'))")  # two clocks: one after the other
    here = await next_order(connection) // span
    known = await cells(connection)
    made = []
    for number in (here, here + 1):
        for table in TABLES:
            if not any(cell.table == table and cell.low <= number * span < cell.high for cell in known):
                await attach(connection, await like(connection, table, f"{table}_{number}"), number * span, span)
                made.append(f"{table}_{number}")
    if not made and await connection.fetchval(_MONTH_IS_OVER, here * span):
        await connection.execute(f"SELECT setval({_SEQUENCE}, $1)", (here + 1) * span - 1)
    return made


async def like(connection: Connection, table: str, name: str) -> Cell:
    """An empty table that can become a cell of ``table``."""
    await connection.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL) {_OPTIONS.get(table, '')}")
    return Cell(table, name, 0, 0)


async def attach(connection: Connection, cell: Cell, low: int, span: int) -> None:
    """Make it a cell. Unlike CREATE TABLE … PARTITION OF, this waits for nobody who reads or writes other cells."""
    await connection.execute(
        f"ALTER TABLE {cell.table} ATTACH PARTITION {cell.name} FOR VALUES FROM ({low}) TO ({low + span})"
    )
