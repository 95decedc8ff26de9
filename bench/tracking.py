"""``bench tracking``: what officers' pages ask and what a receipt changes, in a database with millions of deliveries.

Only PostgreSQL runs. Each statement is the hub's own (store/), asked a hundred times a round with other numbers.
"""

import random
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog

from bench import archive, rows
from bench.archive import Archive
from bench.hub import bare
from bench.report import Report, Round
from bench.spread import percentile
from bench.usage import Watch
from hub import receipts as binding
from hub import retention
from launcher.console import say
from schemas.deliveries import DeliveryId
from schemas.webhooks import SmsReceipt, dump
from store import listings, receipts, totals, tracking
from store.database import Connection, Pool, connect, open_pool, transaction
from store.migrations import migrate

_TIMES, _TIMES_SLOW = 100, 5
_KEPT_MONTHS = 12
_PAGE = 51
"""Rows of a page, and one more that tells whether there is another: as the portal asks."""

Ask = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Asked:
    """Deliveries in the database."""

    deliveries: int
    rounds: int


async def run(asked: Asked) -> Report:
    """Measure."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # not a line for each receipt
    report = Report("tracking", {"deliveries": asked.deliveries})
    async with bare() as (_, stack, supervisor):
        assert stack.postgres is not None  # nobody named another
        say("Starting PostgreSQL…")
        await supervisor.start(stack.postgres.program())
        connection = await connect(stack.postgres.dsn)
        pool = await open_pool(stack.postgres.dsn, size=1)
        try:
            await migrate(connection)
            say(f"Making {asked.deliveries:,} deliveries…")
            began = time.monotonic()
            made = await archive.fill(connection, asked.deliveries, say)
            say(f"  {made.deliveries:,} in {time.monotonic() - began:.0f} s")
            for number in range(1, asked.rounds + 1):
                chance = random.Random(number)
                async with Watch({"postgres": supervisor.pids["postgres"]}) as watch:
                    figures = await _round(connection, pool, made, chance)
                    report.rounds.append(Round(figures, watch.used()))
                say(f"  round {number}: the slowest question: {figures['p95_ms']:.1f} ms")
            last = report.rounds[-1]  # it can be removed only once
            report.rounds[-1] = replace(last, figures={**last.figures, **await _purge(connection, made, report)})
        finally:
            await pool.close()
            await connection.close()
    report.notes += [
        f"{made.deliveries:,} deliveries of {made.orders + 1:,} announcements over {archive.DAYS} days; "
        f"an ordinary one has {made.people:,}, the large one {made.large:,}",
        "p95_ms: the slowest 95th percentile of the questions. floor_p95_ms: one row by its key",
        "totals_untallied_p95_ms: totals while every order by SMS has just had receipts, and none is tallied yet",
        "purge_s: all of it, grown old, is removed as a month is",
    ]
    return report


async def _round(connection: Connection, pool: Pool, made: Archive, chance: random.Random) -> dict[str, float]:
    figures = {}
    for name, ask in _questions(connection, pool, made, chance).items():
        figures[f"{name}_p95_ms"] = await _p95(ask, _TIMES)
    untallied = await _p95(lambda: totals.totals(connection), _TIMES_SLOW)
    await archive.tally(connection)
    for name, ask in _sums(connection).items():
        figures[f"{name}_p95_ms"] = await _p95(ask, _TIMES)
    beside = {
        "totals_untallied_p95_ms": untallied,
        "floor_p95_ms": await _p95(lambda: rows.one_delivery(connection, DeliveryId(1, 1)), _TIMES),
    }
    return {"p95_ms": max(figures.values()), **figures, **beside}


async def _purge(connection: Connection, made: Archive, report: Report) -> dict[str, float]:
    """Seconds to remove all of it, as the month that it then is."""
    await archive.grow_old(connection)
    done = await retention.purge(connection, retention.cutoff(datetime.now(UTC), _KEPT_MONTHS))
    if done is None or done.removed.deliveries != made.deliveries:
        report.faults.append("not every delivery of the month was removed")
        return {}
    return {"purge_s": done.seconds}


def _questions(connection: Connection, pool: Pool, made: Archive, chance: random.Random) -> Mapping[str, Ask]:
    """Of one announcement, of one delivery, of lists."""

    def order() -> int:
        return chance.randint(1, made.orders)

    def delivery() -> DeliveryId:
        return DeliveryId(order(), chance.randint(1, made.people))

    def since() -> datetime:
        return datetime.now(UTC) - timedelta(days=1)

    return {
        "story": lambda: tracking.story(connection, announcement_id=order()),
        "delivery_story": lambda: tracking.story(connection, delivery=delivery().public),
        "list_announcement": lambda: listings.deliveries(connection, announcement_id=order(), limit=_PAGE),
        "list_failed": lambda: listings.deliveries(connection, order_id=order(), state="failed", limit=_PAGE),
        "list_deep": lambda: listings.deliveries(connection, before=delivery(), limit=_PAGE),
        "story_large": lambda: tracking.story(connection, announcement_id=made.orders + 1),
        "search_address_day": lambda: listings.deliveries(connection, search="-9999@", since=since(), limit=_PAGE),
        "list_day": lambda: listings.deliveries(connection, since=since(), limit=_PAGE),
        "list_events": lambda: listings.events(connection, limit=_PAGE),
        "find_reference": lambda: tracking.find(connection, _reference(made, chance)),
        "receipt": lambda: _receipt(connection, pool, _reference(made, chance)),
    }


def _sums(connection: Connection) -> Mapping[str, Ask]:
    """Of everything, by the tallies."""
    return {
        "totals_day": lambda: totals.totals(connection, since=datetime.now(UTC) - timedelta(days=1)),
        "totals_ever": lambda: totals.totals(connection),
        "list_unknown_ever": lambda: listings.deliveries(connection, state="unknown", limit=_PAGE),
        "list_unaccounted": lambda: listings.deliveries(connection, state=listings.UNACCOUNTED, limit=_PAGE),
    }


def _reference(made: Archive, chance: random.Random) -> str:
    order = chance.randint(1, made.orders // archive.SMS_EACH) * archive.SMS_EACH
    return archive.reference(order, chance.randint(1, made.people))


async def _receipt(connection: Connection, pool: Pool, reference: str) -> None:
    """A gateway's receipt from its arrival at the door to the delivery that it changes."""
    said = SmsReceipt(id=uuid.uuid4().hex, status="delivered", at=datetime.now(UTC))
    async with transaction(pool) as kept_on:
        kept = await receipts.keep(
            kept_on, channel="sms", kind="receipt", body=dump(said), hint=None, reference=reference
        )
    assert kept is not None  # its id is new
    if await binding.bind(pool, kept) != "bound":
        raise RuntimeError(f"the receipt of {reference} was not bound")


async def _p95(ask: Ask, times: int) -> float:
    """Milliseconds that 95 of 100 answers take at most."""
    await ask()  # its plan is made, its pages are read
    took = []
    for _ in range(times):
        began = time.perf_counter()
        await ask()
        took.append((time.perf_counter() - began) * 1000)
    return percentile(took, 0.95)
