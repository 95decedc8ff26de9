"""Figures over everything, for the live table of the terminal and the first page of the portal."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.deliveries import ENDS, State
from store.database import Connection
from store.listings import END_RANKS, UNACCOUNTED_WHERE

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
    """Everything at one moment. Seconds are from ``event.received_at`` to ``delivery.sent_at``.

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


async def totals(connection: Connection, *, since: datetime | None = None) -> Totals:
    """Figures of all time, or of events, announcements and orders made after ``since``.

    What must never be overlooked (dead letters, unaccounted, work under way) is counted over all time always.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):  # figures that agree
        events = await connection.fetch(
            "SELECT outcome, count(*) AS n, sum(seen - 1) AS repeats FROM event"
            " WHERE $1::timestamptz IS NULL OR received_at >= $1 GROUP BY outcome ORDER BY outcome",
            since,
        )
        # order ids grow with time: the lower bound leaves older partitions unread
        counts = await connection.fetch(
            "SELECT o.channel, d.standing % 16 AS rank, count(*) AS n"
            " FROM delivery d JOIN delivery_order o ON o.id = d.order_id"
            " WHERE $1::timestamptz IS NULL OR (o.created_at >= $1"
            "   AND d.order_id >= (SELECT min(id) FROM delivery_order WHERE created_at >= $1))"
            " GROUP BY 1, 2 ORDER BY 1, 2",
            since,
        )
        speeds = await connection.fetch(
            "WITH told AS (SELECT o.id, o.channel, min(e.received_at) AS received_at FROM delivery_order o"
            "   JOIN event e ON e.announcement_id = o.announcement_id AND e.version = o.version"
            "   WHERE e.outcome = 'announced' AND ($1::timestamptz IS NULL OR o.created_at >= $1) GROUP BY o.id)"
            " SELECT told.channel, percentile_disc('{0.5,0.95}'::float8[]) WITHIN GROUP"
            "   (ORDER BY extract(epoch FROM d.sent_at - told.received_at)::float8) AS seconds"
            " FROM delivery d JOIN told ON told.id = d.order_id WHERE d.sent_at IS NOT NULL"
            " GROUP BY GROUPING SETS ((told.channel), ())",
            since,
        )
        letters = await connection.fetch("SELECT state, count(*) AS n FROM dead_letter GROUP BY state")
        rest = await connection.fetchrow(
            f"SELECT (SELECT count(*) FROM delivery d WHERE {UNACCOUNTED_WHERE}) AS unaccounted,"
            " (SELECT count(*) FROM announcement WHERE $2::timestamptz IS NULL OR created_at >= $2) AS announcements,"
            " (SELECT count(*) FROM delivery_order WHERE fanned_out_at IS NULL) AS orders_open,"
            " (SELECT count(*) FROM outbox) AS outbox,"
            " (SELECT count(*) FROM receipt WHERE outcome IS NULL) AS receipts_open",
            END_RANKS,
            since,
        )
    assert rest is not None
    by_channel = {row["channel"]: row["seconds"] or [None, None] for row in speeds}
    overall = by_channel.get(None, [None, None])
    channels = {row["channel"] for row in counts}
    return Totals(
        events={row["outcome"]: row["n"] for row in events},
        repeats=sum(row["repeats"] for row in events),
        announcements=rest["announcements"],
        channels={
            channel: ChannelTotals(
                {State(row["rank"]).word: row["n"] for row in counts if row["channel"] == channel},
                *by_channel.get(channel, [None, None]),
            )
            for channel in sorted(channels)
        },
        dead_letters={"open": 0, "put_back": 0} | {row["state"]: row["n"] for row in letters},
        unaccounted=rest["unaccounted"],
        p50_s=overall[0],
        p95_s=overall[1],
        orders_open=rest["orders_open"],
        outbox=rest["outbox"],
        receipts_open=rest["receipts_open"],
    )


async def delivered_of(connection: Connection, event_ids: Sequence[str]) -> int:
    """How many deliveries of these events' announcements were accepted by a provider."""
    found: int = await connection.fetchval(
        "SELECT count(*) FROM event e JOIN delivery_order o USING (announcement_id, version)"
        " JOIN delivery d ON d.order_id = o.id WHERE e.event_id = ANY($1::text[]) AND d.standing % 16 = ANY($2::int[])",
        list(event_ids),
        [State.SENT.value, State.DELIVERED.value],
    )
    return found
