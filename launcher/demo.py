"""The demo: a fictional commune, its subscribers and a week of its events, on a whole Tambour with local providers."""

import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial

from demo.loader import Message, load_events, load_mended
from demo.placeholders import Moment
from launcher.console import say, tell
from launcher.environment import homes, settings_of
from launcher.figures import Figures, gone_out, journals, settled
from launcher.home import Home, make_folder
from launcher.live import LiveTable
from launcher.outside import Outside, outside
from launcher.ports import Ports
from launcher.seed import seed
from launcher.stack import Stack
from launcher.supervisor import Supervisor
from store import deadletters
from store.database import connect
from store.totals import Totals, delivered_of

SUBSCRIBERS = 2000
_SETTLE_WITHIN_S = 240.0
_GONE_OUT_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run of the demo came to; printed as JSON. Seconds are from an event's intake to its delivery sent.

    ``duplicates`` and ``journals`` are counted by the providers, everything else in the database.
    """

    events: int
    outcomes: dict[str, int]
    announcements: int
    channels: dict[str, dict[str, int]]
    unaccounted: int
    duplicates: int
    dead_letters: int
    dead_letters_expected: int
    put_back_delivered: int
    p50_s: float | None
    p95_s: float | None
    journals: dict[str, dict[str, int]]
    ready_s: float
    settled: bool

    @property
    def faults(self) -> list[str]:
        """What is not as it should be; empty when all is well."""
        found = []
        if not self.settled:
            found.append("not everything settled in time")
        if self.unaccounted:
            found.append(f"{self.unaccounted} deliveries are unaccounted for")
        if self.duplicates:
            found.append(f"{self.duplicates} messages reached a provider twice")
        if self.dead_letters != self.dead_letters_expected:
            found.append(f"{self.dead_letters} dead letters, {self.dead_letters_expected} expected")
        if not self.put_back_delivered:
            found.append("the mended event was not delivered")
        return found


async def run(*, once: bool, as_json: bool) -> int:
    """Run the demo until Ctrl-C, or until all is settled (``once``). Returns the exit code."""
    began = time.monotonic()
    around, home = homes()
    _only_our_settings(home)
    ports = Ports.chosen()
    async with Supervisor(home, tell=tell) as supervisor:
        _forget(home)
        stack = Stack(home, ports, sandbox=True, say=say, jars=around.jars)
        say("Starting Kafka, PostgreSQL, the providers and the hub…")
        await stack.start(supervisor)
        ready_s = time.monotonic() - began
        settings = settings_of({**os.environ, **stack.environ})
        dsn = settings.database.get_secret_value()
        count = await seed(dsn, SUBSCRIBERS)
        say(f"Ready in {ready_s:.1f} s: Valmerande, {count} recipients. Follow it on http://127.0.0.1:{ports.portal}/")
        say(f"What people get: http://127.0.0.1:{ports.sandbox_http}/ (inbox, handset, social wall)")
        summary = await _tell_the_week(dsn, settings.kafka.bootstrap, f"http://127.0.0.1:{ports.sandbox_http}", ready_s)
        for fault in summary.faults:
            say(f"Not as it should be: {fault}.")
        if not once:
            say("All is settled. The pages stay up; send an event of your own, or stop with Ctrl-C.")
            await supervisor.run()
            say("Stopping.")
    if as_json:
        print(json.dumps(asdict(summary), ensure_ascii=False))
    return 1 if summary.faults else 0


def _only_our_settings(home: Home) -> None:
    """The demo sends to its own providers, whatever this shell or folder says about real ones."""
    for name in list(os.environ):
        if name.startswith("TAMBOUR_") and name != "TAMBOUR_HOME" and not name.startswith("TAMBOUR_PORT_"):
            del os.environ[name]
    empty = make_folder(home.folder) / "empty.toml"
    empty.write_text("# The demo takes no settings of the town.\n", encoding="utf-8")
    os.environ["TAMBOUR_SETTINGS"] = str(empty)


def _forget(home: Home) -> None:
    """Each run tells the same story from its beginning. Only the demo's own folder is emptied."""
    for folder in (home.kafka, home.postgres, home.logs, home.folder / "sandbox", home.folder / "secrets"):
        shutil.rmtree(folder, ignore_errors=True)


async def _tell_the_week(dsn: str, bootstrap: str, sandbox: str, ready_s: float) -> Summary:
    moment = Moment.beginning(datetime.now(UTC))
    week = load_events(moment)
    figures = Figures(dsn)
    try:
        with LiveTable() as live:
            async with outside(bootstrap) as system:
                await _emit(system, week, figures, live)
            await figures.until_settled(events=len(week), within_s=_SETTLE_WITHIN_S, show=live.show)
            mended = await _put_back(dsn, load_mended(moment))
            found = await figures.until_settled(
                events=len(week) + len(mended), within_s=_SETTLE_WITHIN_S, show=live.show
            )
        delivered = await _delivered(dsn, mended)
        return _summary(found, week, len(mended), delivered, await journals(sandbox), ready_s)
    finally:
        await figures.aclose()


async def _emit(system: Outside, week: Sequence[Message], figures: Figures, live: LiveTable) -> None:
    """Emit the week in seconds. News of a matter waits until its former news has gone out, as in a real week."""
    told: set[bytes] = set()
    for emitted, message in enumerate(week):
        if message.key in told:
            await figures.until(partial(gone_out, events=emitted), _GONE_OUT_WITHIN_S, live.show)
        told.add(message.key)
        await system.emit([message])
        if (found := await figures.read()) is not None:
            live.show(found)


async def _put_back(dsn: str, mended: Sequence[Message]) -> list[str]:
    """Put the mended events back in the place of the broken ones; returns the sources and ids of their events."""
    connection = await connect(dsn)
    done = []
    try:
        letters = await deadletters.find(connection, state="open")
        for message in mended:
            for letter in letters:
                if letter.key == message.key:
                    async with connection.transaction():
                        if await deadletters.put_back(connection, letter.id, message.value):
                            done.append(str(json.loads(message.value)["id"]))
        return done
    finally:
        await connection.close()


async def _delivered(dsn: str, events: Sequence[str]) -> int:
    connection = await connect(dsn)
    try:
        return await delivered_of(connection, events)
    finally:
        await connection.close()


def _summary(
    figures: Totals | None,
    week: Sequence[Message],
    put_back: int,
    delivered: int,
    counts: dict[str, dict[str, int]],
    ready_s: float,
) -> Summary:
    if figures is None:
        raise RuntimeError("the database never answered")
    broken = sum(message.outcome == "dead_letter" for message in week)
    return Summary(
        events=len(week) + put_back,
        outcomes=figures.events | {"repeats": figures.repeats},
        announcements=figures.announcements,
        channels={name: channel.states for name, channel in figures.channels.items()},
        unaccounted=figures.unaccounted,
        duplicates=sum(provider.get("duplicates", 0) for provider in counts.values()),
        dead_letters=sum(figures.dead_letters.values()),
        dead_letters_expected=broken,
        put_back_delivered=delivered,
        p50_s=figures.p50_s,
        p95_s=figures.p95_s,
        journals=counts,
        ready_s=round(ready_s, 2),
        settled=settled(figures, len(week) + put_back),
    )
