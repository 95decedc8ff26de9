"""Playing scenarios one after the other, as often as asked, on as few hubs as they need; telling what came of each."""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from launcher.chaos.hub import Hub, opened
from launcher.chaos.report import Report, spread_of_runs, summary
from launcher.chaos.scenario import Act, Needs
from launcher.chaos.scenarios import SCENARIOS, mixture
from launcher.console import say
from launcher.faults import Fault

_SETTLE_WITHIN_S = 900.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for without a name. ``away``: a server that is away for ``away_s`` seconds instead."""

    events: int
    recipients: int
    kills: int
    seed: int
    away: str | None = None
    away_s: float = 60.0
    channels: frozenset[str] = mixture.ALL


async def play(hub: Hub, name: str, act: Act, seed: int) -> Report:
    """One scenario on a running hub: act, settle, count. Promises that were broken are said at once."""
    say(f"{name}, seed {seed}")
    began = time.monotonic()
    await hub.begin(name, seed)
    try:
        await act(hub)
    except Fault as error:  # what it waits for never came: the others are played all the same
        hub.report.broken.append(str(error))
    report = await hub.end()
    report.seconds = round(time.monotonic() - began, 1)
    for fault in report.faults:
        hub.keep = True
        say(f"Broken: {fault}.")
    return report


async def mixed(asked: Asked, *, as_json: bool) -> int:
    """The mixture of kills and then SIGTERM, or a server away, as large as asked; returns the exit code."""
    began = time.monotonic()
    async with opened(Needs(channels=asked.channels, people=asked.recipients, sandbox=())) as hub:
        hub.patience_s = _SETTLE_WITHIN_S
        if asked.away is None:
            kills = partial(mixture.kills, events=asked.events, kills=asked.kills)
            terminations = partial(mixture.terminations, events=max(40, asked.events // 10))
            first = await play(hub, "kills", kills, asked.seed)
            report = _together(first, await play(hub, "sigterm", terminations, asked.seed))
        else:
            name, strike = mixture.AWAY[asked.away]
            act = mixture.away(strike, events=asked.events, seconds=asked.away_s)
            report = await play(hub, name, act, asked.seed)
    report.seconds = round(time.monotonic() - began, 1)
    print(report.as_json() if as_json else report.as_words())
    return 1 if report.faults else 0


def _together(kills: Report, terminations: Report) -> Report:
    return replace(
        kills,
        events=kills.events + terminations.events,
        deliveries=kills.deliveries + terminations.deliveries,
        states={
            state: kills.states.get(state, 0) + terminations.states.get(state, 0)
            for state in kills.states | terminations.states
        },
        sigterm={"lost": terminations.lost, "repeated": terminations.repeated},
        most_times=max(kills.most_times, terminations.most_times),
        repeated_idempotent=kills.repeated_idempotent + terminations.repeated_idempotent,
        unaccounted=terminations.unaccounted,
        agree=kills.agree and terminations.agree,
        settled=kills.settled and terminations.settled,
        blows=kills.blows + terminations.blows,
        disagreements=kills.disagreements + terminations.disagreements,
        broken=kills.broken + terminations.broken,
    )


async def named(names: Sequence[str], *, runs: int, seed: int, as_json: bool) -> int:
    """Scenarios by name, each ``runs`` times; one line each, and a last one about all. Returns the exit code."""
    played: list[Report] = []
    for needs, together in by_needs(names):
        async with opened(needs) as hub:
            for name in together:
                for run in range(runs):
                    report = await play(hub, name, SCENARIOS[name].act, seed + run)
                    print(report.as_json() if as_json else report.as_words(), flush=True)
                    played.append(report)
    if runs > 1:
        for name in names:
            print(json.dumps(spread_of_runs([one for one in played if one.scenario == name])))
    if len(names) > 1:
        print(json.dumps(summary(played)))
    return 1 if any(report.faults for report in played) else 0


def by_needs(names: Iterable[str]) -> list[tuple[Needs, list[str]]]:
    """Scenarios that can share a hub, together; in the order of the first of each."""
    found: dict[Needs, list[str]] = {}
    for name in names:
        found.setdefault(SCENARIOS[name].needs, []).append(name)
    return list(found.items())
