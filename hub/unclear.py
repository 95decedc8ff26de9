"""What to do with a message whose outcome is unknown: the provider may have it, or not.

The rule is the channel's (publishers.base.Unclear); this file says what it means after a first, a second and
later unclear outcome. ``unknown`` always has a time until which it waits, then an officer decides.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from publishers.base import Unclear
from schemas.lanes import Lane

RESOLVE_AFTER = timedelta(minutes=10)
"""How long a receipt may take before an officer is asked."""
RESOLVE_URGENT_AFTER = timedelta(minutes=1)
"""The same in the urgent lane, where one repeated message does less harm than a missing one."""


LOOK_UP_AFTER = timedelta(seconds=20)
"""When a provider that can be asked is asked: earlier, it may not know yet what it has just taken in."""
LOOK_UP_URGENT_AFTER = timedelta(seconds=5)
"""The same in the urgent lane."""


def resolve_after(lane: Lane) -> timedelta:
    """How long a receipt is waited for in that lane."""
    return RESOLVE_URGENT_AFTER if lane is Lane.URGENT else RESOLVE_AFTER


class Step(Enum):
    """What comes next."""

    SEND = "send again"
    LOOK_UP = "ask the provider, and send again if it knows nothing"
    WAIT = "wait for a receipt until a time"
    OFFICER = "an officer decides"


@dataclass(frozen=True, slots=True)
class Next:
    """A step, and for ``WAIT`` and ``LOOK_UP`` how long to pause before."""

    step: Step
    wait: timedelta = timedelta(0)


def after_unknown(rule: Unclear, *, times: int, lane: Lane, can_look_up: bool) -> Next:
    """What comes after the ``times``-th unclear outcome of one attempt."""
    wait = resolve_after(lane)
    if rule is Unclear.SEND_AGAIN:
        return Next(Step.SEND)
    if rule is Unclear.SEND_ONCE_MORE:
        return Next(Step.SEND) if times <= 1 else Next(Step.WAIT, wait)
    if can_look_up:
        return Next(Step.LOOK_UP, LOOK_UP_URGENT_AFTER if lane is Lane.URGENT else LOOK_UP_AFTER)
    return Next(Step.WAIT, wait)


def on_its_turn(rule: Unclear, *, times: int, lane: Lane, can_look_up: bool) -> Step:
    """What to do with an unknown delivery whose turn has come again: its pause or its wait is over."""
    if can_look_up:
        return Step.LOOK_UP
    if rule is Unclear.SEND_AGAIN:
        return Step.SEND
    once_more = rule is Unclear.SEND_ONCE_MORE or (rule is Unclear.WAIT and lane is Lane.URGENT)
    return Step.SEND if once_more and times <= 1 else Step.OFFICER
