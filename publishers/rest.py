"""Accounts that a provider has asked to leave alone for a while: going on asking makes the pause longer.

Not kept over a restart: that costs one refusal, which says again how long.
"""

import time
from collections.abc import Callable

from publishers.base import Transient


class Rest:
    """Until when each account rests, by the clock of this process (seconds, monotonic)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def ask(self, account: str, seconds: float | None) -> None:
        """Leave the account alone for so long; a shorter or no request changes nothing."""
        if seconds:
            self._until[account] = max(self._until.get(account, 0.0), self._clock() + seconds)

    def check(self, account: str) -> None:
        """Raises Transient, with what is left of the pause, while the account rests."""
        left = self._until.get(account, 0.0) - self._clock()
        if left > 0:
            raise Transient("the provider has asked for a pause", code="pause", retry_after=left)
