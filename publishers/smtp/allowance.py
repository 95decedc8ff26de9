"""How many at a time: one more while all goes well, half as many when the other side asks for less.

Additive increase and multiplicative decrease, as TCP (RFC 5681) finds what a line carries without being told.
"""

import asyncio
import contextlib
from collections import deque
from math import inf

_STEP = 20
"""Accepted mails for each one more at a time."""
_CALM = 10.0
"""Seconds without growth after a decrease."""
_ECHO = 1.0
"""Seconds in which further requests to slow down are answers to what was already on its way."""


class Allowance:
    """``in_use`` of ``allowed`` at a time, which is at most ``most``. Times are the event loop's."""

    def __init__(self, most: int) -> None:
        self.most = self.allowed = most
        self.in_use = 0
        self._good = 0
        self._cut = -inf

    @property
    def free(self) -> bool:
        """Whether one more may begin."""
        return self.in_use < self.allowed

    def use(self) -> None:
        """One more is in use; whether it may be is the caller's to ask."""
        self.in_use += 1

    def release(self) -> None:
        """One less is in use."""
        self.in_use -= 1

    def well(self, now: float) -> None:
        """A mail was accepted."""
        if self.allowed < self.most:
            self._good += 1
            if self._good >= _STEP and now - self._cut >= _CALM:
                self._good = 0
                self.allowed += 1

    def slow_down(self, now: float, besides: int = 0) -> bool:
        """Asked for less; ``besides`` were in use until just now. False when this was already heard."""
        if now - self._cut < _ECHO:
            return False
        self._cut, self._good = now, 0
        self.allowed = max(1, min(self.allowed, self.in_use + besides) // 2)
        return True

    def start_anew(self) -> None:
        """One at first, as with somebody who was away."""
        self.allowed, self._good = 1, 0


class Seats(Allowance):
    """An allowance in which one waits for one's turn, first come, first served: ``async with seats``."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self.free and not self._waiting:
            return self.use()
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn  # whoever grants it has counted it
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()
            with contextlib.suppress(ValueError):
                self._waiting.remove(turn)
            raise

    async def __aexit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """One less is in use; whoever waits longest has its turn."""
        super().release()
        self._grant()

    def well(self, now: float) -> None:
        """A mail was accepted."""
        super().well(now)
        self._grant()

    def _grant(self) -> None:
        while self._waiting and self.free:
            turn = self._waiting.popleft()
            if not turn.done():
                self.use()
                turn.set_result(None)
