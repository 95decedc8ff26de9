"""Time: workers whose wall clocks are wrong, and a database whose time jumps."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from launcher.chaos.hub import Hub, role_of
from launcher.chaos.plan import SENDERS
from launcher.chaos.scenario import FEW, Needs, Scenario
from launcher.chaos.scenarios.workers import BULK, MAIL
from launcher.programs import Program
from launcher.stack import Stack
from store.standing import jump
from streams.deliver_agent import AT_ONCE

_DAY_S = 86_400
AHEAD_S = {"core": 3 * _DAY_S, "deliver-urgent": -3 * _DAY_S, "deliver-routine": _DAY_S, "deliver-bulk": -600}
"""Seconds by which each worker's wall clock is wrong. The core's by more than an event may be old or lasts (two days);
a sender's ahead by less than that: how long an SMS is valid is told to its gateway by the sender's own clock."""
_SHIM = Path(__file__).parents[1] / "wrong_clock"
_FORWARD = timedelta(hours=1)
_BACK = timedelta(seconds=-20)


class WrongClocks(Stack):
    """The stack as it always is, but that its workers' wall clocks are wrong."""

    def worker(self, role: str) -> Program:
        """A worker with a wall clock that is off."""
        plain = super().worker(role)
        path = f"{_SHIM}:{plain.environ['PYTHONPATH']}"
        return replace(plain, environ={**plain.environ, "PYTHONPATH": path, "CHAOS_CLOCK_AHEAD_S": str(AHEAD_S[role])})


@asynccontextmanager
async def wrong_clocks(hub: Hub) -> AsyncIterator[None]:
    """Workers start with wrong clocks, and start again with them."""
    plain = hub.stack
    hub.stack = WrongClocks(
        plain.home, plain.ports, sandbox=True, own={}, jars=plain.jars, sandbox_options=plain.sandbox_options
    )
    yield


async def wrong(hub: Hub) -> None:
    """Ordinary work, with a kill in it, by workers each of which takes another day for today."""
    for role, seconds in AHEAD_S.items():
        hub.note(f"{role}'s clock is {timedelta(seconds=abs(seconds))} {'ahead' if seconds > 0 else 'behind'}")
    async with hub.load(50, 10):
        await hub.sending()
        await hub.kill("core")
        await hub.sending()
        await hub.kill("deliver-routine")
    await hub.settle()
    found = await hub.figures.read()
    assert found is not None  # it has just settled
    hub.require(
        f"events were not announced, by a worker's own clock: {found.events}", holds=set(found.events) <= {"announced"}
    )


async def jumps(hub: Hub) -> None:
    """The database's time jumps forward by an hour, back, and forward again, while two workers of a lane are sending.

    Forward, every lease has run out at once: what one has in flight may be claimed by the other.
    """
    other = await hub.another("deliver-bulk")
    async with hub.load(8, 4, areas=10, severities=BULK):
        for by in (_FORWARD, _BACK, _FORWARD):
            await hub.sending(messages=hub.chance.randrange(20, 200))
            await _jump(hub, by)
    await hub.settle()
    await hub.take_away(other)


async def _jump(hub: Hub, by: timedelta) -> None:
    async with hub.connection() as connection:
        await jump(connection, by)
    hub.note(f"the database's time jumps by {by.total_seconds():g} s")
    if by > timedelta(0):
        senders = sum(role_of(name) in SENDERS for name in hub.supervisor.pids)
        windows = senders * AT_ONCE * hub.settings.delivery.window
        hub.may_repeat(windows, f"every lease ends at once: what each of {senders} senders has in flight is unclear")


async def _some_jump(hub: Hub) -> None:
    await _jump(hub, hub.chance.choice((_FORWARD, _BACK)))
    await asyncio.sleep(1)


SCENARIOS: Mapping[str, Scenario] = {
    "clock-jumps": Scenario(
        "the database's time jumps forward an hour and back: leases end at once, repeats in the bound",
        jumps,
        MAIL,
        strike=_some_jump,
    ),
    "clocks-wrong": Scenario(
        "every worker's wall clock wrong by days: all is announced, nothing expires or repeats for it",
        wrong,
        Needs(channels=FEW - {"webhook"}, around=wrong_clocks),  # whose receivers refuse what is signed at a wrong time
    ),
}
