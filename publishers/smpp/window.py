"""How many messages may await the SMSC's answer at once, and how fast: adapts to what the SMSC says it bears."""

import asyncio
import math

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 4.0


class Window:
    """Grows by one a round of answers up to ``most``, halves when the SMSC says "throttled" (once a round).

    After such a word nothing is handed over for a pause that doubles each time (0.25 s to 4 s), and halves with
    each message that is taken.
    """

    def __init__(self, most: int, rate: float | None) -> None:
        self._most = most
        self._spacing = 1 / rate if rate else 0.0
        self._size = float(most)
        self._out = 0
        self._next = 0.0
        self._cut_at = -math.inf
        self._door = asyncio.Lock()
        self._room = asyncio.Event()
        self.pause = 0.0

    @property
    def size(self) -> int:
        """How many may be under way now."""
        return int(self._size)

    async def turn(self) -> float:
        """Wait for room, first come first served; returns when that was. Give it back with ``done``."""
        loop = asyncio.get_running_loop()
        async with self._door:
            while self._out >= self.size:
                self._room.clear()
                await self._room.wait()
            while True:
                moment = loop.time()
                if moment >= self._next:  # which a throttled answer may put off meanwhile
                    break
                await asyncio.sleep(self._next - moment)
            self._next = moment + self._spacing
            self._out += 1
            return moment

    def done(self) -> None:
        """A turn is over, however it went."""
        self._out -= 1
        self._room.set()

    def accepted(self) -> None:
        """The SMSC took a message."""
        self._size = min(self._most, self._size + 1 / self._size)
        self.pause = self.pause / 2 if self.pause > _FIRST_PAUSE else 0.0
        self._room.set()

    def throttled(self, turn: float) -> None:
        """The SMSC refused the message of that turn as one too many.

        All that were under way together are likely to be refused: that counts once.
        """
        if turn < self._cut_at:
            return
        moment = asyncio.get_running_loop().time()
        self._size = max(1.0, self._size / 2)
        self.pause = min(_LONGEST_PAUSE, max(_FIRST_PAUSE, self.pause * 2))
        self._cut_at = moment
        self._next = max(self._next, moment + self.pause)
