"""``bench intake``: events a second through one intake worker, a fifth of them repeats.

The core is stopped while the events are put on Kafka, so that producing them costs it nothing. Each event becomes an
announcement of its own with one order, to an audience of nobody: the core fans it out, too, as it always does. Beside
them as many that no rule sends on: they are recorded, and that is all. Time runs from the first event's transaction
until all are recorded.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bench import rows, town
from bench.hub import Hub, Measured, hub, joined
from bench.report import Report, Round
from launcher.console import say
from launcher.faults import Fault
from launcher.outside import outside
from schemas.cloudevents import decode
from schemas.events import parse
from schemas.lanes import Lane
from store import events
from store.database import Connection, connect, open_pool, transaction

REPEATS = 0.2
_AREA = "personne"
_SLOWEST_PER_S = 20
_AT_ONCE = 500
_LOOK_EVERY_S = 0.1
_CONNECTIONS, _CEILING_OF = 8, 4000


@dataclass(frozen=True, slots=True)
class Asked:
    """Events a round, repeats included."""

    events: int
    rounds: int


async def run(asked: Asked) -> Report:
    """Measure. Raises Fault when it takes far too long."""
    report = Report("intake", {"events": asked.events})
    async with hub() as running:
        connection = await connect(running.dsn)
        try:
            await town.found(connection, [_AREA])
            for number in range(1, asked.rounds + 1):
                report.rounds.append(await _round(asked, running, connection, number))
        finally:
            await connection.close()
        report.faults += running.faults
    report.notes += [
        f"{REPEATS:.0%} of the events are repeats of one that came before; each other is announced, to nobody",
        "unrouted_per_s: as many that no rule sends on: they are recorded, and there is nothing to fan out",
        "ceiling_per_s: each event only decoded and recorded by a transaction of its own, eight at a time",
        "the same process relays and fans out meanwhile: its share by step is below",
    ]
    return report


async def _round(asked: Asked, running: Hub, connection: Connection, number: int) -> Round:
    chance = random.Random(number)
    unrouted = arrivals(f"sans-suite-{number}-", asked.events, chance, severity="Minor")
    only_recorded, _, _ = await _taken_in(running, connection, f"sans-suite-{number}-", unrouted)
    messages = arrivals(f"evenement-{number}-", asked.events, chance)
    per_s, found, measured = await _taken_in(running, connection, f"evenement-{number}-", messages)
    await _until_fanned_out(connection, 60 + asked.events / _SLOWEST_PER_S)
    ceiling = await _ceiling(running, messages[:_CEILING_OF])
    say(f"  round {number}: {per_s:,.0f} events/s announced, {only_recorded:,.0f} that no rule sends on")
    return measured.with_figures(
        {
            "events_per_s": per_s,
            "unrouted_per_s": only_recorded,
            "ceiling_per_s": ceiling,
            "of_ceiling": per_s / ceiling,
            "announced": found.events,
            "repeats": found.repeats,
            "unaccounted": len(messages) - found.events - found.repeats,
            "core_rss_mb": measured.round.used["core"].peak_mb,
        }
    )


async def _taken_in(
    running: Hub, connection: Connection, prefix: str, messages: Sequence[town.Message]
) -> tuple[float, rows.Arrivals, Measured]:
    """Put the messages on Kafka while the core is stopped, then let it take them in; events a second."""
    different = len({message.key for message in messages})
    await running.supervisor.pause("core")
    async with outside(running.bootstrap) as system:
        for start in range(0, len(messages), _AT_ONCE):
            await system.emit(messages[start : start + _AT_ONCE])
    await running.supervisor.resume("core")
    async with running.measured() as measured:
        found = await _until_recorded(connection, prefix, len(messages), 60 + len(messages) / _SLOWEST_PER_S)
        ended = datetime.now(UTC)
    await joined(running.settings, {"core": 1})
    if (found.events, found.repeats) != (different, len(messages) - different):
        running.faults.append(f"{prefix}: {different} different events, and recorded are {found}")
    assert found.began is not None  # there are events
    return len(messages) / (ended - found.began).total_seconds(), found, measured


async def _until_fanned_out(connection: Connection, within_s: float) -> None:
    """What the last round leaves behind is no burden to the next, nor to the ceiling."""
    deadline = time.monotonic() + within_s
    while left := await rows.being_fanned_out(connection):
        if time.monotonic() > deadline:
            raise Fault(f"{left} orders were not fanned out in time.", "The log of the core says why.")
        await asyncio.sleep(_LOOK_EVERY_S)


def arrivals(prefix: str, events: int, chance: random.Random, *, severity: str = "Moderate") -> Sequence[town.Message]:
    """Events in the order of their arrival: a fifth, but never the first, repeat one that came before."""
    found: list[town.Message] = []
    different: list[town.Message] = []
    for number in range(events):
        if different and chance.random() < REPEATS:
            found.append(chance.choice(different))
        else:
            different.append(town.notice(f"{prefix}{number}", Lane.BULK, _AREA, severity=severity))
            found.append(different[-1])
    return found


async def _ceiling(running: Hub, messages: Sequence[town.Message]) -> float:
    """Events a second if each were only decoded, and recorded by a transaction of its own, eight at a time."""
    waiting = list(messages)
    pool = await open_pool(running.dsn, size=_CONNECTIONS)

    async def record() -> None:
        while waiting:
            message = waiting.pop()
            event = decode(message.value, message.headers)
            data = parse(event)
            arrival = events.Arrival(
                source="/bench/ceiling",
                event_id=event.id,
                type=event.type,
                authority_id=1,
                matter=data.matter,
                revision=data.revision,
                action=data.action.value,
                outcome="no_rule",
                occurred_at=event.time,
                payload=data.model_dump(mode="json"),
            )
            async with transaction(pool) as connection:
                await events.add(connection, arrival)

    try:
        began = time.monotonic()
        await asyncio.gather(*(record() for _ in range(_CONNECTIONS)))
        return len(messages) / (time.monotonic() - began)
    finally:
        await pool.close()


async def _until_recorded(connection: Connection, prefix: str, events: int, within_s: float) -> rows.Arrivals:
    deadline = time.monotonic() + within_s
    found = rows.Arrivals(0, 0, None)
    while time.monotonic() < deadline:
        found = await rows.arrivals(connection, prefix)
        if found.events + found.repeats >= events:
            return found
        await asyncio.sleep(_LOOK_EVERY_S)
    raise Fault(f"Only {found} of {events} events were recorded in time.", "The log of the core says why.")
