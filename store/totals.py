"""Figures over everything, for the live table of the terminal and the first page of the portal."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.deliveries import ENDS, State
from store import tallies
from store.database import Connection
from store.tallies import Pace, Tally

_ENDS = {state.word for state in ENDS}


@dataclass(frozen=True, slots=True)
class ChannelTotals:
    """One channel: deliveries by the word of their state (in precedence), seconds from event to sent."""

    states: dict[str, int]
    p50_s: float | None
    p95_s: float | None

    @property
    def total(self) -> int:
        """All deliveries of the channel."""
        return sum(self.states.values())

    @property
    def ended(self) -> int:
        """Deliveries that wait for nothing more from us."""
        return sum(count for state, count in self.states.items() if state in _ENDS)


@dataclass(frozen=True, slots=True)
class Totals:
    """Everything at one moment. Seconds are from ``event.received_at`` to ``delivery.sent_at``, off by less than a
    fifth (store.tallies.Pace).

    ``events`` are by outcome; ``repeats`` is how many arrivals were repeats of an event already known;
    ``dead_letters`` by "open" and "put_back"; ``unaccounted`` deliveries neither ended nor wait for anything.
    ``orders_open`` (audience not wholly read), ``outbox`` (messages the broker has not acknowledged) and
    ``receipts_open`` (not yet looked at) are work that no delivery shows.
    """

    events: dict[str, int]
    repeats: int
    announcements: int
    channels: dict[str, ChannelTotals]
    dead_letters: dict[str, int]
    unaccounted: int
    p50_s: float | None
    p95_s: float | None
    orders_open: int
    outbox: int
    receipts_open: int

    @property
    def deliveries(self) -> int:
        """All deliveries."""
        return sum(channel.total for channel in self.channels.values())

    @property
    def ended(self) -> int:
        """Deliveries that wait for nothing more from us."""
        return sum(channel.ended for channel in self.channels.values())


_SUMMED = """
SELECT o.channel, t.rank, sum(t.deliveries)::bigint AS n FROM delivery_order o JOIN order_tally t ON t.order_id = o.id
WHERE o.tallied_at IS NOT NULL AND ($1::timestamptz IS NULL OR o.created_at >= $1) GROUP BY 1, 2"""

_PACES = """
SELECT o.channel, p.bucket, sum(p.deliveries)::bigint AS n, sum(p.seconds) AS seconds
FROM delivery_order o JOIN order_pace p ON p.order_id = o.id
WHERE o.tallied_at IS NOT NULL AND ($1::timestamptz IS NULL OR o.created_at >= $1) GROUP BY 1, 2"""

_REST = """
SELECT (SELECT coalesce(sum(unaccounted), 0)::bigint FROM delivery_order WHERE unaccounted > 0) AS unaccounted,
       (SELECT count(*) FROM announcement WHERE $1::timestamptz IS NULL OR created_at >= $1) AS announcements,
       (SELECT count(*) FROM delivery_order WHERE fanned_out_at IS NULL) AS orders_open,
       (SELECT count(*) FROM outbox) AS outbox,
       (SELECT count(*) FROM receipt WHERE outcome IS NULL) AS receipts_open"""


async def totals(connection: Connection, *, since: datetime | None = None) -> Totals:
    """Figures of all time, or of events, announcements and orders made after ``since``.

    What must never be overlooked (dead letters, unaccounted, work under way) is counted over all time always.
    Deliveries are counted of orders that are being worked on, and summed of all others (store/tallies.py).
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):  # figures that agree
        events = await connection.fetch(
            "SELECT outcome, count(*) AS n, sum(seen - 1) AS repeats FROM event"
            " WHERE $1::timestamptz IS NULL OR received_at >= $1 GROUP BY outcome ORDER BY outcome",
            since,
        )
        channels, overall = await _channels(connection, since)
        untallied = await connection.fetch("SELECT id FROM delivery_order WHERE tallied_at IS NULL")
        lost = await tallies.unaccounted(connection, [row["id"] for row in untallied])
        letters = await connection.fetch("SELECT state, count(*) AS n FROM dead_letter GROUP BY state")
        rest = await connection.fetchrow(_REST, since)
    assert rest is not None  # it has no FROM
    return Totals(
        events={row["outcome"]: row["n"] for row in events},
        repeats=sum(row["repeats"] for row in events),
        announcements=rest["announcements"],
        channels=channels,
        dead_letters={"open": 0, "put_back": 0} | {row["state"]: row["n"] for row in letters},
        unaccounted=rest["unaccounted"] + sum(lost.values()),
        p50_s=overall.quantile(0.5),
        p95_s=overall.quantile(0.95),
        orders_open=rest["orders_open"],
        outbox=rest["outbox"],
        receipts_open=rest["receipts_open"],
    )


async def _channels(connection: Connection, since: datetime | None) -> tuple[dict[str, ChannelTotals], Pace]:
    """Each channel's deliveries by state, and how quick all of them together were."""
    found: dict[str, Tally] = {}
    for row in await connection.fetch(_SUMMED, since):
        found.setdefault(row["channel"], Tally()).states[row["rank"]] = row["n"]
    for row in await connection.fetch(_PACES, since):
        found.setdefault(row["channel"], Tally()).pace.add(row["bucket"], row["n"], row["seconds"])
    untallied = await connection.fetch(
        "SELECT id, channel FROM delivery_order"
        " WHERE tallied_at IS NULL AND ($1::timestamptz IS NULL OR created_at >= $1)",
        since,
    )
    counted = await tallies.count(connection, [row["id"] for row in untallied])
    for row in untallied:
        if row["id"] in counted:
            found.setdefault(row["channel"], Tally()).add(counted[row["id"]])
    overall = Tally()
    for tally in found.values():
        overall.add(tally)
    return {
        channel: ChannelTotals(
            {State(rank).word: tally.states[rank] for rank in sorted(tally.states)},
            tally.pace.quantile(0.5),
            tally.pace.quantile(0.95),
        )
        for channel, tally in sorted(found.items())
    }, overall.pace


async def delivered_of(connection: Connection, event_ids: Sequence[str]) -> int:
    """How many deliveries of these events' announcements were accepted by a provider."""
    found: int = await connection.fetchval(
        "SELECT count(*) FROM event e JOIN delivery_order o USING (announcement_id, version)"
        " JOIN delivery d ON d.order_id = o.id WHERE e.event_id = ANY($1::text[]) AND d.standing % 16 = ANY($2::int[])",
        list(event_ids),
        [State.SENT.value, State.DELIVERED.value],
    )
    return found
