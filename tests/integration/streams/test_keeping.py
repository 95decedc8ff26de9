"""Receipts that come over a connection of ours: answered once committed, many by one commit."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from publishers.base import Incoming
from store import receipts
from store.receipts import Arrived
from streams.keeping import Keeper
from tests.integration.hub.conftest import town
from tests.integration.hub.town import Town

pytestmark = pytest.mark.integration
__all__ = ["town"]


def said(number: int) -> Incoming:
    return Incoming("receipt", b"receipt %d" % number, reference=f"ref-{number}")


async def test_what_comes_together_is_kept_in_groups_and_announced(town: Town) -> None:
    keeper = Keeper(town.pool)
    await asyncio.gather(*(keeper.keep("sms", said(number)) for number in range(receipts.GROUP + 50)))
    assert await town.one("SELECT count(*) FROM receipt") == receipts.GROUP + 50
    assert await town.one("SELECT count(*) FROM outbox") == 2


async def test_repeats_are_answered_and_kept_once(town: Town) -> None:
    keeper = Keeper(town.pool)
    await asyncio.gather(*(keeper.keep("sms", said(1)) for _ in range(5)))
    await keeper.keep("sms", said(1))
    assert await town.one("SELECT count(*) FROM receipt") == 1
    assert await town.one("SELECT count(*) FROM outbox") == 1


async def test_ids_stand_by_position_and_repeats_have_none(town: Town) -> None:
    given = [Arrived("sms", "receipt", body) for body in (b"b", b"a", b"b", b"c")]
    async with town.pool.acquire() as connection:
        first = await receipts.keep_all(connection, given[:2])
        again = await receipts.keep_all(connection, given)
    assert None not in first
    assert [one is None for one in again] == [True, True, True, False]


async def test_one_that_cannot_be_kept_is_told_and_the_others_are_kept(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = receipts.keep_all

    async def keep_all(connection: Any, arrived: Sequence[Arrived]) -> list[int | None]:
        if any(one.reference == "ref-2" for one in arrived):
            raise ZeroDivisionError
        return await plain(connection, arrived)

    monkeypatch.setattr(receipts, "keep_all", keep_all)
    keeper = Keeper(town.pool)
    found = await asyncio.gather(*(keeper.keep("sms", said(number)) for number in range(5)), return_exceptions=True)
    assert [type(one).__name__ for one in found].count("ZeroDivisionError") == 1
    assert isinstance(found[2], ZeroDivisionError)
    assert await town.one("SELECT count(*) FROM receipt") == 4


async def test_database_that_is_away_is_told_to_all_and_the_next_are_kept(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = receipts.keep_all

    async def away(connection: Any, arrived: Sequence[Arrived]) -> list[int | None]:
        raise ConnectionResetError

    keeper = Keeper(town.pool)
    monkeypatch.setattr(receipts, "keep_all", away)
    found = await asyncio.gather(*(keeper.keep("sms", said(number)) for number in range(3)), return_exceptions=True)
    assert {type(one) for one in found} == {ConnectionResetError}
    monkeypatch.setattr(receipts, "keep_all", plain)
    await asyncio.gather(*(keeper.keep("sms", said(number)) for number in range(3)))
    assert await town.one("SELECT count(*) FROM receipt") == 3


async def test_caller_that_left_holds_up_nobody(town: Town) -> None:
    keeper = Keeper(town.pool)
    first = asyncio.create_task(keeper.keep("sms", said(1)))
    second = asyncio.create_task(keeper.keep("sms", said(2)))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert await town.one("SELECT count(*) FROM receipt") == 2
