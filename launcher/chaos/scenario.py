"""A named scenario: what it does to a hub, and which hub it needs."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from launcher.chaos.hub import Hub

Act = Callable[["Hub"], Awaitable[None]]
Around = Callable[["Hub"], AbstractAsyncContextManager[None]]

FEW = frozenset({"email", "sms", "mastodon", "webhook"})
"""Channels of most scenarios: one of each rule for unclear outcomes that ends by itself."""


@dataclass(frozen=True, slots=True)
class Needs:
    """The hub that a scenario is played on. Scenarios of a suite with equal needs share one.

    ``people`` in each of the ten areas; ``extra`` variables of the processes; ``sandbox`` options of the local
    providers; ``brokers`` of Kafka, three at least when it is to be a cluster. ``around`` is entered before anything
    is started and left after everything has ended: it may put something between the parts (``hub.extra``) or
    replace one (``hub.stack``).
    """

    channels: frozenset[str] = FEW
    people: int = 20
    extra: tuple[tuple[str, str], ...] = ()
    sandbox: tuple[str, ...] = ("--latency-ms", "5")
    brokers: int = 1
    around: Around | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """``line`` says in one line what happens and what must hold.

    ``act`` does it: it puts load on the hub, disturbs it meanwhile, says what that may repeat, and checks what is
    its own. What every scenario promises is counted afterwards: nothing lost, repeats within what ``act`` allowed,
    nothing twice where the provider can tell, all settled, journals and database in agreement.

    ``strike`` is one of its disturbances without a load, for the soak to mix; None: it does not mix.
    """

    line: str
    act: Act
    needs: Needs = Needs()
    strike: Act | None = None
