"""Messages between our own processes: each is dealt with, or set aside; the database's absence is nobody's fault."""

from types import SimpleNamespace
from typing import Any

import pytest

from streams.internal import deal_with_id
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


async def test_message_is_dealt_with_by_its_number(town: Town) -> None:
    dealt: list[int] = []

    async def deal(number: int) -> None:
        dealt.append(number)

    assert await deal_with_id(town.pool, event(b'{"order": 9}'), "order", deal) == 0
    assert (dealt, await town.letters()) == ([9], [])


@pytest.mark.parametrize("value", [b"{", b"\xff", b"[]", b'{"batch": 1}', b'{"order": "1"}', b"null"])
async def test_what_is_no_message_of_ours_is_set_aside(town: Town, value: bytes) -> None:
    async def deal(number: int) -> None:
        raise AssertionError

    assert await deal_with_id(town.pool, event(value), "order", deal) == 1
    assert await town.letters() == ["defect"]


async def test_message_on_which_we_fail_is_set_aside(town: Town) -> None:
    async def deal(number: int) -> None:
        raise ZeroDivisionError

    assert await deal_with_id(town.pool, event(b'{"order": 1}'), "order", deal) == 1
    assert await town.letters() == ["defect"]


async def test_database_that_is_away_is_nobodys_defect(town: Town) -> None:
    async def deal(number: int) -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await deal_with_id(town.pool, event(b'{"order": 1}'), "order", deal)
    assert await town.letters() == []
