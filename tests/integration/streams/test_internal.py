"""Messages between our own processes: each is dealt with, or set aside; the database's absence is nobody's fault."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streams.internal import for_each
from tests.integration.hub.conftest import town
from tests.integration.hub.town import Town

pytestmark = pytest.mark.integration
__all__ = ["town"]


def event(value: bytes, offset: int = 0) -> Any:
    return SimpleNamespace(
        message=SimpleNamespace(
            topic="tambour.orders.bulk", partition=0, offset=offset, key=None, value=value, headers=None
        )
    )


async def test_each_message_is_dealt_with(town: Town) -> None:
    dealt: list[int] = []

    async def deal(number: int) -> None:
        dealt.append(number)

    events = [event(b'{"order": %d}' % number, number) for number in range(9)]
    assert await for_each(town.pool, events, "order", deal, at_once=3) == 0
    assert sorted(dealt) == list(range(9))


@pytest.mark.parametrize("value", [b"{", b"\xff", b"[]", b'{"batch": 1}', b'{"order": "1"}', b"null"])
async def test_what_is_no_message_of_ours_is_set_aside(town: Town, value: bytes) -> None:
    async def deal(number: int) -> None:
        raise AssertionError

    assert await for_each(town.pool, [event(value)], "order", deal, at_once=1) == 1
    assert await town.letters() == ["defect"]


async def test_defect_of_one_message_holds_up_no_other(town: Town) -> None:
    dealt: list[int] = []

    async def deal(number: int) -> None:
        if number == 1:
            raise ZeroDivisionError
        await asyncio.sleep(0)
        dealt.append(number)

    events = [event(b'{"order": %d}' % number, number) for number in range(4)]
    assert await for_each(town.pool, events, "order", deal, at_once=4) == 1
    assert (sorted(dealt), await town.letters()) == ([0, 2, 3], ["defect"])


async def test_database_that_is_away_brings_the_whole_batch_again_once_all_have_ended(town: Town) -> None:
    ended: list[int] = []

    async def deal(number: int) -> None:
        if number == 0:
            raise ConnectionResetError
        await asyncio.sleep(0.01)
        ended.append(number)

    events = [event(b'{"order": %d}' % number, number) for number in range(3)]
    with pytest.raises(ConnectionResetError):
        await for_each(town.pool, events, "order", deal, at_once=3)
    assert sorted(ended) == [1, 2], "nothing goes on behind the back of the loop"
    assert await town.letters() == []
