"""The mail server: slow, leaving, half closing, resetting, hanging once it has taken a mail, lying.

It is the one provider that can neither be asked nor deduplicate, so that every way to leave us without an answer
shows. What each may repeat is counted where it happened: in the journal, the mails that were taken without an answer.
"""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from math import ceil
from typing import Any

from launcher.chaos.hub import CONNECTIONS, Hub
from launcher.chaos.scenario import Needs, Scenario
from launcher.chaos.scenarios.workers import MAIL
from schemas.deliveries import State

_ROUTINE = {"Moderate": 1}
"""One lane, and not the urgent one, which asks its officer after a minute: a scenario needn't wait for that."""
_LASTS_S = 10.0
_EVERY = 5
_HANGS = "hang_at_end"
_PAUSE_MS = 520
_LIED_TO = Needs(channels=frozenset({"email"}), people=20)
"""A hub of its own: whoever's mail came back for good is written to no more."""


@asynccontextmanager
async def _mail_server(hub: Hub, kind: str, **more: Any) -> AsyncIterator[None]:
    """The mail server has this fault during the block (docs/sandbox.md)."""
    hub.note(f"the mail server: {kind} {more or ''}".strip())
    await _ask(hub, "POST", {"provider": "email", "kind": kind, **more})
    try:
        yield
    finally:
        await _ask(hub, "DELETE", None)


async def _ask(hub: Hub, method: str, body: object) -> None:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{hub.web}/sandbox/faults", data=data, method=method)
    await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=10).close())


async def _misbehave(hub: Hub, kind: str, *, every: int = _EVERY, seconds: float = _LASTS_S) -> None:
    """One request in so many meets the fault, for so many seconds."""
    async with _mail_server(hub, kind, every=every):
        await asyncio.sleep(seconds)


async def _unanswered(hub: Hub, kind: str, outcome: str, *, every: int = _EVERY, seconds: float = _LASTS_S) -> None:
    """A load whose mails meet the fault; at its end, as many as the journal has may have been repeated."""
    before = _met(hub)
    async with hub.load(40, seconds, severities=_ROUTINE):
        await hub.sending(messages=20)
        await _misbehave(hub, kind, every=every, seconds=seconds)
    await hub.settle()
    met = _met(hub) - before
    hub.report.figures["met"] = met
    hub.require(f"the fault {kind} was never met", holds=met > 0)
    if outcome == "dropped":
        hub.may_repeat(met, f"{met} mails were taken and not answered: each goes out once more, no more than once")
    else:
        hub.may_repeat(0, "the mail server had taken none of the mails that it left unanswered")
    if kind == _HANGS:  # a batch that waits for its answer is cut off, and so are those that wait for its connections
        cuts = 1 + ceil(seconds / hub.settings.delivery.deadline_s)
        hub.may_repeat(cuts * CONNECTIONS, f"{cuts} times a deadline is over: one mail a connection may be under way")


def _met(hub: Hub) -> int:
    """Mails that have met a fault so far."""
    path = hub.journal("email")
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return sum(json.loads(line)["rule"] == "fault" for line in lines if line.endswith(b"\n"))


async def slow(hub: Hub) -> None:
    """Each reply a while after the one before: a mail takes half of a batch's time, so that few fit in.

    None is begun that would not be answered in time; what was under way when it became slow may be.
    """
    async with hub.load(30, _LASTS_S, severities=_ROUTINE):
        await hub.sending(messages=20)
        async with _mail_server(hub, "slow", ms=_PAUSE_MS):
            await hub.sending(messages=20)
            await asyncio.sleep(_LASTS_S)
    hub.may_repeat(CONNECTIONS, "one mail a connection was under way, and near its deadline, when it became slow")


async def lies(hub: Hub) -> None:
    """250 for every mail, and then every mail comes back."""
    async with _mail_server(hub, "lie"):
        async with hub.load(20, 5):
            pass
        await hub.settle()
        settled = await hub.figures.until(lambda found: _sent(found) == 0, 60)
    left = None if settled is None else _sent(settled)
    hub.require(f"mails that came back are still held for sent: {left}", holds=left == 0)
    hub.may_repeat(0, "a mail that came back is not sent again")


def _sent(totals: Any) -> int:
    states = totals.channels["email"].states
    return int(states.get(State.SENT.word, 0)) + int(states.get(State.DELIVERED.word, 0))


SCENARIOS: Mapping[str, Scenario] = {
    "provider-slow": Scenario(
        "the mail server takes its time for each reply: nothing lost, nothing repeated",
        slow,
        MAIL,
    ),
    "provider-leaves": Scenario(
        "the mail server says 421 instead of taking a mail and goes: tried again, nothing repeated",
        partial(_unanswered, kind="leave", outcome="deferred"),
        MAIL,
        partial(_misbehave, kind="leave"),
    ),
    "provider-resets": Scenario(
        "the mail server resets connections in mid-content: once more under the same Message-ID, nothing twice",
        partial(_unanswered, kind="reset", outcome="deferred"),
        MAIL,
        partial(_misbehave, kind="reset"),
    ),
    "provider-half-closes": Scenario(
        "the mail server stops talking after DATA, and takes what comes: repeats at most what it took so",
        partial(_unanswered, kind="half_close", outcome="dropped"),
        MAIL,
    ),
    "provider-hangs-at-end-of-data": Scenario(
        "the mail server takes mails and never answers: each once more, a second time unclear is an officer's",
        partial(_unanswered, kind=_HANGS, outcome="dropped", every=2),
        MAIL,
    ),
    "provider-lies": Scenario(
        "the mail server says yes and sends it back: every delivery ends as failed, none stays sent",
        lies,
        _LIED_TO,
    ),
}
