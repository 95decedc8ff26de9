"""Rows that a bench writes or counts for itself. The hub's own statements are in store/, and are what is measured."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.deliveries import DeliveryId, State, standing
from store.database import Connection

_AT_ONCE = 50_000
_NO_ORDER = 99_999  # the last of the first partition: no bench makes so many


async def add_people(
    connection: Connection,
    authority: int,
    people: Iterable[tuple[str, str]],
    theme: str,
    area: str,
    channel: str = "email",
) -> None:
    """Recipients (address, language) on a channel with one subscription each, by COPY, then ANALYZE."""
    next_id: int = await connection.fetchval("SELECT coalesce(max(id), 0) + 1 FROM recipient")
    page: list[tuple[int, str, str]] = []
    for address, language in people:
        page.append((next_id, address, language))
        next_id += 1
        if len(page) == _AT_ONCE:
            await _copy(connection, authority, page, theme, area, channel)
            page = []
    await _copy(connection, authority, page, theme, area, channel)
    await connection.execute("SELECT setval(pg_get_serial_sequence('recipient', 'id'), $1, false)", next_id)
    await connection.execute("ANALYZE recipient, subscription")


async def _copy(
    connection: Connection, authority: int, page: list[tuple[int, str, str]], theme: str, area: str, channel: str
) -> None:
    await connection.copy_records_to_table(
        "recipient",
        records=((number, authority, channel, address, language) for number, address, language in page),
        columns=("id", "authority_id", "channel", "address", "language"),
    )
    await connection.copy_records_to_table(
        "subscription",
        records=((number, theme, area) for number, _, _ in page),
        columns=("recipient_id", "theme", "area"),
    )


async def add_accounts(connection: Connection, authority: int, network: str, names: Sequence[str]) -> None:
    """Accounts of an authority on a network: they hear everything that goes there."""
    await connection.execute(
        "INSERT INTO recipient (authority_id, channel, address, broadcast) SELECT $1, $2, unnest($3::text[]), true",
        authority,
        network,
        list(names),
    )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an announcement is: recipients found so far, whether that is all, and how many are not done with."""

    recipients: int
    fanned_out: bool
    open: int


_PROGRESS = """
SELECT o.recipients, o.fanned_out_at IS NOT NULL,
       coalesce((SELECT sum(cardinality(b.members)) FROM batch b WHERE b.order_id = o.id AND b.state <> 'done'), 0)
       + (SELECT count(*) FROM due WHERE due.order_id = o.id)
FROM event e JOIN delivery_order o USING (announcement_id, version)
WHERE e.source = '/bench' AND e.event_id = $1"""


async def progress(connection: Connection, event: str) -> Progress:
    """How far the one order of an event is; nothing found and not read to its end while there is no order."""
    row = await connection.fetchrow(_PROGRESS, event)
    return Progress(0, False, 0) if row is None else Progress(int(row[0]), row[1], int(row[2]))


async def fanned_out(connection: Connection, event: str) -> Progress:
    """How far the reading of an event's audience is; ``open`` is not counted, and 0."""
    row = await connection.fetchrow(
        "SELECT o.recipients, o.fanned_out_at IS NOT NULL FROM event e"
        " JOIN delivery_order o USING (announcement_id, version) WHERE e.source = '/bench' AND e.event_id = $1",
        event,
    )
    return Progress(0, False, 0) if row is None else Progress(int(row[0]), row[1], 0)


async def tally(connection: Connection, event: str) -> dict[str, int]:
    """Deliveries of an event by the word of their state, counted one by one."""
    rows = await connection.fetch(
        "SELECT d.standing % 16, count(*) FROM event e JOIN delivery_order o USING (announcement_id, version)"
        " JOIN delivery d ON d.order_id = o.id WHERE e.source = '/bench' AND e.event_id = $1 GROUP BY 1",
        event,
    )
    return {State(rank).word: count for rank, count in rows}


async def tally_all(connection: Connection, prefix: str) -> dict[str, int]:
    """The same of all events whose id begins so."""
    rows = await connection.fetch(
        "SELECT d.standing % 16, count(*) FROM event e JOIN delivery_order o USING (announcement_id, version)"
        " JOIN delivery d ON d.order_id = o.id WHERE e.source = '/bench' AND starts_with(e.event_id, $1) GROUP BY 1",
        prefix,
    )
    return {State(rank).word: count for rank, count in rows}


async def waiting_recipients(connection: Connection, lane: str) -> int:
    """Recipients in batches of a lane that nobody has done with."""
    found = await connection.fetchval(
        "SELECT coalesce(sum(cardinality(members)), 0) FROM batch WHERE lane = $1 AND state <> 'done' /* /bench */",
        lane,
    )
    return int(found)


async def outbox(connection: Connection) -> int:
    """Messages that the broker has not acknowledged yet."""
    return int(await connection.fetchval("SELECT count(*) FROM outbox"))


async def unread_receipts(connection: Connection) -> tuple[int, int]:
    """Receipts that nobody has looked at yet, and those that were found to be about nothing known (yet)."""
    row = await connection.fetchrow(
        "SELECT count(*) FILTER (WHERE outcome IS NULL), count(*) FILTER (WHERE outcome = 'unbound') FROM receipt"
        " WHERE outcome IS NULL OR outcome = 'unbound'"
    )
    assert row is not None  # an aggregate has one row
    return row[0], row[1]


@dataclass(frozen=True, slots=True)
class Times:
    """Moments of one announcement, by the database's clock, which is this machine's."""

    received: datetime
    first_sent: datetime
    last_sent: datetime
    sent: int


async def times(connection: Connection, prefix: str) -> dict[str, Times]:
    """By event id, for events whose id begins so and that were sent to anybody."""
    rows = await connection.fetch(
        "SELECT e.event_id, e.received_at, min(d.sent_at), max(d.sent_at), count(d.sent_at)"
        " FROM event e JOIN delivery_order o USING (announcement_id, version) JOIN delivery d ON d.order_id = o.id"
        " WHERE e.source = '/bench' AND starts_with(e.event_id, $1) AND d.sent_at IS NOT NULL GROUP BY 1, 2",
        prefix,
    )
    return {row[0]: Times(*row[1:]) for row in rows}


async def sent_before(connection: Connection, event: str, moment: datetime) -> int:
    """Deliveries of an event that a provider took before a moment."""
    found = await connection.fetchval(
        "SELECT count(*) FROM event e JOIN delivery_order o USING (announcement_id, version)"
        " JOIN delivery d ON d.order_id = o.id WHERE e.source = '/bench' AND e.event_id = $1 AND d.sent_at < $2",
        event,
        moment,
    )
    return int(found)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Events that intake recorded, with repeats; since when. ``began`` is None while there are none."""

    events: int
    repeats: int
    began: datetime | None


async def arrivals(connection: Connection, prefix: str) -> Arrivals:
    """What intake has recorded of events whose id begins so."""
    row = await connection.fetchrow(
        "SELECT count(*), coalesce(sum(seen - 1), 0), min(received_at) FROM event"
        " WHERE source = '/bench' AND starts_with(event_id, $1)",
        prefix,
    )
    assert row is not None  # an aggregate has one row
    return Arrivals(row[0], int(row[1]), row[2])


async def being_fanned_out(connection: Connection) -> int:
    """Orders whose audience has not been read to its end."""
    return int(await connection.fetchval("SELECT count(*) FROM delivery_order WHERE fanned_out_at IS NULL"))


@dataclass(frozen=True, slots=True)
class Account:
    """An order's deliveries counted three ways, which must agree; ``astray`` are in no batch."""

    recipients: int
    deliveries: int
    in_batches: int
    astray: int
    began: datetime
    fanned_out: datetime | None

    @property
    def holds(self) -> bool:
        """Whether every recipient has one delivery, and every delivery stands in one batch."""
        return self.recipients == self.deliveries == self.in_batches and not self.astray


async def account(connection: Connection, event: str) -> Account:
    """Count the one order of an event."""
    row = await connection.fetchrow(
        "SELECT o.recipients, (SELECT count(*) FROM delivery d WHERE d.order_id = o.id),"
        " (SELECT coalesce(sum(cardinality(members)), 0) FROM batch b WHERE b.order_id = o.id),"
        " (SELECT count(*) FROM (SELECT recipient_id FROM delivery d WHERE d.order_id = o.id"
        "   EXCEPT SELECT unnest(members) FROM batch b WHERE b.order_id = o.id) astray),"
        " o.created_at, o.fanned_out_at"
        " FROM event e JOIN delivery_order o USING (announcement_id, version)"
        " WHERE e.source = '/bench' AND e.event_id = $1",
        event,
    )
    assert row is not None  # the event was announced
    return Account(row[0], row[1], int(row[2]), row[3], row[4], row[5])


async def copy_alone(connection: Connection, deliveries: int) -> float:
    """Rows a second, if deliveries are only copied in and nothing else; they are taken back. The ceiling of fan-out."""
    queued = standing(State.QUEUED)
    began = time.monotonic()
    await connection.copy_records_to_table(
        "delivery",
        records=((_NO_ORDER, number, queued) for number in range(deliveries)),
        columns=("order_id", "recipient_id", "standing"),
    )
    seconds = time.monotonic() - began
    await connection.execute("DELETE FROM delivery WHERE order_id = $1", _NO_ORDER)
    await connection.execute("VACUUM (ANALYZE) delivery")
    return deliveries / seconds


async def one_delivery(connection: Connection, delivery: DeliveryId) -> None:
    """Read one row by its key: the least that any question costs."""
    await connection.fetchrow(
        "SELECT standing FROM delivery WHERE order_id = $1 AND recipient_id = $2",
        delivery.order_id,
        delivery.recipient_id,
    )


async def forget(connection: Connection, event: str) -> None:
    """Remove the deliveries and batches of an event's order, so that the next measurement does not wade through them.

    A hub never does this: its order stays, without anything to send.
    """
    order = await connection.fetchval(
        "SELECT o.id FROM event e JOIN delivery_order o USING (announcement_id, version)"
        " WHERE e.source = '/bench' AND e.event_id = $1",
        event,
    )
    await connection.execute("DELETE FROM batch WHERE order_id = $1", order)
    await connection.execute("DELETE FROM delivery WHERE order_id = $1", order)
    await connection.execute("VACUUM (ANALYZE) batch, delivery")
