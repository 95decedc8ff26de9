"""What chaos does to a hub, decided from a seed: which process, when, how."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

WORKERS = ("core", "deliver-urgent", "deliver-routine", "deliver-bulk")
SENDERS = WORKERS[1:]
SERVERS = ("kafka", "postgres", "sandbox")
FROZEN_S = 20.0
"""Longer than a lease (15 s): whoever wakes up finds its batches claimed by others."""

NEVER_ASKED = frozenset({"email"})
"""Channels whose provider can't be asked, and to which nothing is sent a third time: a person decides."""


class How(StrEnum):
    """The ways a process is disturbed."""

    KILL = "kill -9"
    FREEZE = "SIGSTOP past the lease"
    TERMINATE = "SIGTERM"


@dataclass(frozen=True, slots=True)
class Blow:
    """One disturbance, ``pause_s`` seconds after the one before."""

    pause_s: float
    process: str
    how: How


def blows(seed: int, kills: int) -> list[Blow]:
    """``kills`` kills of workers, one of each server, and one freeze of a sender, in an order of the seed's."""
    chance = random.Random(seed)
    found = [(chance.choice(WORKERS), How.KILL) for _ in range(kills)]
    found += [(server, How.KILL) for server in SERVERS]
    found.append((chance.choice(SENDERS), How.FREEZE))
    chance.shuffle(found)
    return [Blow(chance.uniform(0.5, 3.0), process, how) for process, how in found]


def terminations() -> list[Blow]:
    """Every worker asked to end, one after the other."""
    return [Blow(1.5, process, How.TERMINATE) for process in WORKERS]


def repeat_bound(
    done: Sequence[Blow], *, window: int, at_once: int, connections: int, senders: int = len(SENDERS)
) -> int:
    """How many messages the blows may have repeated at most; docs/guarantees.md derives it.

    A sender that is killed, or frozen past its lease, leaves in flight at most ``at_once`` windows of the one
    family that may repeat (e-mail: a gateway is asked and Mastodon deduplicates). A provider that is killed may
    have taken one message on each connection without having answered.
    """
    of_senders = sum(blow.process in SENDERS and blow.how is not How.TERMINATE for blow in done)
    of_provider = sum(blow.process == "sandbox" for blow in done)
    return of_senders * at_once * window + of_provider * len(SENDERS) * connections
