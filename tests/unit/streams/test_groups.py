"""What comes is given out in groups: full, or closed a moment after its first."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from streams.loop import groups

pytestmark = pytest.mark.unit


class Source:
    """Gives what is put into it, for as long as nobody ends it; ``asked`` counts what was asked for."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.asked = 0

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        self.asked += 1
        found = await self.queue.get()
        if isinstance(found, BaseException):
            raise found
        return found

    def put(self, *values: Any) -> None:
        for value in values:
            self.queue.put_nowait(value)


async def test_a_group_is_as_large_as_it_may_be_and_keeps_the_order() -> None:
    source = Source()
    source.put(*range(7), StopAsyncIteration())
    assert [group async for group in groups(source, 3, 10)] == [[0, 1, 2], [3, 4, 5], [6]]


async def test_a_group_that_is_not_full_is_closed_after_a_moment() -> None:
    source = Source()
    source.put("alone")
    found = groups(source, 100, 0.01)
    async with asyncio.timeout(5):
        assert await anext(found) == ["alone"]
    source.put("later")
    async with asyncio.timeout(5):
        assert await anext(found) == ["later"], "what was asked for meanwhile is not lost"


async def test_no_more_than_one_is_asked_for_ahead() -> None:
    source = Source()
    source.put(*range(10))
    found = groups(source, 2, 10)
    assert await anext(found) == [0, 1]
    for _ in range(5):
        await asyncio.sleep(0)
    assert source.asked == 3


async def test_what_breaks_the_source_breaks_the_loop() -> None:
    source = Source()
    source.put(1, OSError("gone"))
    found = groups(source, 1, 10)
    assert await anext(found) == [1]
    with pytest.raises(OSError, match="gone"):
        await anext(found)


async def test_nothing_is_asked_for_once_it_is_closed() -> None:
    source = Source()
    source.put(1)
    found = groups(source, 1, 10)
    assert await anext(found) == [1]
    await found.aclose()  # type: ignore[attr-defined]  # it is an async generator
    source.put(2)
    for _ in range(5):
        await asyncio.sleep(0)
    assert source.queue.qsize() == 1
