"""The no-loss loop: the only place where messages are taken from Faust and acknowledged.

Faust's own agent loop acknowledges a message when the next is asked for, and commits past messages in flight: a
crash loses them. Here messages are taken raw; the handler deals with them; only then are they acknowledged. They are
taken in groups, of which the next waits for the last (what is recorded by one commit), or each by one of several hands
that takes another when it is done (what takes long, and not equally long). What may go wrong:

- the database is away (store.database.AWAY): the same again, until it is back; nothing is acknowledged;
- anything else escapes the handler: the worker ends (CrashingSupervisor), is started again, and reads again what was
  not acknowledged. A handler therefore sets aside by itself what is only one message's fault; more than a fifth set
  aside for defects of ours stops the lane, because then the fault is not the messages'.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import faust
import structlog
from mode import CrashingSupervisor

from store.database import AWAY

log = structlog.get_logger()

Handler = Callable[[Sequence[Any]], Awaitable[int]]
"""Deals with all messages (faust events, raw) and returns how many met a defect of ours."""

_END = object()
_DEFECTS_AT_LEAST = 5  # of three, one is a third: a share says something of larger numbers only
_LOOKED_BACK = 25


class TooManyDefects(RuntimeError):
    """A fifth of the messages met defects: the worker must not eat through the topic like this."""


def no_loss_agent(
    app: faust.App, name: str, topics: Sequence[str], handle: Handler, *, take: int, within_s: float
) -> None:
    """Register an agent that gives ``handle`` groups of up to ``take`` messages, one after the other.

    ``within_s`` is how long a group waits for company, in seconds: keep it at milliseconds in urgent paths.
    """

    async def run(stream: Any) -> None:
        async for events in groups(stream.noack().events(), take, within_s):
            _not_too_many(await until_done(handle, events, name), len(events), name)
            for event in events:
                event.ack()

    _register(app, name, topics, run)


def no_loss_hands(
    app: faust.App, name: str, topics: Sequence[str], handle: Callable[[Any], Awaitable[int]], *, count: int
) -> None:
    """Register an agent that gives ``handle`` one message at a time, to so many hands at once.

    A message is acknowledged when its hand is done, whoever came first: what is committed never passes one that is
    still in a hand (streams.app).
    """
    met = deque([0] * _LOOKED_BACK, maxlen=_LOOKED_BACK)

    async def deal(event: Any) -> None:
        met.append(await until_done(lambda events: handle(events[0]), [event], name))
        event.ack()
        _not_too_many(sum(met), len(met), name)

    async def run(stream: Any) -> None:
        await in_hands(stream.noack().events(), count, deal)

    _register(app, name, topics, run)


def _register(app: faust.App, name: str, topics: Sequence[str], run: Callable[[Any], Awaitable[None]]) -> None:
    topic = app.topic(*topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    app.agent(topic, name=name, concurrency=1, supervisor_strategy=CrashingSupervisor)(run)


def _not_too_many(defects: int, of: int, name: str) -> None:
    if defects >= _DEFECTS_AT_LEAST and defects > of / 5:
        raise TooManyDefects(f"{name}: {defects} of {of} messages met a defect")


async def in_hands(events: AsyncIterator[Any], count: int, deal: Callable[[Any], Awaitable[None]]) -> None:
    """Deal with what comes, ``count`` at a time, until the source ends; no event is asked for before a hand is free.

    Raises what escapes one of them, or the source, once the others have ended: nothing goes on behind its back.
    """
    dealing: set[asyncio.Future[None]] = set()
    reading: asyncio.Future[Any] | None = None
    ended = False
    try:
        while dealing or not ended:
            if reading is None and not ended and len(dealing) < count:
                reading = asyncio.ensure_future(_next(events))
            waited = dealing if reading is None else {*dealing, reading}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            for one in [one for one in dealing if one.done()]:
                dealing.discard(one)
                one.result()
            if reading is not None and reading.done():
                event, reading = reading.result(), None
                ended = event is _END
                if not ended:
                    dealing.add(asyncio.ensure_future(deal(event)))
    except asyncio.CancelledError:
        for one in dealing:
            one.cancel()
        raise
    finally:
        if reading is not None:
            reading.cancel()
        await asyncio.gather(*dealing, return_exceptions=True)


async def _next(events: AsyncIterator[Any]) -> Any:
    return await anext(events, _END)


async def groups(events: AsyncIterator[Any], take: int, within_s: float) -> AsyncIterator[list[Any]]:
    """What comes, in groups of up to ``take``, each closed ``within_s`` seconds after its first.

    Waits for nothing but the next event: Faust's own ``noack_take`` looks a hundred times a second, of an idle
    worker too. One event more than is given out is asked for at most, so that a rebalance waits for no more.
    """
    ahead = _Ahead(events)
    reading = asyncio.ensure_future(ahead.read())
    reading.add_done_callback(lambda _: ahead.end())
    try:
        while True:
            ahead.want(take)
            await ahead.some.wait()
            if not ahead.got:
                await reading  # it tells what broke the source
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await ahead.full.wait()
            group = [ahead.got.popleft() for _ in range(min(take, len(ahead.got)))]
            ahead.want(1)
            yield group
    finally:
        reading.cancel()


class _Ahead:
    """Reads events by one task for all of them: a task for each costs more than what is done with the event."""

    def __init__(self, events: AsyncIterator[Any]) -> None:
        self._events = events
        self._wanted = 0
        self._ended = False
        self._room = asyncio.Event()
        self.got: deque[Any] = deque()
        self.some, self.full = asyncio.Event(), asyncio.Event()

    async def read(self) -> None:
        """Read for ever, and no further than is wanted."""
        await self._room.wait()
        async for event in self._events:
            self.got.append(event)
            self.some.set()
            while len(self.got) >= self._wanted:
                self.full.set()
                self._room.clear()
                await self._room.wait()

    def want(self, count: int) -> None:
        """From now on, have so many in hand."""
        self._wanted = count
        if len(self.got) < count:
            self._room.set()
            if not self._ended:
                self.full.clear()
        if not (self.got or self._ended):
            self.some.clear()

    def end(self) -> None:
        """There is nothing more to come: nobody waits for it."""
        self._ended = True
        self.some.set()
        self.full.set()


async def until_done(handle: Handler, events: Sequence[Any], name: str) -> int:
    """Give the events to the handler until it has dealt with all; returns how many met a defect.

    Raises what is not the database's absence.
    """
    pause = 0.1
    while True:
        try:
            return await handle(events)
        except AWAY as error:
            log.warning("waiting_for_database", agent=name, error=type(error).__name__, pause_s=pause)
            await asyncio.sleep(pause)
            pause = min(2.0, pause * 2)
