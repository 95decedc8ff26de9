"""The soak: disturbances of every kind, at random from a seed, on a hub that never rests; one account at the end."""

import asyncio
import time
from collections.abc import Mapping

from launcher.chaos.hub import Hub, opened
from launcher.chaos.run import play
from launcher.chaos.scenario import Act, Needs
from launcher.chaos.scenarios import SCENARIOS
from launcher.console import say

_EVENTS_BY_SECOND = 1.5
_AT_ONCE = 2
"""Disturbances that may be under way together."""
_PAUSE_S = (2.0, 8.0)


def strikes() -> Mapping[str, Act]:
    """The disturbances that mix, by their scenario's name: those that need nothing special of the hub."""
    return {
        name: one.strike
        for name, one in SCENARIOS.items()
        if one.strike is not None and one.needs.around is None and one.needs.brokers == 1
    }


async def soaked(seconds: float, seed: int, *, as_json: bool) -> int:
    """Soak for so long, then settle and count; returns the exit code."""
    say(f"Soaking for {seconds / 60:g} min with seed {seed}")

    async def act(hub: Hub) -> None:
        await soak(hub, seconds)

    async with opened(Needs()) as hub:
        report = await play(hub, "soak", act, seed)
    print(report.as_json() if as_json else report.as_words())
    return 1 if report.faults else 0


async def soak(hub: Hub, seconds: float) -> None:
    """Load without a pause, and disturbances one after the other, some together, until the time is over."""
    mixed = strikes()
    ends = time.monotonic() + seconds
    told: dict[str, int] = {}
    async with hub.load(max(1, int(_EVENTS_BY_SECOND * seconds)), seconds), asyncio.TaskGroup() as group:
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(name: str) -> None:
            try:
                await mixed[name](hub)
            finally:
                turns.release()

        running: dict[str, asyncio.Task[None]] = {}
        while time.monotonic() < ends:
            await turns.acquire()
            name = hub.chance.choice([other for other in mixed if other not in running or running[other].done()])
            told[name] = told.get(name, 0) + 1
            running[name] = group.create_task(one(name))
            await asyncio.sleep(hub.chance.uniform(*_PAUSE_S))
    hub.report.figures["disturbances"] = dict(sorted(told.items()))
