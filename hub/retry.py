"""When to try again: a value computed from values, durable as a row, never a timer in memory."""

from dataclasses import dataclass
from datetime import datetime, timedelta

_YEAR_S = 366 * 86_400.0  # a provider that asks for more is understood: the announcement expires before


@dataclass(frozen=True, slots=True)
class Policy:
    """Exponential delays with jitter: ``first``, then ``factor`` times more each time, at most ``longest``."""

    first: timedelta = timedelta(seconds=4)
    factor: float = 3.0
    longest: timedelta = timedelta(minutes=30)
    tries: int = 200  # about four days at the longest delay; most announcements expire before


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Try again at a time."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Don't try again; ``reason`` for the officer. ``expired``: the announcement would come too late."""

    reason: str
    expired: bool


def decide(
    policy: Policy, *, tries: int, now: datetime, expires: datetime, luck: float, retry_after: float | None = None
) -> TryAgain | GiveUp:
    """What to do after a try that was not accepted.

    ``tries`` counts those that reached the provider, this one included; ``luck`` in [0, 1) spreads the delays by
    ±20 %, so that a thousand refused together do not come back together. A provider's own ``retry_after``
    (seconds) is respected, and spread later only.
    """
    if tries >= policy.tries:
        return GiveUp(f"not accepted after {tries} tries", expired=False)
    longest = policy.longest / policy.first
    delay = policy.first * min(longest, policy.factor ** min(max(tries - 1, 0), 32))  # no power overflows a timedelta
    delay *= 0.8 + 0.4 * luck
    if retry_after is not None:
        delay = max(delay, timedelta(seconds=min(retry_after, _YEAR_S)) * (1 + 0.2 * luck))
    at = now + delay
    if at >= expires:
        return GiveUp("the announcement expires before the next try", expired=True)
    return TryAgain(at)
