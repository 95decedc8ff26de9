"""The calls that a social network gets for a delivery: planned together, then each committed before it is made."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from schemas.deliveries import DeliveryId
from store.database import Connection

Act = Literal["publish", "edit", "delete"]


@dataclass(frozen=True, slots=True)
class Step:
    """One call: publish ``text``, edit ``target`` to it, or delete ``target``.

    ``answers`` is the reference that a new post answers, ``PREVIOUS`` for the post of the step before.
    """

    number: int
    act: Act
    text: str
    target: str | None = None
    answers: str | None = None


PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class Row:
    """A step with what became of it. ``open``: handed over in ``attempt``, and no answer recorded."""

    version: int
    step: Step
    begun_at: datetime | None
    attempt: int
    open: bool
    reference: str | None
    url: str | None
    done: bool
    order_id: int


_ROWS = """
SELECT o.version, p.number, p.act, p.text, p.target, p.answers, p.begun_at, p.attempt, p.open, p.reference, p.url,
       p.done_at IS NOT NULL AS done, p.order_id
FROM delivery_order mine
JOIN delivery_order o ON o.announcement_id = mine.announcement_id AND o.channel = mine.channel
     AND o.version <= mine.version
JOIN post p ON p.order_id = o.id AND p.recipient_id = $2
WHERE mine.id = $1
ORDER BY o.version, p.number"""


async def story(connection: Connection, order_id: int, recipient_id: int) -> list[Row]:
    """Every step of this order's and earlier versions of its announcement for this account, oldest first."""
    rows = await connection.fetch(_ROWS, order_id, recipient_id)
    return [
        Row(
            row["version"],
            Step(row["number"], row["act"], row["text"], row["target"], row["answers"]),
            row["begun_at"],
            row["attempt"],
            row["open"],
            row["reference"],
            row["url"],
            row["done"],
            row["order_id"],
        )
        for row in rows
    ]


async def plan(connection: Connection, order_id: int, recipient_id: int, steps: Sequence[Step]) -> None:
    """Keep the steps of a delivery, once: a plan that is there already stays as it is."""
    await connection.execute(
        "INSERT INTO post (order_id, recipient_id, number, act, text, target, answers)"
        " SELECT $1, $2, * FROM unnest($3::smallint[], $4::text[], $5::text[], $6::text[], $7::text[])"
        " WHERE NOT EXISTS (SELECT FROM post WHERE order_id = $1 AND recipient_id = $2)"
        " ON CONFLICT DO NOTHING",
        order_id,
        recipient_id,
        [step.number for step in steps],
        [step.act for step in steps],
        [step.text for step in steps],
        [step.target for step in steps],
        [step.answers for step in steps],
    )


async def append(connection: Connection, order_id: int, recipient_id: int, steps: Sequence[Step]) -> None:
    """Steps that follow those planned; their numbers are free."""
    await connection.executemany(
        "INSERT INTO post (order_id, recipient_id, number, act, text, target, answers)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        [(order_id, recipient_id, step.number, step.act, step.text, step.target, step.answers) for step in steps],
    )


async def is_current(connection: Connection, order_id: int) -> bool:
    """Whether the order's version is still its announcement's; stays so until the caller's transaction ends.

    Share-locks the announcement: a newer version waits, and then sees what was begun under this lock.
    """
    return bool(
        await connection.fetchval(
            "SELECT a.version = o.version FROM delivery_order o JOIN announcement a ON a.id = o.announcement_id"
            " WHERE o.id = $1 FOR SHARE OF a",
            order_id,
        )
    )


async def earlier_under_way(connection: Connection, order_id: int, recipient_id: int) -> bool:
    """Whether a worker has an earlier version for this account in hand at this moment: it may make one more call."""
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM delivery_order mine"
            " JOIN delivery_order o ON o.announcement_id = mine.announcement_id AND o.channel = mine.channel"
            "  AND o.version < mine.version"
            " JOIN batch b ON b.order_id = o.id AND b.state = 'claimed' AND b.lease_until > clock_timestamp()"
            "  AND $2 = ANY(b.members)"
            " WHERE mine.id = $1)",
            order_id,
            recipient_id,
        )
    )


async def begin(connection: Connection, order_id: int, recipient_id: int, number: int, attempt: int) -> datetime | None:
    """The step is about to be handed over: commit before it is. Returns when it first was, the same ever after.

    None when another owner has done it meanwhile.
    """
    begun: datetime | None = await connection.fetchval(
        "UPDATE post SET begun_at = coalesce(begun_at, date_trunc('milliseconds', clock_timestamp())),"
        " tried_at = clock_timestamp(), attempt = $4, open = true"
        " WHERE order_id = $1 AND recipient_id = $2 AND number = $3 AND done_at IS NULL RETURNING begun_at",
        order_id,
        recipient_id,
        number,
        attempt,
    )
    return begun


async def untaken(connection: Connection, order_id: int, recipient_id: int, number: int) -> None:
    """The provider surely doesn't have what the step last handed over."""
    await connection.execute(
        "UPDATE post SET open = false WHERE order_id = $1 AND recipient_id = $2 AND number = $3",
        order_id,
        recipient_id,
        number,
    )


async def done(
    connection: Connection, order_id: int, recipient_id: int, number: int, reference: str | None, url: str | None
) -> None:
    """The step has succeeded; a first answer stays."""
    await connection.execute(
        "UPDATE post SET open = false, done_at = clock_timestamp(), reference = $4, url = $5"
        " WHERE order_id = $1 AND recipient_id = $2 AND number = $3 AND done_at IS NULL",
        order_id,
        recipient_id,
        number,
        reference,
        url,
    )


async def replace(connection: Connection, order_id: int, recipient_id: int, step: Step) -> None:
    """Do this step instead of the one of its number, which can't be done."""
    await connection.execute(
        "UPDATE post SET act = $4, text = $5, target = $6, answers = $7, open = false, begun_at = NULL"
        " WHERE order_id = $1 AND recipient_id = $2 AND number = $3",
        order_id,
        recipient_id,
        step.number,
        step.act,
        step.text,
        step.target,
        step.answers,
    )


async def every_published(connection: Connection) -> AsyncIterator[tuple[str, DeliveryId, int, str]]:
    """Channel, delivery, number and text of every post that was, or may have been, handed over: for audits."""
    async with connection.transaction(readonly=True):
        async for row in connection.cursor(
            "SELECT o.channel, p.order_id, p.recipient_id, p.number, p.text FROM post p"
            " JOIN delivery_order o ON o.id = p.order_id WHERE p.act = 'publish' AND p.begun_at IS NOT NULL",
            prefetch=5000,
        ):
            yield row["channel"], DeliveryId(row["order_id"], row["recipient_id"]), row["number"], row["text"]
