"""The two ways in which an agent takes messages: what is acknowledged when, and a lane of defects stops."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from streams.loop import TooManyDefects, no_loss_agent, no_loss_hands

pytestmark = pytest.mark.unit

Run = Callable[[Any], Awaitable[None]]


class App:
    """What a Faust app is to the loop: it keeps the function of its agent."""

    run: Run

    def topic(self, *_: str, **__: Any) -> None:
        return None

    def agent(self, _: Any, **__: Any) -> Callable[[Run], Run]:
        def keep(run: Run) -> Run:
            self.run = run
            return run

        return keep


class Event:
    """A message; ``acknowledged`` has those that were, in their order."""

    acknowledged: list[int]

    def __init__(self, number: int, acknowledged: list[int]) -> None:
        self.number = number
        self.acknowledged = acknowledged

    def ack(self) -> None:
        self.acknowledged.append(self.number)


class Stream:
    """So many messages, and then its end."""

    def __init__(self, count: int) -> None:
        self.acknowledged: list[int] = []
        self._count = count

    def noack(self) -> "Stream":
        return self

    async def events(self) -> AsyncIterator[Event]:
        for number in range(self._count):
            yield Event(number, self.acknowledged)


def grouped(handle: Callable[[Sequence[Any]], Awaitable[int]], take: int) -> Run:
    app: Any = App()
    no_loss_agent(app, "agent", ["topic"], handle, take=take, within_s=0.01)
    found: Run = app.run
    return found


def handed(handle: Callable[[Any], Awaitable[int]], count: int) -> Run:
    app: Any = App()
    no_loss_hands(app, "agent", ["topic"], handle, count=count)
    found: Run = app.run
    return found


async def test_group_is_acknowledged_once_all_of_it_is_dealt_with() -> None:
    stream = Stream(5)
    seen: list[list[int]] = []

    async def handle(events: Sequence[Any]) -> int:
        seen.append(list(stream.acknowledged))
        return 0

    await grouped(handle, 2)(stream)
    assert seen == [[], [0, 1], [0, 1, 2, 3]]
    assert stream.acknowledged == [0, 1, 2, 3, 4]


async def test_hand_acknowledges_its_own_when_it_is_done_and_no_other() -> None:
    stream = Stream(4)
    slow = asyncio.Event()

    async def handle(event: Any) -> int:
        if event.number == 0:
            await slow.wait()
        if event.number == 3:
            assert sorted(stream.acknowledged) == [1, 2], "the other hand goes on meanwhile"
            slow.set()
        return 0

    async with asyncio.timeout(5):
        await handed(handle, 2)(stream)
    assert sorted(stream.acknowledged) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("defects", "of", "stops"),
    [(0, 100, False), (4, 4, False), (5, 5, True), (5, 25, False), (6, 25, True), (20, 100, False), (21, 100, True)],
)
async def test_group_of_which_more_than_a_fifth_met_defects_stops_the_lane(defects: int, of: int, stops: bool) -> None:
    stream = Stream(of)

    async def handle(_: Sequence[Any]) -> int:
        return defects

    if stops:
        with pytest.raises(TooManyDefects):
            await grouped(handle, of)(stream)
        assert stream.acknowledged == []
    else:
        await grouped(handle, of)(stream)


@pytest.mark.parametrize(
    ("broken", "stops_after"),
    [({0, 1, 2, 3, 4}, None), (set(range(6)), 6), (set(range(0, 100, 5)), None), (set(range(60, 70)), 66)],
)
async def test_more_than_a_fifth_of_the_last_messages_with_defects_stops_the_lane(
    broken: set[int], stops_after: int | None
) -> None:
    stream = Stream(100)

    async def handle(event: Any) -> int:
        return int(event.number in broken)

    if stops_after is None:
        await handed(handle, 1)(stream)
    else:
        with pytest.raises(TooManyDefects):
            await handed(handle, 1)(stream)
    assert stream.acknowledged == list(range(stops_after or 100)), "each defect is a dead letter already"
