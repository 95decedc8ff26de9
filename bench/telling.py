"""Announcements put on Kafka, and how far they are: what the benches that send have in common."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from bench import rows, town
from bench.hub import Hub
from launcher.faults import Fault
from launcher.outside import outside
from schemas.lanes import Lane
from store.database import Connection

WARM_UP = "echauffement"
"""The area of the one reader who makes every worker render, connect and record before anything is measured."""
_LOOK_EVERY_S = 0.1


async def warm_up(running: Hub, connection: Connection, authority: int, *, channel: str = "email") -> None:
    """One reader's announcement in each lane, waited for."""
    if channel == "sms":
        await town.subscribe_phones(connection, authority, 1, WARM_UP, first=999_999_999)
    else:
        await town.subscribe(connection, authority, 1, WARM_UP)
    for lane in Lane:
        name = f"{WARM_UP}-{lane.value}"
        await emit(running, town.notice(name, lane, WARM_UP, channels=[channel]))
        await until_done(connection, name, within_s=60)


async def emit(running: Hub, message: town.Message) -> None:
    """Put one event on Kafka as an outside system does; returns once the broker has it."""
    async with outside(running.bootstrap) as system:
        await system.emit([message])


async def until_done(connection: Connection, name: str, within_s: float) -> Mapping[str, int]:
    """Wait until nothing of an event's order is open any more; its deliveries by state. Raises Fault past the time."""
    await _until(connection, name, rows.progress, lambda found: found.fanned_out and not found.open, within_s)
    return await rows.tally(connection, name)


async def until_fanned_out(connection: Connection, name: str, within_s: float) -> None:
    """Wait until an event's audience is read to its end. Raises Fault past the time."""
    await _until(connection, name, rows.fanned_out, lambda found: found.fanned_out, within_s)


async def _until(
    connection: Connection,
    name: str,
    look: Callable[[Connection, str], Awaitable[rows.Progress]],
    holds: Callable[[rows.Progress], bool],
    within_s: float,
) -> None:
    deadline = time.monotonic() + within_s
    found = rows.Progress(0, False, 0)
    while time.monotonic() < deadline:
        found = await look(connection, name)
        if holds(found):
            return
        await asyncio.sleep(_LOOK_EVERY_S)
    raise Fault(f"{name} was not done with within {within_s:.0f} s: {found}.", "The logs of the workers say why.")
