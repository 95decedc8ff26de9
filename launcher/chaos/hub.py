"""The hub that chaos plays on: put load on it, disturb it, wait until it is calm, and count what came of it."""

import asyncio
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

from hub.settings import Settings
from launcher.chaos import plan
from launcher.chaos.audit import Count, Journals, count, read_journals
from launcher.chaos.load import MIXED, Audience, Message, emit, event_number, seed
from launcher.chaos.plan import FROZEN_S, NEVER_ASKED, SENDERS, WORKERS, Blow, How
from launcher.chaos.proxy import Proxy
from launcher.chaos.report import Report
from launcher.chaos.scenario import Needs
from launcher.console import say, tell
from launcher.environment import settings_of
from launcher.faults import Fault
from launcher.figures import Figures
from launcher.home import Home, find_home, make_folder
from launcher.ports import Ports, free_ports
from launcher.reach import quiet_kafka
from launcher.stack import Stack
from launcher.supervisor import Supervisor
from store.database import Connection, connect
from store.standing import Ahead, ahead
from store.totals import Totals
from streams.deliver_agent import AT_ONCE

CONNECTIONS = 10
"""The most connections that a sender has to a mail server."""
_SETTLE_WITHIN_S = 150.0
_CALM_S = 2.0
_NOTHING_WITHIN_S = 90.0
"""What an officer decides, or a receipt may still, is minutes away; what settles by itself is due sooner."""


@dataclass(frozen=True, slots=True)
class _Before:
    journals: Journals
    count: Count
    expected: int


class Hub:
    """A running hub. ``report`` is that of the scenario being played; ``chance`` is seeded anew for each."""

    def __init__(self, home: Home, around: Home, needs: Needs) -> None:
        self.home = home
        self.needs = needs
        self.extra: dict[str, str] = dict(needs.extra)
        self.stack = Stack(
            home,
            Ports.free(),
            sandbox=True,
            own={},
            jars=around.jars,
            sandbox_options=("--no-bodies", *needs.sandbox),
            more_brokers=free_ports(needs.brokers - 1, step=2),
        )
        self.supervisor = Supervisor(home, tell=tell)
        self.chance = Random(0)
        self.report = Report("", 0, [])
        self.audience = Audience(0, 0)
        self.patience_s = _SETTLE_WITHIN_S
        """How long it may take to settle."""
        self.keep = False
        """Whether the home stays, with its logs: a promise was broken."""
        self.settings: Settings
        self.figures: Figures
        self._emitted = 0
        self._expected = 0
        self.between: dict[str, Proxy] = {}
        """Proxies that the scenario's ``around`` put between the parts."""
        self._more: set[str] = set()
        self._held: list[Connection] = []
        self._thaws: list[asyncio.Task[None]] = []
        self._before: _Before | None = None

    @property
    def dsn(self) -> str:
        """The address of the database itself, whatever stands between it and the processes."""
        assert self.stack.postgres is not None  # chaos embeds its own
        return self.stack.postgres.dsn

    @property
    def web(self) -> str:
        """Where the local providers listen for HTTP, and take faults."""
        return f"http://127.0.0.1:{self.stack.ports.sandbox_http}"

    async def start(self) -> None:
        """Start everything and make the town."""
        empty = self.home.folder / "empty.toml"
        empty.write_text("# chaos takes no settings of the town\n", encoding="utf-8")
        self.stack.extra = {"TAMBOUR_SETTINGS": str(empty), **self.extra}
        await self.stack.start(self.supervisor)
        self.settings = settings_of(self.stack.environ)
        self.audience = await seed(self.dsn, self.needs.people, self.needs.channels)
        self.figures = Figures(self.dsn)

    # what a scenario does: load

    @asynccontextmanager
    async def load(
        self,
        events: int,
        over_s: float,
        *,
        areas: int = 1,
        severities: Mapping[str, int] = MIXED,
    ) -> AsyncIterator[None]:
        """Emit so many events meanwhile, spread over ``over_s`` seconds; the block ends once all are with Kafka.

        Each reaches ``hub.audience.of(areas)`` recipients. Severities (weights) choose the lanes: Severe is urgent,
        Moderate routine, Minor bulk.
        """
        messages = [
            event_number(self._emitted + number, self.chance, areas=areas, severities=severities)
            for number in range(events)
        ]
        self._emitted += events
        self._expected += events * self.audience.of(areas)
        self.report.events += events
        sending = asyncio.create_task(self._emit(messages, over_s))
        try:
            yield
            await sending
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _emit(self, messages: list[Message], over_s: float) -> None:
        await emit(self.settings.kafka.bootstrap, messages, over_s=over_s)

    # what a scenario does: blows. Each says by itself what it may repeat.

    async def kill(self, name: str) -> int:
        """kill -9 a program, once it runs; returns the pid that was hit. Its supervisor starts it again."""
        return await self._hit(name, How.KILL, SIGKILL)

    async def terminate(self, name: str) -> int:
        """SIGTERM to a program, once it runs; it is started again."""
        return await self._hit(name, How.TERMINATE, SIGTERM)

    async def freeze(self, name: str, seconds: float = FROZEN_S) -> int:
        """SIGSTOP a program, and SIGCONT after so many seconds, by default more than a lease. Returns at once."""
        pid = await self._hit(name, How.FREEZE, SIGSTOP)
        self._thaws.append(asyncio.create_task(_thaw(pid, seconds)))
        return pid

    async def thawed(self) -> None:
        """Wait until nothing is frozen any more."""
        await asyncio.gather(*self._thaws)
        self._thaws.clear()

    async def _hit(self, name: str, how: How, signal: Signals) -> int:
        await self._running(name)
        pid = self.supervisor.kill(name, signal)
        self.note(f"{how.value} {name}")
        allowed = plan.repeat_bound(
            [Blow(0, role_of(name), how)],
            window=self.settings.delivery.window,
            at_once=AT_ONCE,
            connections=CONNECTIONS,
            senders=sum(role_of(one) in SENDERS for one in self.supervisor.pids),
        )
        if allowed and "email" in self.needs.channels:  # no other family is sent again unasked
            self.may_repeat(allowed, f"{how.value} {name}")
        return pid

    async def _running(self, name: str) -> None:
        """Wait for a program that is being started again: it is hit then."""
        while name not in self.supervisor.pids:  # noqa: ASYNC110  the supervisor tells nobody
            await asyncio.sleep(0.05)

    async def another(self, role: str, number: int = 2) -> str:
        """Run the ``number``-th worker of a role beside the first, and return its name. ``take_away`` stops it."""
        name = f"{role}-{number}"
        if name in self._more:
            await self.bring_back(name)
            return name
        plain = self.stack.worker(role)
        environ = {**plain.environ, "TAMBOUR_HOME": str(self.home.folder / name)}
        await self.supervisor.start(replace(plain, name=name, log=self.home.logs / f"{name}.log", environ=environ))
        self._more.add(name)
        self.note(f"{name} is started")
        return name

    async def take_away(self, name: str) -> None:
        """Stop a program in order and leave it stopped, until ``bring_back``."""
        await self._running(name)
        self.note(f"{name} is stopped")
        await self.supervisor.pause(name)

    async def bring_back(self, name: str) -> None:
        """Start what ``take_away`` stopped, and wait until it answers."""
        await self.supervisor.resume(name)
        self.note(f"{name} is back")

    async def block(self, what: Callable[[Connection], Awaitable[None]]) -> None:
        """Hold one of the locks of ``store.standing`` until ``unblock``."""
        connection = await connect(self.dsn)
        held = connection.transaction()
        await held.start()
        await what(connection)
        self._held.append(connection)

    async def unblock(self) -> None:
        """Let go of every lock."""
        while self._held:
            await self._held.pop().close()  # undoes its transaction

    # what a scenario says

    def note(self, text: str) -> None:
        """Tell what is done to the hub."""
        self.report.blows.append(text)
        say(f"  {text}")

    def may_repeat(self, messages: int, why: str) -> None:
        """Raise the bound on repeats: a disturbance of its own allows so many. ``why`` is what it is derived from."""
        self.report.repeat_bound += messages
        self.report.bound_of.append(f"{messages}: {why}")

    def require(self, words: str, *, holds: bool) -> None:
        """Break the scenario, in these words, unless it holds."""
        if not holds:
            self.report.broken.append(words)

    # what a scenario waits for

    async def until(self, condition: Callable[[], object], within_s: float, what: str) -> None:
        """Return once it holds. Raises Fault: then the scenario could not be played, which says nothing of the hub."""
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                raise Fault(f"Chaos could not go on: {what} did not happen within {within_s:g} s.")
            await asyncio.sleep(0.01)

    async def sending(self, channel: str = "email", *, messages: int = 20, within_s: float = 60.0) -> None:
        """Wait until the channel's provider has taken so many more: now its senders are in the middle of windows."""
        path = self.journal(channel)
        size = path.stat().st_size if path.exists() else 0
        await self.until(lambda: _lines_after(path, size) >= messages, within_s, f"a run of {channel}")

    def journal(self, channel: str) -> Path:
        """What the channel's provider wrote down."""
        return self.home.folder / "sandbox" / "journal" / f"{channel}.jsonl"

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection of our own to the database."""
        connection = await connect(self.dsn)
        try:
            yield connection
        finally:
            await connection.close()

    async def settle(self) -> None:
        """Wait until all is done that can be done without an officer, and every worker runs."""
        await self.thawed()
        deadline = time.monotonic() + self.patience_s
        while time.monotonic() < deadline:
            found = await self.figures.until(
                lambda totals: _through(totals, self._emitted), deadline - time.monotonic(), calm_s=_CALM_S
            )
            if found is not None and _through(found, self._emitted) and await self._nothing_ahead():
                self.report.unaccounted = found.unaccounted
                break
            await asyncio.sleep(0.5)
        else:
            self.report.settled = False
            say("  It did not settle in time.")
        await self.until(lambda: set(WORKERS) <= self.supervisor.pids.keys(), 60, "the return of all workers")

    async def _nothing_ahead(self) -> bool:
        try:
            async with self.connection() as connection:
                found: Ahead = await ahead(connection, NEVER_ASKED)
        except OSError:
            return False
        return found.nothing_within(_NOTHING_WITHIN_S)

    # the frame around a scenario

    async def begin(self, name: str, seed: int) -> None:
        """A fresh report and a fresh die; what was before is counted, so as to be left out."""
        self.report = Report(name, seed, sorted(self.needs.channels))
        self.chance = Random(seed)
        self._before = _Before(self.read_journals(), await self._count(), self._expected)

    async def end(self) -> Report:
        """Settle, count, and fill in the report."""
        assert self._before is not None  # begin comes first
        await self.settle()
        journals = self.read_journals()
        found = (await self._count(journals)).since(self._before.count)
        report = self.report
        report.deliveries, report.states = found.deliveries, dict(found.states)
        report.lost, report.repeated = found.lost, found.repeated
        report.repeated_idempotent = found.repeated_idempotent
        report.most_times = journals.since(self._before.journals).most("email")
        report.disagreements, report.agree = found.disagreements, not found.disagreements
        return report

    def read_journals(self) -> Journals:
        """What the providers have taken so far."""
        return read_journals(self.home.folder / "sandbox" / "journal", self.needs.channels)

    async def _count(self, journals: Journals | None = None) -> Count:
        async with self.connection() as connection:
            return await count(connection, journals or self.read_journals(), self._expected)


def role_of(name: str) -> str:
    """The role of a worker: ``deliver-bulk-2`` is one more ``deliver-bulk``."""
    return next((role for role in WORKERS if name == role or name.startswith(f"{role}-")), name)


@asynccontextmanager
async def opened(needs: Needs) -> AsyncIterator[Hub]:
    """A hub of its own that is running, in a home of its own. The home stays when the block ends badly."""
    quiet_kafka()
    around = find_home()
    home = Home(Path(tempfile.mkdtemp(prefix="chaos-", dir=make_folder(around.folder))))
    home.folder.chmod(0o711)  # PostgreSQL's own user must pass
    say(f"A hub of its own, in {home.folder}")
    try:
        async with AsyncExitStack() as stack:
            hub = Hub(home, around, needs)
            if needs.around is not None:
                await stack.enter_async_context(needs.around(hub))
            await stack.enter_async_context(hub.supervisor)
            await hub.start()
            stack.push_async_callback(hub.figures.aclose)
            yield hub
    except BaseException:
        say(f"Ended early; the logs are in {home.logs}")
        raise
    if hub.keep:
        say(f"The logs are in {home.logs}")
    else:
        shutil.rmtree(home.folder, ignore_errors=True)


async def _thaw(pid: int, seconds: float) -> None:
    await asyncio.sleep(seconds)
    with suppress(ProcessLookupError):  # it was killed while it was frozen
        os.kill(pid, SIGCONT)


def _lines_after(path: Path, size: int) -> int:
    """Messages that were taken beyond so many bytes of a journal."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        file.seek(size)
        lines = [line for line in file if line.endswith(b"\n")]
    return sum(json.loads(line).get("outcome") in ("accepted", "dropped") for line in lines)


def _through(figures: Totals, events: int) -> bool:
    """Whether all is done that can be done without an officer: what is unknown says what it waits for."""
    told = sum(figures.events.values()) + sum(figures.dead_letters.values())
    unknown = sum(channel.states.get("unknown", 0) for channel in figures.channels.values())
    return (
        told >= events
        and figures.ended + unknown == figures.deliveries
        and not (figures.orders_open or figures.outbox or figures.receipts_open)
    )
