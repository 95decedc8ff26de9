"""What a hub that is put to the test is asked, and what is done to its database. For audits, not for the hub."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from store.database import Connection


@dataclass(frozen=True, slots=True)
class Ahead:
    """Work that comes by itself: ``batches`` not done, and ``seconds`` until the first delivery is due (None: none)."""

    batches: int
    seconds: float | None

    def nothing_within(self, seconds: float) -> bool:
        """Whether nothing moves for that long, unless somebody does something."""
        return not self.batches and (self.seconds is None or self.seconds > seconds)


async def ahead(connection: Connection, never_asked: Collection[str] = ()) -> Ahead:
    """Read it, on the database's time.

    An unclear outcome of the channels ``never_asked`` waits for an officer in any case: what is looked at when its
    wait is over sends nothing.
    """
    row = await connection.fetchrow(
        "SELECT (SELECT count(*) FROM batch WHERE state <> 'done') AS batches,"
        " (SELECT extract(epoch FROM min(u.at) - clock_timestamp())::float8"
        "  FROM due u JOIN delivery_order o ON o.id = u.order_id"
        "  WHERE NOT (u.kind = 'resolve' AND o.channel = ANY($1::text[]))) AS seconds",
        list(never_asked),
    )
    assert row is not None  # it has no FROM
    return Ahead(row["batches"], row["seconds"])


async def block_recording(connection: Connection) -> None:
    """Nothing can be recorded of a delivery until the caller's transaction ends; windows open, and mails go out."""
    await connection.execute("LOCK TABLE delivery IN SHARE MODE")


async def block_claims(connection: Connection) -> None:
    """No batch can be claimed, opened or ended until the caller's transaction ends."""
    await connection.execute("LOCK TABLE batch IN SHARE MODE")


async def most_connections(connection: Connection) -> int:
    """How many connections the server takes at a time, those for its administrator included."""
    return int(await connection.fetchval("SELECT current_setting('max_connections')::int"))


async def jump(connection: Connection, by: timedelta) -> None:
    """As if the database's clock had jumped forward (back, where ``by`` is negative), for all that waits for a time.

    Everything is decided by comparing instants of rows with the database's time, so that moving the instants the
    other way is the same as moving the time.
    """
    async with connection.transaction():
        await connection.execute(
            "UPDATE batch SET lease_until = lease_until - $1::interval, not_before = not_before - $1::interval"
            " WHERE state <> 'done'",
            by,
        )
        await connection.execute("UPDATE due SET at = at - $1::interval", by)
        await connection.execute(
            "UPDATE delivery_order SET moved_at = moved_at - $1::interval WHERE fanned_out_at IS NULL", by
        )
