"""What the sandbox sends by itself, later: receipts, replies from handsets, bounces, automatic replies.

Each parcel comes from a journal line that says when it is due; only the acknowledgement is written here. So a
restart takes up again exactly what nobody has acknowledged yet.
"""

import asyncio
import heapq
import itertools
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox.journal import Journal, now, stamp

log = logging.getLogger("sandbox.courier")

_FIRST_RETRY = 0.25
_LONGEST_RETRY = 10.0
_AT_ONCE = 32


class NotTaken(Exception):
    """The other side did not acknowledge; the courier comes again."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """``due`` in epoch seconds; ``send`` raises NotTaken until the other side has acknowledged."""

    id: str
    due: float
    send: Callable[[], Awaitable[None]]


class Courier:
    """Sends parcels when due, and again with growing pauses (0.25 s to 10 s) until they are acknowledged."""

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self._known = {str(line["id"]) for _, line in self._journal.scan()}
        self.acknowledged = len(self._known)
        self._heap: list[tuple[float, int, int, Parcel]] = []
        self._order = itertools.count()
        self._news = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()

    @property
    def pending(self) -> int:
        """Parcels not yet acknowledged."""
        return len(self._heap) + len(self._sending)

    def schedule(self, parcel: Parcel) -> None:
        """Send it when due, unless it was acknowledged before a restart."""
        if parcel.id not in self._known:
            self._push(parcel.due, 0, parcel)

    def forget_history(self) -> None:
        """Free the ids read at start, once every journal has scheduled what it holds."""
        self._known = set()

    async def run(self) -> None:
        """Send for ever; cancel to stop."""
        try:
            while True:
                self._news.clear()
                wait = self._start_due()
                try:
                    await asyncio.wait_for(self._news.wait(), wait)
                except TimeoutError:
                    continue
        finally:
            for task in self._sending:
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)
            self._journal.close()

    def _push(self, due: float, attempt: int, parcel: Parcel) -> None:
        heapq.heappush(self._heap, (due, next(self._order), attempt, parcel))
        self._news.set()

    def _start_due(self) -> float | None:
        """Start what is due, and return the seconds until the next is; None: until something happens."""
        while self._heap and len(self._sending) < _AT_ONCE:
            due, _, attempt, parcel = self._heap[0]
            if due > (clock := time.time()):
                return due - clock
            heapq.heappop(self._heap)
            task = asyncio.create_task(self._send(attempt, parcel))
            self._sending.add(task)
            task.add_done_callback(self._done)
        return None

    def _done(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._news.set()

    async def _send(self, attempt: int, parcel: Parcel) -> None:
        try:
            await parcel.send()
            self._journal.append({"at": stamp(now()), "id": parcel.id, "attempts": attempt + 1})
            self.acknowledged += 1
        except (NotTaken, OSError) as error:
            pause = min(_LONGEST_RETRY, _FIRST_RETRY * 2 ** min(attempt, 10))
            log.warning("%s not taken, again in %.2f s: %s", parcel.id, pause, error)
            self._push(time.time() + pause, attempt + 1, parcel)
