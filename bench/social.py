"""``bench social``: many announcements at once to accounts of networks that take so many posts in a period, no more.

The hub is to publish as fast as the networks allow: nothing lost, nothing twice, nothing refused as one too many
(429), and no period left half used.
"""

import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import rows, telling, town
from bench.hub import Hub, hub
from bench.networks import NETWORKS, Networks, Try
from bench.report import Report, Round
from launcher.console import say
from launcher.faults import Fault
from launcher.outside import outside
from schemas.deliveries import State
from schemas.lanes import Lane
from store.database import Connection, connect

_SENDER = "deliver-routine"
_AREA = "ville"
_WARM_CODE = "96099"
_LOOK_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for: announcements, accounts of each network, and what an account may post."""

    announcements: int
    accounts: int
    allowance: int
    period: float
    workers: int
    rounds: int

    @property
    def posts(self) -> int:
        """Of all accounts together."""
        return self.announcements * self.accounts * len(NETWORKS)


async def run(asked: Asked) -> Report:
    """Measure. Raises Fault when it takes far too long."""
    settings = {"announcements": asked.announcements, "accounts": asked.accounts, "allowance": asked.allowance}
    report = Report("social", {**settings, "period_s": f"{asked.period:g}", "workers": asked.workers})
    names = [_account(number, one) for number in range(1, asked.rounds + 1) for one in range(asked.accounts)]
    with tempfile.TemporaryDirectory(prefix="tambour-social-") as folder:
        networks = Networks.of(Path(folder), asked.allowance, asked.period)
        async with hub(
            extra=networks.settings([*names, telling.WARM_UP]),
            beside=[networks.program],
            senders={_SENDER: asked.workers},
        ) as running:
            connection = await connect(running.dsn)
            try:
                await _warm_up(running, connection)
                for number in range(1, asked.rounds + 1):
                    report.rounds.append(await _round(asked, running, connection, networks, number))
            finally:
                await connection.close()
            report.faults += running.faults
    report.notes += [
        f"each account of Mastodon and X may make {asked.allowance} requests in {asked.period:g} s; beyond it, 429",
        "…_utilisation: the time in which an account could have made its posts, through the time it took; the worst",
        "refused_429: requests that the networks refused as too many; wasted: their share of all",
    ]
    return report


def _account(number: int, one: int) -> str:
    """Each round has accounts of its own: the last period of the round before is not over."""
    return f"compte{number}n{one + 1}"


def _code(number: int) -> str:
    return f"961{number:02}"


async def _warm_up(running: Hub, connection: Connection) -> None:
    """One announcement to accounts that are not measured, so that every client has connected."""
    authority = await town.found(connection, [telling.WARM_UP], code=_WARM_CODE)
    for network in NETWORKS:
        await rows.add_accounts(connection, authority, network, [telling.WARM_UP])
    message = town.notice(telling.WARM_UP, Lane.ROUTINE, telling.WARM_UP, code=_WARM_CODE, channels=NETWORKS)
    await telling.emit(running, message)
    await _until_posted(connection, telling.WARM_UP, len(NETWORKS), within_s=60)


async def _round(asked: Asked, running: Hub, connection: Connection, networks: Networks, number: int) -> Round:
    authority = await town.found(connection, [_AREA], code=_code(number))
    names = [_account(number, one) for one in range(asked.accounts)]
    for network in NETWORKS:
        await rows.add_accounts(connection, authority, network, names)
    prefix = f"reseaux-{number}-"
    within_s = 60 + 3 * networks.soonest("x", 0.0, asked.announcements)
    async with outside(running.bootstrap) as system, running.measured() as measured:
        await system.emit(
            [
                town.notice(f"{prefix}{one}", Lane.ROUTINE, _AREA, code=_code(number), channels=NETWORKS)
                for one in range(asked.announcements)
            ]
        )
        states = await _until_posted(connection, prefix, asked.posts, within_s)
    if states != {State.SENT.word: asked.posts}:
        running.faults.append(f"{prefix}: not every delivery is sent: {states}")
    figures: dict[str, float] = {"seconds": measured.seconds, "posts_per_s": asked.posts / measured.seconds}
    posts, refused, worst = 0, 0, 1.0
    for network in NETWORKS:
        found = _by_account(networks, network, names)
        used = min(_utilisation(networks, network, tries) for tries in found.values())
        twice = sum(len(_taken(tries)) - len({one.text for one in _taken(tries)}) for tries in found.values())
        taken = sum(len(_taken(tries)) for tries in found.values())
        too_many = sum(map(len, found.values())) - taken
        if taken != asked.announcements * asked.accounts or twice:
            running.faults.append(f"{prefix}: {network} took {taken} posts, {twice} of them twice")
        figures |= {f"{network}_utilisation": used, f"{network}_refused_429": too_many}
        posts, refused, worst = posts + taken, refused + too_many, min(worst, used)
    figures |= {
        "utilisation": worst,
        "refused_429": refused,
        "wasted": refused / (posts + refused),
        "sent": posts,
        "unaccounted": asked.posts - sum(states.values()),
        "allowed_per_s": asked.allowance / asked.period * asked.accounts * len(NETWORKS),
        "worker_rss_mb": max(one.peak_mb for name, one in measured.round.used.items() if name.startswith(_SENDER)),
    }
    say(f"  round {number}: {worst:.1%} of what was allowed used, {refused} requests refused, {posts} posts")
    return measured.with_figures(figures)


def _by_account(networks: Networks, network: str, names: list[str]) -> Mapping[str, list[Try]]:
    found: defaultdict[str, list[Try]] = defaultdict(list)
    for one in networks.tries(network):
        if one.account in names:
            found[one.account].append(one)
    return found


def _taken(tries: list[Try]) -> list[Try]:
    return [one for one in tries if not one.refused]


def _utilisation(networks: Networks, network: str, tries: list[Try]) -> float:
    """1 when the account's last post came as soon as it could after the first; of one period only, it is always 1."""
    moments = [one.at for one in _taken(tries)]
    took = max(moments) - min(moments)
    soonest = networks.soonest(network, min(moments), len(moments))
    return min(1.0, soonest / took) if soonest else 1.0


async def _until_posted(connection: Connection, prefix: str, posts: int, within_s: float) -> Mapping[str, int]:
    """Wait until so many deliveries are done with; their states. Raises Fault past the time."""
    deadline = time.monotonic() + within_s
    states: Mapping[str, int] = {}
    while time.monotonic() < deadline:
        states = await rows.tally_all(connection, prefix)
        if sum(count for state, count in states.items() if state not in _OPEN) >= posts:
            return states
        await asyncio.sleep(_LOOK_EVERY_S)
    raise Fault(f"Not every post was out within {within_s:.0f} s: {dict(states)}.", "The logs of the workers say why.")


_OPEN = {one.word for one in (State.QUEUED, State.SENDING, State.RETRYING, State.UNKNOWN)}
