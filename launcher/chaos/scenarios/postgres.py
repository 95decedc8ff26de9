"""PostgreSQL: killed, away for longer than a lease, slow, full, and restarted under a newer schema."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from launcher.chaos.hub import Hub
from launcher.chaos.proxy import Proxy
from launcher.chaos.scenario import Needs, Scenario
from launcher.chaos.scenarios.workers import BULK, MAIL
from launcher.environment import secret_file
from store.database import AWAY, connect
from store.migrations import FOLDER, migrate
from store.standing import block_claims, block_recording, most_connections
from streams.deliver_agent import AT_ONCE

_LONGER_THAN_A_LEASE_S = 18.0
_FULL_S = 6.0
_DELAY_S = 0.05
_LOCKED_S = 3.0
_PROXY = "postgres"


async def killed(hub: Hub) -> None:
    """kill -9 of the server in mid-window, twice: it recovers, and what was sent meanwhile is recorded then."""
    async with hub.load(50, 10):
        for _ in range(2):
            await hub.sending(messages=60)
            await hub.kill("postgres")


async def away_past_a_lease(hub: Hub) -> None:
    """Away when everything in flight is taken, for longer than its lease, with another worker that could claim it."""
    other = await hub.another("deliver-bulk")
    async with hub.load(4, 2, areas=10, severities=BULK):
        await hub.sending(messages=20)
        await hub.block(block_recording)
        await hub.sending(messages=100)
        await hub.take_away("postgres")
        await hub.unblock()
        await asyncio.sleep(_LONGER_THAN_A_LEASE_S)
        await hub.bring_back("postgres")
    in_flight = AT_ONCE * hub.settings.delivery.window
    hub.may_repeat(2 * in_flight, "a lease ended meanwhile, and either sender may be claimed from before it records")
    await hub.settle()
    await hub.take_away(other)


async def full(hub: Hub) -> None:
    """Every connection that the server has is taken by others, when the workers need new ones."""
    held = []
    async with hub.connection() as own:
        try:
            for _ in range(await most_connections(own)):
                try:
                    held.append(await connect(hub.dsn))
                except AWAY:
                    break
            hub.note(f"{len(held)} connections taken, none is left")
            async with hub.load(40, _FULL_S):
                await hub.kill("core")
                await hub.kill("deliver-routine")
                await asyncio.sleep(_FULL_S)
                for one in held:
                    await one.close()
                hub.note("they are given back")
        finally:
            for one in held:
                await one.close()


async def locked(hub: Hub, *, seconds: float = _LOCKED_S) -> None:
    """Somebody holds heavy locks for a while: first nothing can be recorded, then nothing be claimed."""
    for lock in (block_recording, block_claims):
        hub.note(f"{lock.__name__} for {seconds:g} s")
        await hub.block(lock)
        await asyncio.sleep(seconds)
        await hub.unblock()


async def slow(hub: Hub) -> None:
    """Each statement takes a tenth of a second more, and heavy locks come on top."""
    proxy = hub.between[_PROXY]
    proxy.delay_s = _DELAY_S
    hub.note(f"{_DELAY_S:g} s more each way")
    async with hub.load(24, 10):
        await hub.sending()
        await locked(hub)
        hub.note(f"{proxy.cut()} connections cut")
    await hub.settle()
    proxy.delay_s = 0.0


@asynccontextmanager
async def far_away(hub: Hub) -> AsyncIterator[None]:
    """Our processes reach PostgreSQL by a proxy."""
    proxy = hub.between[_PROXY] = Proxy(hub.stack.ports.postgres)
    port = await proxy.listen()
    assert hub.stack.postgres is not None  # chaos embeds its own
    await asyncio.to_thread(hub.stack.postgres.prepare)  # makes the password
    dsn = hub.dsn.replace(f":{hub.stack.ports.postgres}/", f":{port}/")
    hub.extra["TAMBOUR_DATABASE_FILE"] = str(secret_file(hub.home, "database-far-away", dsn))
    try:
        yield
    finally:
        await proxy.aclose()


_NEWER = """
ALTER TABLE delivery_order ADD COLUMN chaos_%(run)s text;
ALTER TABLE batch ADD COLUMN chaos_%(run)s text;
ALTER TABLE receipt ADD COLUMN chaos_%(run)s text;
ALTER TABLE event ADD COLUMN chaos_%(run)s text;
CREATE INDEX ON event (chaos_%(run)s);
"""


async def newer_schema(hub: Hub) -> None:
    """Stopped in mid-work and started again; a migration is applied while the workers are already going on."""
    async with hub.load(60, 12):
        await hub.sending(messages=60)
        await hub.take_away("postgres")
        await hub.bring_back("postgres")
        await _migrate(hub)
        await hub.sending(messages=60)
        await hub.terminate("core")  # the workers that start now find a schema that they know, and more
        await hub.terminate("deliver-routine")


async def _migrate(hub: Hub) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for path in FOLDER.glob("*.sql"):
            shutil.copy(path, folder)
        run = hub.chance.randrange(1_000_000_000)
        Path(folder, f"9000_chaos_{run:09}.sql").write_text(_NEWER % {"run": run}, encoding="utf-8")
        async with hub.connection() as connection:
            applied = await migrate(connection, Path(folder))
    hub.note(f"{', '.join(applied)} applied")


async def _killed(hub: Hub) -> None:
    await hub.kill("postgres")


SCENARIOS: Mapping[str, Scenario] = {
    "postgres-killed": Scenario(
        "PostgreSQL killed twice in mid-window: it recovers, nothing lost, nothing repeated", killed, strike=_killed
    ),
    "postgres-away-past-a-lease": Scenario(
        "PostgreSQL away for longer than a lease, with two senders: nothing lost, repeats in the bound",
        away_past_a_lease,
        MAIL,
    ),
    "postgres-full": Scenario(
        "PostgreSQL out of connections while core and a sender start anew: they wait, nothing lost or repeated", full
    ),
    "postgres-restarted-with-migration": Scenario(
        "PostgreSQL restarted, then migrated while the workers go on: nothing lost, nothing repeated", newer_schema
    ),
    "postgres-slow": Scenario(
        "every statement slow, heavy locks, connections cut: nothing lost, nothing repeated",
        slow,
        Needs(around=far_away),
        locked,
    ),
}
