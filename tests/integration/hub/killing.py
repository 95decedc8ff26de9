"""Worker processes that are killed at a named step, and what is left afterwards.

A script is the body of ``async def main(town, given)``, run by a process of its own. ``kill`` names where that
process ends itself with SIGKILL: ``module:function``, ``before`` it is called or ``after`` it returned, at which
call. The product's code knows nothing of this: the function is wrapped from outside.
"""

import asyncio
import importlib
import inspect
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hub import scheduling
from publishers.base import Publisher, Unclear
from publishers.registry import CHANNELS
from schemas.cloudevents import decode
from schemas.messages import Message
from store import receipts, schedule
from store.database import open_pool, transaction
from tests.conftest import ROOT
from tests.integration.hub.providers import AskableJournallingProvider, JournallingProvider
from tests.integration.hub.town import Town, message, raw

_WITHIN_S = 60


@dataclass(frozen=True)
class Kill:
    """Where the process ends itself: ``at`` is "store.batches:open_window"."""

    at: str
    when: str
    call: int = 1


@dataclass(frozen=True)
class Journal:
    """The provider of a worker: where it writes what it took, its rule for unclear outcomes, and whether it
    deduplicates or can be asked. ``dies_after``: the worker is killed once the provider took so many."""

    path: str
    unclear: str = Unclear.SEND_ONCE_MORE.name
    channel: str = "email"
    deduplicates: bool = False
    askable: bool = False
    dies_after: int | None = None

    def open(self) -> JournallingProvider:
        kind = AskableJournallingProvider if self.askable else JournallingProvider
        return kind(Path(self.path), self.channel, Unclear[self.unclear], deduplicates=self.deduplicates)


@dataclass(frozen=True)
class Real:
    """One of the product's own channels, with its options."""

    channel: str
    options: dict[str, Any]

    def open(self) -> Publisher[Any]:
        channel = CHANNELS[self.channel]
        return channel.open(channel.options_type().model_validate(self.options))


def worker(
    what: str,
    dsn: str,
    *,
    kill: Kill | None = None,
    journal: Journal | None = None,
    real: Real | None = None,
    **given: Any,
) -> subprocess.CompletedProcess[str]:
    """Run one of ``TASKS`` in a process of its own, until it ends or is killed."""
    asked = {
        "what": what,
        "dsn": dsn,
        "kill": None if kill is None else asdict(kill),
        "journal": None if journal is None else asdict(journal),
        "real": None if real is None else asdict(real),
        "given": given,
    }
    return subprocess.run(
        [sys.executable, "-m", "tests.integration.hub.killing", json.dumps(asked)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_WITHIN_S,
        check=False,
    )


def was_killed(process: subprocess.CompletedProcess[str]) -> bool:
    """Whether it reached the step at which it was to die. If not, its words are in the assertion."""
    assert process.returncode == -signal.SIGKILL, f"status {process.returncode}: {process.stderr[-3000:]}"
    return True


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _wrap(kill: Kill) -> None:
    module_name, _, name = kill.at.partition(":")
    *path, last = name.split(".")
    holder: Any = importlib.import_module(module_name)
    for step in path:
        holder = getattr(holder, step)
    original = getattr(holder, last)
    calls = 0

    def is_now(when: str) -> bool:
        return kill.when == when and calls == kill.call

    if inspect.iscoroutinefunction(original):

        async def wrapped(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if is_now("before"):
                die()
            found = await original(*arguments, **options)
            if is_now("after"):
                die()
            return found

        setattr(holder, last, wrapped)
    else:

        def plain(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if is_now("before"):
                die()
            found = original(*arguments, **options)
            if is_now("after"):
                die()
            return found

        setattr(holder, last, plain)


async def _take_in(town: Town, given: dict[str, Any]) -> None:
    await town.take_in(
        *(message(data, id=f"event-{offset}", offset=offset) for offset, data in enumerate(given["data"]))
    )


async def _take_in_raw(town: Town, given: dict[str, Any]) -> None:
    """A message that holds "poison" ends the process that decodes it."""
    import hub.intake

    def deadly(value: bytes | None, headers: Any) -> Any:
        if value and b"poison" in value:
            os._exit(9)
        return decode(value, headers)

    vars(hub.intake)["decode"] = deadly
    await town.take_in(*(raw(text.encode(), offset=offset) for offset, text in enumerate(given["values"])))


async def _run(town: Town, given: dict[str, Any]) -> None:
    await town.run()


async def _run_in_short_turns(town: Town, given: dict[str, Any]) -> None:
    """Fan-out asks for another turn after each page."""
    import hub.fanout

    hub.fanout.PAGES_PER_MESSAGE = 1
    await town.run()


async def _dispatch(town: Town, given: dict[str, Any]) -> None:
    await town.dispatch()


async def _requeue(town: Town, given: dict[str, Any]) -> None:
    async with transaction(town.pool) as connection:
        await schedule.requeue_due(connection, 100)


async def _emit(town: Town, given: dict[str, Any]) -> None:
    async with transaction(town.pool) as connection:
        await scheduling.emit_due(connection)


async def _keep_a_receipt(town: Town, given: dict[str, Any]) -> None:
    """Of each reference, together."""
    arrived = []
    for reference in given.get("references", ["nobody's"]):
        told = {"type": "receipt", "id": reference, "status": "delivered", "at": "2026-11-24T08:00:00Z"}
        arrived.append(receipts.Arrived("sms", "receipt", json.dumps(told).encode(), reference=reference))
    async with town.pool.acquire() as connection:
        await receipts.keep_all(connection, arrived)


async def _relay(town: Town, given: dict[str, Any]) -> None:
    from hub.settings import KafkaSettings
    from streams.relay import Relay

    await Relay(town.pool, "", KafkaSettings(bootstrap=given["kafka"])).work()


TASKS: dict[str, Callable[[Town, dict[str, Any]], Awaitable[None]]] = {
    "take in": _take_in,
    "take in raw": _take_in_raw,
    "run": _run,
    "short turns": _run_in_short_turns,
    "dispatch": _dispatch,
    "requeue": _requeue,
    "emit": _emit,
    "keep a receipt": _keep_a_receipt,
    "relay": _relay,
}


async def _main(asked: dict[str, Any]) -> None:
    if asked["kill"] is not None:
        _wrap(Kill(**asked["kill"]))
    pool = await open_pool(asked["dsn"])
    town = Town(pool)
    if asked["journal"] is not None:
        journal = Journal(**asked["journal"])
        provider = journal.open()
        town.publishers[journal.channel] = provider

        async def count(_: Message) -> None:
            if journal.dies_after is not None and len(provider.asked) > journal.dies_after:
                die()

        provider.before = count
    if asked["real"] is not None:
        town.publishers[asked["real"]["channel"]] = Real(**asked["real"]).open()
    await TASKS[asked["what"]](town, asked["given"])
    await pool.close()


if __name__ == "__main__":
    asyncio.run(_main(json.loads(sys.argv[1])))
