"""``bench intake``: events a second through one intake worker, a fifth of them repeats.

The core is stopped while the events are put on Kafka, so that producing them costs it nothing. Each event becomes an
announcement of its own with one order, to an audience of nobody: the core fans it out, too, as it always does. Time
runs from the first event's transaction until all are recorded.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bench import rows, town
from bench.hub import Hub, hub, joined
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
        "ceiling_per_s: each event only decoded and recorded by a transaction of its own, eight at a time",
        "the same process relays and fans out meanwhile: its share by step is below",
    ]
    return report


async def _round(asked: Asked, running: Hub, connection: Connection, number: int) -> Round:
    prefix = f"evenement-{number}-"
    messages = arrivals(prefix, asked.events, random.Random(number))
    different = len({message.key for message in messages})
    await running.supervisor.pause("core")
    async with outside(running.bootstrap) as system:
        for start in range(0, len(messages), _AT_ONCE):
            await system.emit(messages[start : start + _AT_ONCE])
    await running.supervisor.resume("core")
    async with running.measured() as measured:
        found = await _until_recorded(connection, prefix, len(messages), 60 + asked.events / _SLOWEST_PER_S)
        ended = datetime.now(UTC)
    await joined(running.settings, {"core": 1})
    ceiling = await _ceiling(running, messages[:_CEILING_OF])
    if (found.events, found.repeats) != (different, len(messages) - different):
        running.faults.append(f"{prefix}: {different} different events, and recorded are {found}")
    assert found.began is not None  # there are events
    per_s = len(messages) / (ended - found.began).total_seconds()
    say(f"  round {number}: {per_s:,.0f} events/s")
    return measured.with_figures(
        {
            "events_per_s": per_s,
            "ceiling_per_s": ceiling,
            "of_ceiling": per_s / ceiling,
            "announced": found.events,
            "repeats": found.repeats,
            "unaccounted": len(messages) - found.events - found.repeats,
            "core_rss_mb": measured.round.used["core"].peak_mb,
        }
    )


def arrivals(prefix: str, events: int, chance: random.Random) -> Sequence[town.Message]:
    """Events in the order of their arrival: a fifth, but never the first, repeat one that came before."""
    found: list[town.Message] = []
    different: list[town.Message] = []
    for number in range(events):
        if different and chance.random() < REPEATS:
            found.append(chance.choice(different))
        else:
            different.append(town.notice(f"{prefix}{number}", Lane.BULK, _AREA))
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
