"""Accounts that a provider has asked to leave alone for a while: going on asking makes the pause longer.

What a provider asks of one worker holds for all: the hub carries ``news`` to the others, which ``learn`` it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from publishers.base import NotYet

_SHARED = 1.0
"""Seconds from which on a pause is worth telling to others."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A provider asked for ``seconds`` without requests on ``account`` (a word of the channel's own)."""

    account: str
    seconds: float
    reason: str


class Rest:
    """Until when each account rests, by the clock of this process (seconds, monotonic)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._news: dict[str, tuple[float, str]] = {}

    def ask(self, account: str, seconds: float | None, reason: str = "") -> None:
        """The provider wants it left alone for so long; a shorter or no request changes nothing."""
        if seconds and self.learn(account, seconds) and seconds >= _SHARED:
            self._news[account] = (self._clock() + seconds, reason)

    def learn(self, account: str, seconds: float) -> bool:
        """It was asked of somebody else. False when that changes nothing."""
        until = self._clock() + seconds
        if until <= self._until.get(account, 0.0):
            return False
        self._until[account] = until
        return True

    def left(self, account: str) -> float:
        """Seconds that are left of its pause; 0 without one."""
        until = self._until.get(account)
        return 0.0 if until is None else max(0.0, until - self._clock())

    def resting(self) -> dict[str, float]:
        """The accounts that rest, and for how many seconds more."""
        now = self._clock()
        self._until = {account: until for account, until in self._until.items() if until > now}
        return {account: until - now for account, until in self._until.items()}

    def check(self, account: str) -> None:
        """Raises NotYet, with what is left of the pause, while the account rests."""
        left = self.left(account)
        if left > 0:
            raise NotYet("the provider has asked for a pause", code="pause", retry_after=left)

    def news(self) -> list[Pause]:
        """What providers have asked since this was called last, where it is not over."""
        told, self._news = self._news, {}
        now = self._clock()
        return [Pause(account, until - now, reason) for account, (until, reason) in told.items() if until > now]


@runtime_checkable
class Rests(Protocol):
    """A channel whose providers may ask for pauses."""

    @property
    def rest(self) -> Rest:
        """Its accounts' pauses."""
        ...
