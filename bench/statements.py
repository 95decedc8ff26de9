"""What PostgreSQL's time goes to, by statement (pg_stat_statements, which the embedded server brings)."""

from collections.abc import Sequence
from dataclasses import dataclass

from store.database import Connection

SETTINGS = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "all"}
"""What the server must be started with. It costs some microseconds a statement."""

_SHOWN = 90  # letters of a statement
_KEPT = 15


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: how often, seconds of execution in all (waiting included), and rows."""

    text: str
    calls: int
    seconds: float
    rows: int


async def begin(connection: Connection) -> None:
    """Count from now on."""
    await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    await connection.execute("SELECT pg_stat_statements_reset()")


async def dearest(connection: Connection) -> Sequence[Statement]:
    """Those that took most of the time, the dearest first; the bench's own questions are left out."""
    rows = await connection.fetch(
        "SELECT query, calls, total_exec_time / 1000, rows FROM pg_stat_statements"
        " WHERE query NOT LIKE '%/bench%' AND query NOT LIKE '%pg_stat_statements%'"
        " ORDER BY total_exec_time DESC LIMIT $1",
        _KEPT,
    )
    return [Statement(shortened(row[0]), row[1], row[2], row[3]) for row in rows]


def shortened(text: str) -> str:
    """The beginning of a statement on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
