"""``bench urgent``: how long an urgent announcement takes on an idle hub, and while a bulk one is being sent.

Each urgent announcement goes to twenty people. At each injection the database is asked how many recipients of the
bulk lane are still to be sent to: none, and the measurement would not count. Times run from just before the event is
given to the Kafka client until the mail server's answer about the mail, as the delivery's row has it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bench import rows, telling, town
from bench.hub import Hub, hub
from bench.report import Report, Round
from bench.sink import Sink
from bench.spread import percentile
from launcher.console import say
from launcher.outside import Outside, outside
from schemas.lanes import Lane
from store.database import Connection, connect

PEOPLE = 20
_URGENT, _BULK = "quai", "ville"
_PAUSE_S = 0.2
_SLOWEST_PER_S = 100
_FEW = 0.3  # of a bulk announcement left: the next is given before the backlog ends


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for: readers of one bulk announcement, urgent announcements a round, and on idle."""

    bulk: int
    urgent: int
    idle: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of one urgent announcement from the event to intake, to the first mail sent and to the last."""

    intake: float
    first: float
    last: float


async def run(asked: Asked) -> Report:
    """Measure. Raises Fault when smtp-sink is absent, or something takes far too long."""
    sink = Sink.find()
    report = Report("urgent", {"bulk": asked.bulk, "urgent": asked.urgent, "people": PEOPLE})
    async with hub(extra=sink.settings(), beside=[sink.program]) as running:
        connection = await connect(running.dsn)
        try:
            say(f"Loading {asked.bulk:,} subscribers…")
            authority = await town.found(connection, [_URGENT, _BULK, telling.WARM_UP])
            await town.subscribe(connection, authority, asked.bulk, _BULK)
            await town.subscribe(connection, authority, PEOPLE, _URGENT)
            await telling.warm_up(running, connection, authority)
            for number in range(1, asked.rounds + 1):
                report.rounds.append(await _round(asked, running, connection, number))
        finally:
            await connection.close()
        report.faults += running.faults
    report.notes += [
        f"an urgent announcement goes to {PEOPLE} people; p50_ms, p99_ms: to the last of them, while bulk is sent",
        "idle_first_p50_ms: to the first of them, on an idle hub; intake_p50_ms: until its event is in PostgreSQL",
        "backlog_min: the fewest bulk recipients still to be sent to when an urgent event was put on Kafka",
    ]
    return report


async def _round(asked: Asked, running: Hub, connection: Connection, number: int) -> Round:
    idle = await _inject(running, connection, f"calme-{number}", asked.idle, None)
    stream = _Bulk(asked.bulk, f"masse-{number}")
    async with running.measured() as measured:
        busy = await _inject(running, connection, f"urgence-{number}", asked.urgent, stream)
    if stream.fewest <= 0:
        running.faults.append("the bulk was through at an injection: ask for a larger --bulk")
    for name in stream.names:
        await telling.until_done(connection, name, 60 + asked.bulk / _SLOWEST_PER_S)
    last = [one.last * 1000 for one in busy]
    figures = {
        "p50_ms": percentile(last, 0.5),
        "p99_ms": percentile(last, 0.99),
        "max_ms": max(last),
        "first_p50_ms": percentile([one.first * 1000 for one in busy], 0.5),
        "intake_p50_ms": percentile([one.intake * 1000 for one in busy], 0.5),
        "intake_p99_ms": percentile([one.intake * 1000 for one in busy], 0.99),
        "idle_first_p50_ms": percentile([one.first * 1000 for one in idle], 0.5),
        "idle_last_p50_ms": percentile([one.last * 1000 for one in idle], 0.5),
        "idle_last_p99_ms": percentile([one.last * 1000 for one in idle], 0.99),
        "sent": len(busy) * PEOPLE,
        "backlog_min": stream.fewest,
        "bulk_announcements": len(stream.names),
    }
    say(
        f"  round {number}: p50 {figures['p50_ms']:.0f} ms, p99 {figures['p99_ms']:.0f} ms with at least "
        f"{stream.fewest:,} bulk recipients waiting; idle {figures['idle_first_p50_ms']:.0f} ms to the first"
    )
    return measured.with_figures(figures)


class _Bulk:
    """Bulk announcements one after the other, so that there is always somebody of them still to be sent to."""

    def __init__(self, readers: int, prefix: str) -> None:
        self._readers = readers
        self._prefix = prefix
        self.names: list[str] = []
        self.fewest = 2**62

    async def begin(self, system: Outside, connection: Connection) -> None:
        """Give the first, and wait until it is being sent."""
        await self._give(system)
        while await rows.waiting_recipients(connection, Lane.BULK) < min(self._readers, 1000):  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    async def keep_up(self, system: Outside, connection: Connection) -> None:
        """Note how many are waiting, and give another before they are all sent to."""
        waiting = await rows.waiting_recipients(connection, Lane.BULK)
        self.fewest = min(self.fewest, waiting)
        progress = await rows.progress(connection, self.names[-1])
        if progress.fanned_out and waiting < self._readers * _FEW:
            await self._give(system)

    async def _give(self, system: Outside) -> None:
        self.names.append(f"{self._prefix}-{len(self.names) + 1}")
        await system.emit([town.notice(self.names[-1], Lane.BULK, _BULK)])


async def _inject(
    running: Hub, connection: Connection, prefix: str, count: int, stream: _Bulk | None
) -> Sequence[Took]:
    """Put urgent events on Kafka, one every fifth of a second, and wait until all are sent."""
    given: dict[str, datetime] = {}
    async with outside(running.bootstrap) as system:
        if stream is not None:
            await stream.begin(system, connection)
        for number in range(1, count + 1):
            if stream is not None:
                await stream.keep_up(system, connection)
            message = town.notice(f"{prefix}-{number}", Lane.URGENT, _URGENT)
            given[f"{prefix}-{number}"] = datetime.now(UTC)
            await system.emit([message])
            await asyncio.sleep(_PAUSE_S)
    for name in given:
        await telling.until_done(connection, name, within_s=60)
    found = await rows.times(connection, f"{prefix}-")
    missing = [name for name in given if name not in found or found[name].sent != PEOPLE]
    if missing:
        running.faults.append(f"{len(missing)} urgent announcements did not reach all their readers")
    return [
        Took(
            (found[name].received - at).total_seconds(),
            (found[name].first_sent - at).total_seconds(),
            (found[name].last_sent - at).total_seconds(),
        )
        for name, at in given.items()
        if name in found
    ]
