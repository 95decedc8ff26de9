"""Chaos: a whole hub under load whose processes are killed at random, and then an audit of what it promised."""

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM

from hub.settings import DeliverySettings, Settings
from launcher.chaos import plan, storm
from launcher.chaos.audit import Count, count, read_journals
from launcher.chaos.load import emit, event_number, seed
from launcher.chaos.plan import ASKS_OFFICER, FROZEN_S, Blow, How
from launcher.console import say, tell
from launcher.environment import settings_of
from launcher.figures import Figures
from launcher.home import Home, find_home, make_folder
from launcher.ports import Ports
from launcher.reach import quiet_kafka
from launcher.sandboxed import SANDBOXED
from launcher.stack import Stack
from launcher.supervisor import Supervisor
from store.database import connect
from store.totals import Totals
from streams.deliver_agent import AT_ONCE

_SETTLE_WITHIN_S = 900.0
_CALM_S = 3.0
_CALM_UNKNOWN_S = 35.0  # longer than an unclear SMS waits before its gateway is asked


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for. ``away`` is a server that is stopped for ``away_s`` seconds instead of kills."""

    events: int
    recipients: int
    kills: int
    seed: int
    away: str | None = None
    away_s: float = 60.0
    channels: frozenset[str] = frozenset(SANDBOXED)


@dataclass
class Report:
    """What a run came to; printed as JSON."""

    seed: int
    channels: list[str]
    events: int
    deliveries: int = 0
    states: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    repeated: int = 0
    repeat_bound: int = 0
    repeated_idempotent: int = 0
    sigterm: dict[str, int] = field(default_factory=dict)
    unaccounted: int = 0
    agree: bool = True
    settled: bool = True
    blows: list[str] = field(default_factory=list)
    disagreements: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def faults(self) -> list[str]:
        """The promises that were broken, in words."""
        checks = {
            "something was lost": self.lost > 0,
            "more was repeated than the bound allows": self.repeated > self.repeat_bound,
            "a provider that deduplicates, or can be searched, has something twice": self.repeated_idempotent > 0,
            "ending with SIGTERM lost or repeated something": any(self.sigterm.values()),
            "deliveries are unaccounted for": self.unaccounted > 0,
            "journals and database disagree": not self.agree,
            "not everything settled in time": not self.settled,
        }
        return [words for words, broken in checks.items() if broken]


async def run(asked: Asked, *, as_json: bool) -> int:
    """Run chaos in a home of its own; returns the exit code. The home stays, with its logs, when a promise broke."""
    around = find_home()
    home = Home(Path(tempfile.mkdtemp(prefix="chaos-", dir=make_folder(around.folder))))
    began = time.monotonic()
    say(f"Chaos with seed {asked.seed}, in {home.folder}")
    quiet_kafka()
    try:
        report = await _Run(asked, home, around).run()
    except BaseException:
        say(f"Ended early; the logs are in {home.logs}")
        raise
    report.seconds = round(time.monotonic() - began, 1)
    for fault in report.faults:
        say(f"Broken: {fault}. The logs are in {home.logs}")
    if not report.faults:
        shutil.rmtree(home.folder, ignore_errors=True)
    print(json.dumps(vars(report), ensure_ascii=False) if as_json else _words(report))
    return 1 if report.faults else 0


class _Run:
    def __init__(self, asked: Asked, home: Home, around: Home) -> None:
        self.asked = asked
        self.home = home
        self.chance = Random(asked.seed)
        self.stack = Stack(home, Ports.free(), sandbox=True, own={}, jars=around.jars, sandbox_options=("--no-bodies",))
        self.report = Report(asked.seed, sorted(asked.channels), asked.events)
        self.done: list[Blow] = []
        self.thaws: list[asyncio.Task[None]] = []
        self.emitted = 0

    async def run(self) -> Report:
        async with Supervisor(self.home, tell=tell) as supervisor:
            await self.stack.start(supervisor)
            settings = settings_of({**self.stack.environ, "TAMBOUR_SETTINGS": str(self._empty())})
            dsn = settings.database.get_secret_value()
            self.each = await seed(dsn, self.asked.recipients, self.asked.channels)
            figures = Figures(dsn)
            try:
                await self._first_phase(supervisor, settings, figures)
                before = await self._audit(dsn)
                if self.asked.away is None:
                    await self._second_phase(supervisor, settings, figures)
                    after = await self._audit(dsn)
                    self.report.sigterm = {
                        "lost": after.lost - before.lost,
                        "repeated": after.repeated - before.repeated,
                    }
            finally:
                await figures.aclose()
        return self.report

    def _empty(self) -> Path:
        path = self.home.folder / "empty.toml"
        path.write_text("# chaos takes no settings of the town\n", encoding="utf-8")
        return path

    async def _first_phase(self, supervisor: Supervisor, settings: Settings, figures: Figures) -> None:
        if self.asked.away is not None:
            load = self._emit(settings, self.asked.events, over_s=self.asked.away_s)
            await asyncio.gather(load, self._away(supervisor, self.asked.away))
        else:
            blows = plan.blows(self.asked.seed, self.asked.kills)
            await self._under_blows(supervisor, settings, self.asked.events, blows)
        await self._settle(figures)
        self.report.repeat_bound = self._bound(settings.delivery)

    async def _second_phase(self, supervisor: Supervisor, settings: Settings, figures: Figures) -> None:
        await self._under_blows(supervisor, settings, max(40, self.asked.events // 10), plan.terminations())
        await self._settle(figures)

    def _bound(self, sizes: DeliverySettings) -> int:
        return plan.repeat_bound(self.done, window=sizes.window, at_once=AT_ONCE, connections=10)

    async def _under_blows(
        self, supervisor: Supervisor, settings: Settings, events: int, blows: Sequence[Blow]
    ) -> None:
        """Emit the events for as long as the blows last; return when both are through."""
        load = self._emit(settings, events, over_s=sum(blow.pause_s for blow in blows))
        await asyncio.gather(load, self._strike(supervisor, blows))
        await asyncio.gather(*self.thaws)

    async def _emit(self, settings: Settings, events: int, over_s: float) -> None:
        messages = [event_number(self.emitted + number, self.chance) for number in range(events)]
        self.emitted += events
        await emit(settings.kafka.bootstrap, messages, over_s=over_s)

    async def _strike(self, supervisor: Supervisor, blows: Iterable[Blow]) -> None:
        for blow in blows:
            await asyncio.sleep(blow.pause_s)
            while blow.process not in supervisor.pids:  # noqa: ASYNC110  it is being started again: hit it then
                await asyncio.sleep(0.05)
            signal = {How.KILL: SIGKILL, How.FREEZE: SIGSTOP, How.TERMINATE: SIGTERM}[blow.how]
            pid = supervisor.kill(blow.process, signal)
            if blow.how is How.FREEZE:
                self.thaws.append(asyncio.create_task(_thaw(pid)))
            self.done.append(blow)
            self.report.blows.append(f"{blow.how.value} {blow.process}")
            say(f"  {blow.how.value}: {blow.process}")

    async def _away(self, supervisor: Supervisor, what: str) -> None:
        await asyncio.sleep(3)
        self.report.blows.append(f"{what} away for {self.asked.away_s:g} s")
        if what == "provider":
            await self._storm()
            return
        await supervisor.pause(what)
        await asyncio.sleep(self.asked.away_s)
        await supervisor.resume(what)

    async def _storm(self) -> None:
        """Every provider answers "later" until the time is over."""
        web = f"http://127.0.0.1:{self.stack.ports.sandbox_http}"
        await storm.begin(web, self.asked.channels)
        await asyncio.sleep(self.asked.away_s)
        await storm.end(web)

    async def _settle(self, figures: Figures) -> None:
        settled = await figures.until(
            lambda found: _through(found, self.emitted) and not _resolving(found), _SETTLE_WITHIN_S / 3, calm_s=_CALM_S
        )
        if settled is None or not _through(settled, self.emitted) or _resolving(settled):
            settled = await figures.until(
                lambda found: _through(found, self.emitted), _SETTLE_WITHIN_S, calm_s=_CALM_UNKNOWN_S
            )
        self.report.settled &= settled is not None and _through(settled, self.emitted)
        if settled is not None:
            self.report.unaccounted = settled.unaccounted

    async def _audit(self, dsn: str) -> Count:
        connection = await connect(dsn)
        try:
            journals = read_journals(self.home.folder / "sandbox" / "journal", self.asked.channels)
            found = await count(connection, journals, self.emitted * self.each)
        finally:
            await connection.close()
        report = self.report
        report.deliveries, report.states = found.deliveries, dict(found.states)
        report.lost, report.repeated = found.lost, found.repeated
        report.repeated_idempotent = found.repeated_idempotent
        report.disagreements, report.agree = found.disagreements, not found.disagreements
        return found


async def _thaw(pid: int) -> None:
    import os

    await asyncio.sleep(FROZEN_S)
    try:
        os.kill(pid, SIGCONT)
    except ProcessLookupError:
        say(f"  pid {pid} was killed while it was frozen")


def _through(figures: Totals, events: int) -> bool:
    """Whether all is done that can be done without an officer: what is unknown says what it waits for."""
    told = sum(figures.events.values()) + sum(figures.dead_letters.values())
    unknown = _unknown(figures)
    return (
        told >= events
        and figures.ended + unknown == figures.deliveries
        and not (figures.orders_open or figures.outbox or figures.receipts_open)
    )


def _unknown(figures: Totals) -> int:
    return sum(channel.states.get("unknown", 0) for channel in figures.channels.values())


def _resolving(figures: Totals) -> int:
    """Unclear outcomes that settle themselves: their provider can be asked, or told again."""
    return sum(
        channel.states.get("unknown", 0) for name, channel in figures.channels.items() if name not in ASKS_OFFICER
    )


def _words(report: Report) -> str:
    return (
        f"{report.events} events, {report.deliveries} deliveries, {len(report.blows)} blows: lost {report.lost}, "
        f"repeated {report.repeated} (at most {report.repeat_bound}), SIGTERM {report.sigterm or 'not tried'}."
    )
