"""The outbox: every message the hub produces is a row of the transaction that causes it.

The relay (streams/relay.py) hands rows to Kafka and deletes them only once the broker acknowledged, so a
crash repeats a message but never loses one; consumers tolerate repeats.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from schemas import tracing
from store.database import Connection


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A Kafka message to be. Inside the hub ``value`` carries ids, never people."""

    topic: str
    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


_NUL = "\u0100"  # the first letter beyond Latin-1 stands for the one byte that jsonb can't keep


def written_headers(headers: Sequence[tuple[str, bytes]]) -> list[list[str]]:
    """Kafka headers as jsonb keeps them: any bytes, read back the same by ``read_headers``."""
    return [[name.replace("\0", "\ufffd"), value.decode("latin-1").replace("\0", _NUL)] for name, value in headers]


def read_headers(written: Sequence[Sequence[str]]) -> tuple[tuple[str, bytes], ...]:
    """The headers that ``written_headers`` wrote."""
    return tuple((name, value.replace(_NUL, "\0").encode("latin-1")) for name, value in written)


def row(message: Outgoing) -> tuple[str, bytes | None, bytes, list[list[str]]]:
    """What stands in the columns topic, key, value and headers, for a statement that adds more than the message."""
    return message.topic, message.key, message.value, written_headers(tracing.with_header(message.headers))


async def put(connection: Connection, messages: Sequence[Outgoing]) -> None:
    """Add messages to the caller's transaction; its commit wakes the relay. Each carries the trace of this moment."""
    if messages:
        await connection.execute(
            "INSERT INTO outbox (topic, key, value, headers)"
            " SELECT topic, key, value, headers::jsonb"
            " FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::text[]) AS u(topic, key, value, headers)",
            [message.topic for message in messages],
            [message.key for message in messages],
            [message.value for message in messages],
            [json.dumps(written_headers(tracing.with_header(message.headers))) for message in messages],
        )


async def take(connection: Connection, limit: int) -> list[tuple[int, Outgoing]]:
    """The oldest rows, locked until the caller's transaction ends; rows another relay holds are passed over."""
    rows = await connection.fetch(
        "SELECT id, topic, key, value, headers FROM outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED", limit
    )
    return [
        (
            row["id"],
            Outgoing(
                row["topic"],
                row["value"],
                row["key"],
                read_headers(row["headers"] or ()),
            ),
        )
        for row in rows
    ]


async def remove(connection: Connection, ids: Sequence[int]) -> None:
    """Forget messages that the broker has acknowledged."""
    await connection.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", list(ids))


async def waiting(connection: Connection) -> int:
    """How many messages the broker has not acknowledged yet."""
    return int(await connection.fetchval("SELECT count(*) FROM outbox"))
