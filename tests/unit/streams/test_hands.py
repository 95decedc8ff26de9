"""Several hands take from one source, each when it is free."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from streams.loop import in_hands
from tests.unit.streams.test_groups import Source

pytestmark = pytest.mark.unit


class Work:
    """Goes on with an item until it is told that it is done."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.cancelled: list[str] = []
        self._done: dict[str, asyncio.Future[None]] = {}

    async def deal(self, item: str) -> None:
        self.begun.append(item)
        self._done[item] = asyncio.get_running_loop().create_future()
        try:
            await self._done[item]
        except asyncio.CancelledError:
            self.cancelled.append(item)
            raise
        self.ended.append(item)

    def finish(self, *items: str) -> None:
        for item in items:
            self._done[item].set_result(None)

    def fail(self, item: str, error: Exception) -> None:
        self._done[item].set_exception(error)


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_no_more_are_taken_than_there_are_hands_and_who_is_done_takes_the_next() -> None:
    source, work = Source(), Work()
    source.put("a", "b", "c", "d", StopAsyncIteration())
    running = asyncio.ensure_future(in_hands(source, 2, work.deal))
    await settle()
    assert (work.begun, source.asked) == (["a", "b"], 2), "nothing is asked for that no hand is free for"
    work.finish("b")
    await settle()
    assert work.begun == ["a", "b", "c"], "the slow one holds up nobody"
    work.finish("c", "a")
    await settle()
    work.finish("d")
    async with asyncio.timeout(5):
        await running
    assert work.ended == ["b", "c", "a", "d"] or work.ended == ["b", "a", "c", "d"]


@pytest.mark.parametrize(
    "break_it", [lambda source, _: source.put(OSError("gone")), lambda _, work: work.fail("a", OSError("gone"))]
)
async def test_what_breaks_is_told_once_the_others_have_ended(
    break_it: Callable[[Source, Work], Awaitable[None] | None],
) -> None:
    source, work = Source(), Work()
    source.put("a", "b")
    running = asyncio.ensure_future(in_hands(source, 3, work.deal))
    await settle()
    break_it(source, work)
    await settle()
    source.put("never")
    await settle()
    assert not running.done() and "never" not in work.begun
    for item in set(work.begun) - {"a"}:
        work.finish(item)
    await settle()
    if not running.done():
        work.finish("a")
    with pytest.raises(OSError, match="gone"):
        async with asyncio.timeout(5):
            await running
    assert not work.cancelled


async def test_whoever_is_cancelled_leaves_nothing_running() -> None:
    source, work = Source(), Work()
    source.put("a", "b")
    running = asyncio.ensure_future(in_hands(source, 3, work.deal))
    await settle()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(work.cancelled) == ["a", "b"]
    source.put("never")
    await settle()
    assert work.begun == ["a", "b"]
