"""Officers' announcements that wait for their time. The row carries the promise, not a timer."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from store.database import Connection


@dataclass(frozen=True, slots=True)
class Notice:
    """A scheduled announcement: ``local_time`` as the officer wrote it, ``due_at`` the instant it means."""

    id: int
    authority_id: int
    authority: str
    content: dict[str, Any]
    urgent: bool
    local_time: str
    due_at: datetime
    tolerance: timedelta
    state: str

    @property
    def event_id(self) -> str:
        """The id of its event: the same whoever emits it, so that two clocks can't send it twice."""
        return f"notice-{self.id}-{self.content['revision']}-{self.local_time}"


_NOTICE = """
SELECT n.id, n.authority_id, a.code AS authority, n.content, n.urgent, n.local_time, n.due_at, n.tolerance, n.state
FROM notice n JOIN authority a ON a.id = n.authority_id"""


async def schedule(
    connection: Connection,
    *,
    authority_id: int,
    content: dict[str, Any],
    urgent: bool,
    local_time: str,
    due_at: datetime,
    tolerance: timedelta,
) -> int:
    """Keep a notice until its time; returns its id."""
    notice: int = await connection.fetchval(
        "INSERT INTO notice (authority_id, content, urgent, local_time, due_at, tolerance)"
        " VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
        authority_id,
        content,
        urgent,
        local_time,
        due_at,
        tolerance,
    )
    return notice


async def cancel(connection: Connection, notice: int) -> bool:
    """A notice that has not gone out never will; False when it has, or is cancelled, or is not there."""
    return (
        await connection.fetchval(
            "UPDATE notice SET state = 'cancelled', changed_at = now()"
            " WHERE id = $1 AND state IN ('scheduled', 'asks') RETURNING true",
            notice,
        )
        is not None
    )


async def send_anyway(connection: Connection, notice: int) -> bool:
    """Let a notice that asks go out now; False when it does not ask (any more).

    A compare-and-set on its row: of two officers who decide at once, one sends. It becomes due again rather than
    being emitted here, so that it goes by the clock's door; its event keeps its id.
    """
    return (
        await connection.fetchval(
            "UPDATE notice SET state = 'scheduled', due_at = clock_timestamp(), changed_at = now()"
            " WHERE id = $1 AND state = 'asks' RETURNING true",
            notice,
        )
        is not None
    )


async def get(connection: Connection, notice: int) -> Notice | None:
    """One notice by its id."""
    row = await connection.fetchrow(_NOTICE + " WHERE n.id = $1", notice)
    return None if row is None else Notice(**row)


async def listing(connection: Connection, *, state: str | None = None, limit: int = 200) -> list[Notice]:
    """Notices, in one state or in any, latest due first."""
    rows = await connection.fetch(
        _NOTICE + " WHERE $1::text IS NULL OR n.state = $1 ORDER BY n.due_at DESC, n.id DESC LIMIT $2", state, limit
    )
    return [Notice(**row) for row in rows]


async def pending(connection: Connection, authority_id: int, matter: str) -> list[Notice]:
    """What is still to go out about a matter, earliest due first."""
    rows = await connection.fetch(
        _NOTICE + " WHERE n.authority_id = $1 AND n.content->>'matter' = $2 AND n.state IN ('scheduled', 'asks')"
        " ORDER BY n.due_at, n.id",
        authority_id,
        matter,
    )
    return [Notice(**row) for row in rows]


async def due(connection: Connection, limit: int = 50) -> list[Notice]:
    """Notices whose time has come, locked until the transaction ends; those another clock holds are passed over.

    Those found later than their tolerance, by the database's clock, are not among them: they ask an officer now.
    """
    rows = await connection.fetch(
        _NOTICE + " WHERE n.state = 'scheduled' AND n.due_at <= clock_timestamp()"
        " ORDER BY n.due_at, n.id LIMIT $1 FOR UPDATE OF n SKIP LOCKED",
        limit,
    )
    now = await connection.fetchval("SELECT clock_timestamp()")
    found = [Notice(**row) for row in rows]
    for notice in found:
        if now - notice.due_at > notice.tolerance:
            await mark(connection, notice.id, "asks")
    return [notice for notice in found if now - notice.due_at <= notice.tolerance]


async def mark(connection: Connection, notice: int, state: str) -> None:
    """``emitted``, or ``asks`` when its tolerance has passed and an officer must decide."""
    await connection.execute("UPDATE notice SET state = $2, changed_at = now() WHERE id = $1", notice, state)


async def seconds_to_next(connection: Connection) -> float | None:
    """Time until the next notice is due, by the database's clock; None when none is scheduled."""
    found = await connection.fetchval(
        "SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 FROM notice WHERE state = 'scheduled'"
    )
    return None if found is None else max(0.0, float(found))
