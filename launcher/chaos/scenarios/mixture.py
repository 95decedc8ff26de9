"""The mixture: kills of everything at random moments, and a server that is away for a while."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Protocol

from launcher.chaos import plan, storm
from launcher.chaos.hub import Hub
from launcher.chaos.plan import How
from launcher.chaos.scenario import FEW, Act, Needs, Scenario
from launcher.sandboxed import SANDBOXED

_AWAY_S = 10.0
_EVENTS_BY_SECOND = 4

ALL = frozenset(SANDBOXED)


class Absence(Protocol):
    """Has something be away for so many seconds."""

    async def __call__(self, hub: Hub, *, seconds: float = _AWAY_S) -> None: ...


async def kills(hub: Hub, *, events: int, kills: int) -> None:
    """The blows that the seed chooses, under a load for as long as they last."""
    blows = plan.blows(hub.report.seed, kills)
    strike = {How.KILL: hub.kill, How.FREEZE: hub.freeze, How.TERMINATE: hub.terminate}
    async with hub.load(events, sum(blow.pause_s for blow in blows)):
        for blow in blows:
            await asyncio.sleep(blow.pause_s)
            await strike[blow.how](blow.process)


async def terminations(hub: Hub, *, events: int) -> None:
    """Every worker asked to end, one after the other."""
    blows = plan.terminations()
    async with hub.load(events, sum(blow.pause_s for blow in blows)):
        for blow in blows:
            await asyncio.sleep(blow.pause_s)
            await hub.terminate(blow.process)
    hub.may_repeat(0, "SIGTERM lets the window end and be recorded")


async def without(hub: Hub, *, server: str, seconds: float = _AWAY_S) -> None:
    """Kafka or PostgreSQL stopped in order, and started again so many seconds later."""
    await hub.take_away(server)
    await asyncio.sleep(seconds)
    await hub.bring_back(server)


async def providers_storm(hub: Hub, *, seconds: float = _AWAY_S) -> None:
    """Every provider answers "later" for so many seconds."""
    hub.note(f"every provider says later for {seconds:g} s")
    await storm.begin(hub.web, hub.needs.channels)
    await asyncio.sleep(seconds)
    await storm.end(hub.web)


def away(strike: Absence, *, events: int | None = None, seconds: float = _AWAY_S) -> Act:
    """A load that begins before the absence and goes on through it."""

    async def act(hub: Hub) -> None:
        count = int(_EVENTS_BY_SECOND * seconds) if events is None else events
        async with hub.load(count, seconds + 3):
            await asyncio.sleep(3)
            await strike(hub, seconds=seconds)

    return act


KAFKA_AWAY = partial(without, server="kafka")
POSTGRES_AWAY = partial(without, server="postgres")
AWAY: Mapping[str, tuple[str, Absence]] = {
    "kafka": ("kafka-away", KAFKA_AWAY),
    "postgres": ("postgres-away", POSTGRES_AWAY),
    "provider": ("providers-storm", providers_storm),
}
"""What can be away: the scenario's name, and the absence."""

SCENARIOS: Mapping[str, Scenario] = {
    "kills": Scenario(
        "kill -9 of workers, servers and providers at random, one sender frozen: nothing lost, repeats in the bound",
        partial(kills, events=120, kills=3),
        Needs(channels=ALL),
    ),
    "sigterm": Scenario(
        "every worker ended with SIGTERM while it works: nothing lost, nothing repeated",
        partial(terminations, events=60),
        Needs(channels=ALL),
        partial(terminations, events=0),
    ),
    "kafka-away": Scenario(
        "Kafka stopped for ten seconds: all resumes by itself, nothing repeated", away(KAFKA_AWAY), strike=KAFKA_AWAY
    ),
    "postgres-away": Scenario(
        "PostgreSQL stopped for ten seconds: all resumes by itself, nothing repeated",
        away(POSTGRES_AWAY),
        strike=POSTGRES_AWAY,
    ),
    "providers-storm": Scenario(
        "every provider says later for ten seconds: all is tried again, nothing repeated",
        away(providers_storm),
        Needs(channels=FEW),
        providers_storm,
    ),
}
