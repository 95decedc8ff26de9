"""Dead letters: what could not be understood, kept whole, with the reason and a way back."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from store import outbox
from store.database import Connection

TOPIC = "tambour.deadletters"
Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message set aside. ``reason`` is a word to filter by, ``detail`` says what, where and how to mend it."""

    id: int
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    reason: str
    detail: str
    at: datetime
    state: str
    put_back_at: datetime | None


async def add(
    connection: Connection,
    *,
    place: tuple[str, int, int],
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
    reason: str,
    detail: str,
) -> int | None:
    """Keep a message and announce its id on Kafka; None when this very message is kept already.

    A topic that was deleted and made again reuses offsets: the digest tells its messages apart.
    """
    letter: int | None = await connection.fetchval(
        "INSERT INTO dead_letter (topic, partition_no, message_offset, digest, key, value, headers, reason, detail)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
        " ON CONFLICT (topic, partition_no, message_offset, digest) DO NOTHING RETURNING id",
        *place,
        _digest(key, value),
        key,
        value,
        outbox.written_headers(headers),
        reason,
        detail.replace("\0", "\\0"),
    )
    if letter is not None:
        await outbox.put(connection, [outbox.Outgoing(TOPIC, b'{"dead_letter":%d}' % letter)])
    return letter


def _digest(key: bytes | None, value: bytes | None) -> bytes:
    return hashlib.sha256(b"\0".join([key or b"", value or b""])).digest()


async def kept(connection: Connection, place: tuple[str, int, int], key: bytes | None, value: bytes | None) -> bool:
    """Whether this very message has been set aside already."""
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM dead_letter"
            " WHERE topic = $1 AND partition_no = $2 AND message_offset = $3 AND digest = $4)",
            *place,
            _digest(key, value),
        )
    )


async def find(
    connection: Connection, *, state: str | None = None, before: int | None = None, limit: int = 100
) -> list[DeadLetter]:
    """Newest first; ``before`` pages by id."""
    rows = await connection.fetch(
        "SELECT * FROM dead_letter WHERE ($1::text IS NULL OR state = $1) AND ($2::bigint IS NULL OR id < $2)"
        " ORDER BY id DESC LIMIT $3",
        state,
        before,
        limit,
    )
    return [
        DeadLetter(
            row["id"],
            row["topic"],
            row["partition_no"],
            row["message_offset"],
            row["key"],
            row["value"],
            outbox.read_headers(row["headers"]),
            row["reason"],
            row["detail"],
            row["at"],
            row["state"],
            row["put_back_at"],
        )
        for row in rows
    ]


async def get(connection: Connection, letter: int) -> DeadLetter | None:
    """One dead letter by its id."""
    found = await find(connection, before=letter + 1, limit=1)
    return found[0] if found and found[0].id == letter else None


async def put_back(connection: Connection, letter: int, value: bytes | None = None) -> bool:
    """Send the message to its topic again, as it was or mended; False when it is not open (any more).

    A compare-and-set on its row: two people who put the same letter back send it once.
    """
    row = await connection.fetchrow(
        "UPDATE dead_letter SET state = 'put_back', put_back_at = now() WHERE id = $1 AND state = 'open'"
        " RETURNING topic, key, value, headers",
        letter,
    )
    if row is None:
        return False
    await outbox.put(
        connection,
        [
            outbox.Outgoing(
                row["topic"],
                (row["value"] or b"") if value is None else value,
                row["key"],
                outbox.read_headers(row["headers"]),
            )
        ],
    )
    return True
