"""Attempts at intake, counted before a message is decoded: the one that kills its worker is found by this.

A message is counted in a transaction of its own, committed before anything looks inside it, and forgotten in
the transaction that deals with it.
"""

from collections.abc import Sequence

from store.database import Connection

Place = tuple[str, int, int]
"""Topic, partition, offset."""


async def count(connection: Connection, places: Sequence[Place]) -> dict[Place, int]:
    """Add one attempt to each message; returns how many each has had, this one included."""
    places = list(dict.fromkeys(places))  # a rebalance can put the same message into a batch twice
    rows = await connection.fetch(
        "INSERT INTO intake_attempt (topic, partition_no, message_offset)"
        " SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[])"
        " ON CONFLICT (topic, partition_no, message_offset)"
        " DO UPDATE SET attempts = intake_attempt.attempts + 1"
        " RETURNING topic, partition_no, message_offset, attempts",
        *_columns(places),
    )
    return {(row["topic"], row["partition_no"], row["message_offset"]): row["attempts"] for row in rows}


async def known(connection: Connection, places: Sequence[Place]) -> bool:
    """Whether any of these messages has been attempted and not dealt with, or was set aside for its attempts."""
    return bool(
        await connection.fetchval(
            "WITH m AS (SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[])"
            "           AS m(topic, partition_no, message_offset))"
            " SELECT EXISTS (SELECT FROM intake_attempt JOIN m USING (topic, partition_no, message_offset))"
            " OR EXISTS (SELECT FROM dead_letter JOIN m USING (topic, partition_no, message_offset)"
            "            WHERE reason = 'attempts')",
            *_columns(places),
        )
    )


async def forget(connection: Connection, place: Place) -> None:
    """The message is dealt with: part of the transaction that records how."""
    await forget_all(connection, [place])


async def forget_all(connection: Connection, places: Sequence[Place]) -> None:
    """The same for the messages of one commit."""
    await connection.execute(
        "DELETE FROM intake_attempt USING unnest($1::text[], $2::int[], $3::bigint[]) AS m(topic, partition_no, at)"
        " WHERE intake_attempt.topic = m.topic AND intake_attempt.partition_no = m.partition_no"
        " AND message_offset = m.at",
        *_columns(places),
    )


def _columns(places: Sequence[Place]) -> tuple[list[str], list[int], list[int]]:
    return [place[0] for place in places], [place[1] for place in places], [place[2] for place in places]
