"""``bench fairness``: three authorities of very different size, each alone, and then started together.

A town of thirty must not wait until a metropolis is through. Each announcement is timed from just before its event is
given to the Kafka client until the mail server's answer about its last mail, as the delivery's row has it. While the
largest goes on, the smallest announces again and again: it must be served in the middle of a backlog as well as ahead
of it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench import rows, telling, town
from bench.hub import Hub, hub
from bench.report import Report, Round
from bench.sink import Sink
from bench.spread import Spread
from launcher.console import say
from launcher.faults import Fault
from launcher.outside import Outside, outside
from schemas.deliveries import State
from schemas.lanes import Lane
from store.database import Connection, connect

NAMES = ("large", "medium", "small")
ALONE = {"large": 1, "medium": 3, "small": 9}
"""How often each is measured alone in a round, the median counting: one of thirty mails takes a moment only."""
_SENDER = "deliver-bulk"
_SLOWEST_PER_S = 100
_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for: readers of the three authorities."""

    large: int
    medium: int
    small: int
    rounds: int

    @property
    def sizes(self) -> Mapping[str, int]:
        """Readers by the name of the authority."""
        return dict(zip(NAMES, (self.large, self.medium, self.small), strict=True))


@dataclass
class _Bench:
    asked: Asked
    running: Hub
    connection: Connection

    async def give(self, system: Outside, names: Sequence[tuple[str, str]]) -> datetime:
        """Put announcements (event, authority) on Kafka together; returns when."""
        messages = [town.notice(event, Lane.BULK, one, code=_code(one)) for event, one in names]
        at = datetime.now(UTC)
        await system.emit(messages)
        return at

    async def took(self, event: str, size: int, given: datetime) -> float:
        """Wait until everybody has been sent to; seconds until the last."""
        states = await telling.until_done(self.connection, event, 60 + sum(self.asked.sizes.values()) / _SLOWEST_PER_S)
        if states != {State.SENT.word: size}:
            self.running.faults.append(f"{event}: not every delivery is sent: {states}")
        found = await rows.times(self.connection, event)
        if event not in found:
            raise Fault(f"{event} was sent to nobody.", "The logs of the workers say why.")
        return (found[event].last_sent - given).total_seconds()


async def run(asked: Asked) -> Report:
    """Measure. Raises Fault when smtp-sink is absent, or something takes far too long."""
    sink = Sink.find()
    report = Report("fairness", dict(asked.sizes))
    async with hub(extra=sink.settings(), beside=[sink.program]) as running:
        connection = await connect(running.dsn)
        try:
            say(f"Loading {sum(asked.sizes.values()):,} subscribers of three authorities…")
            warm = await town.found(connection, [telling.WARM_UP])
            for name, size in asked.sizes.items():
                authority = await town.found(connection, [name], code=_code(name))
                await town.subscribe(connection, authority, size, name)
            await telling.warm_up(running, connection, warm)
            bench = _Bench(asked, running, connection)
            for number in range(1, asked.rounds + 1):
                report.rounds.append(await _round(bench, number))
        finally:
            await connection.close()
        report.faults += running.faults
    report.notes += [
        "…_alone_s, …_together_s: from the event given to the Kafka client until the last of its mails was accepted",
        "ratio_…: together through alone; the goal is 2 at most for the two smaller ones",
        "ahead_…: mails of the largest that were accepted before the last of theirs",
        "ratio_during: the smallest announcing again every half second while the largest is sent, the median of all",
        "…_rss_mb: the most memory while all three are sent; …_grown_mb: beyond what the medium one alone needed",
    ]
    return report


def _code(name: str) -> str:
    return f"961{NAMES.index(name):02}"


async def _round(bench: _Bench, number: int) -> Round:
    sizes = bench.asked.sizes
    async with outside(bench.running.bootstrap) as system:
        alone: dict[str, float] = {}
        for name in reversed(NAMES):  # the largest last: what it leaves behind is no burden to the others
            async with bench.running.measured() as by_itself:
                alone[name] = await _alone(bench, system, name, number)
            if name == "medium":
                quiet = by_itself.round
        await rows.forget(bench.connection, _event("large", "seul", number, 1))
        async with bench.running.measured() as measured:
            events = {name: _event(name, "ensemble", number, 1) for name in NAMES}
            given = await bench.give(system, [(events[name], name) for name in NAMES])
            going = asyncio.ensure_future(bench.took(events["large"], sizes["large"], given))
            try:
                async with asyncio.TaskGroup() as others:
                    waits = {
                        name: others.create_task(_watch(bench, events[name], sizes[name], given)) for name in NAMES[1:]
                    }
                during = await _during(bench, system, number, going)
            finally:
                together = {"large": await going}
        together |= {name: wait.result() for name, wait in waits.items()}
        ahead = {
            name: await rows.sent_before(bench.connection, events["large"], given + timedelta(seconds=together[name]))
            for name in NAMES[1:]
        }
        await rows.forget(bench.connection, events["large"])
    used, before = measured.round.used, quiet.used
    figures: dict[str, float] = {}
    for name in NAMES:
        figures |= {f"{name}_alone_s": alone[name], f"{name}_together_s": together[name]}
        figures[f"ratio_{name}"] = together[name] / alone[name]
    if during:
        figures |= {"small_during_s": Spread.of(during).median, "small_during_max_s": max(during)}
        figures |= {"ratio_during": Spread.of(during).median / alone["small"], "during": len(during)}
    figures |= {f"ahead_{name}": count for name, count in ahead.items()}
    figures |= {
        "core_rss_mb": used["core"].peak_mb,
        "worker_rss_mb": used[_SENDER].peak_mb,
        "core_grown_mb": used["core"].peak_mb - before["core"].peak_mb,
        "worker_grown_mb": used[_SENDER].peak_mb - before[_SENDER].peak_mb,
        "sent": sum(sizes.values()) + len(during) * sizes["small"],
    }
    say(
        f"  round {number}: small {figures['ratio_small']:.2f}, medium {figures['ratio_medium']:.2f} times their time"
        f" alone; {figures['small_together_s']:.2f} s and {figures['medium_together_s']:.2f} s"
    )
    return measured.with_figures(figures)


async def _alone(bench: _Bench, system: Outside, name: str, number: int) -> float:
    times = []
    for again in range(1, ALONE[name] + 1):
        event = _event(name, "seul", number, again)
        given = await bench.give(system, [(event, name)])
        times.append(await bench.took(event, bench.asked.sizes[name], given))
    return Spread.of(times).median


async def _during(bench: _Bench, system: Outside, number: int, going: "asyncio.Future[float]") -> list[float]:
    """Seconds of each announcement of the smallest that began and ended while the largest was being sent."""
    found: list[float] = []
    while not going.done():
        event = _event("small", "pendant", number, len(found) + 1)
        given = await bench.give(system, [(event, "small")])
        took = await _watch(bench, event, bench.asked.small, given)
        if not going.done():
            found.append(took)
        await asyncio.wait({going}, timeout=_EVERY_S)
    return found


async def _watch(bench: _Bench, event: str, size: int, given: datetime) -> float:
    """``took`` over a connection of its own: one connection answers one question at a time."""
    connection = await connect(bench.running.dsn)
    try:
        return await _Bench(bench.asked, bench.running, connection).took(event, size, given)
    finally:
        await connection.close()


def _event(name: str, when: str, number: int, again: int) -> str:
    """An id that no other begins with (``rows.times`` looks for beginnings)."""
    return f"{name}-{when}-{number}-{again}."
