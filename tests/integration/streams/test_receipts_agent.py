"""Receipts in groups: as if each were bound alone, and one that can't be bound holds up no other."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

import hub.receipts
from hub.receipts import bind_all
from publishers.base import Unclear
from schemas.deliveries import State
from store import outbox, receipts
from store.database import transaction
from store.receipts import Arrived
from streams.receipts_agent import bind_announced
from tests.integration.hub.conftest import town
from tests.integration.hub.providers import Provider
from tests.integration.hub.town import Town

pytestmark = pytest.mark.integration
__all__ = ["town"]


def receipt(reference: str, status: str = "delivered", **more: Any) -> Arrived:
    body = {"type": "receipt", "id": reference, "status": status, "at": "2026-11-24T08:00:00Z", **more}
    return Arrived("sms", "receipt", json.dumps(body).encode(), None, reference)


def event(value: bytes, offset: int = 0) -> Any:
    return SimpleNamespace(
        message=SimpleNamespace(topic=receipts.TOPIC, partition=0, offset=offset, key=None, value=value, headers=None)
    )


async def kept(town: Town, *arrived: Arrived) -> list[int]:
    async with transaction(town.pool) as connection:
        ids = await receipts.keep_all(connection, arrived)
    assert None not in ids
    return [one for one in ids if one is not None]


async def announced(town: Town, *numbers: list[int]) -> list[Any]:
    return [event(receipts.message(ids).value, offset) for offset, ids in enumerate(numbers)]


@pytest.fixture
async def sent(town: Town) -> list[str]:
    """Ten people have been sent an SMS; the references under which the gateway knows them, in order."""
    provider = Provider("sms", Unclear.WAIT)
    town.publishers["sms"] = provider
    await town.settle_in(10, channel="sms")
    await town.announce(channels=["sms"])
    await town.settle()
    return [f"ref-{key}" for key in provider.accepted]


async def outcomes(town: Town) -> list[str | None]:
    return [row["outcome"] for row in await town.all("SELECT outcome FROM receipt ORDER BY id")]


async def test_receipts_of_a_group_are_bound_in_one_commit(town: Town, sent: list[str]) -> None:
    await town.do("DELETE FROM outbox")
    ids = await kept(town, *(receipt(one, "undelivered" if n == 3 else "delivered") for n, one in enumerate(sent)))
    async with town.pool.acquire() as connection:
        [(_, told)] = await outbox.take(connection, 10)
    assert await bind_announced(town.pool, [event(told.value)]) == 0
    assert await outcomes(town) == ["bound"] * 10
    assert await town.states() == {"delivered": 9, "failed": 1}
    assert await town.one("SELECT count(DISTINCT xmin::text) FROM receipt WHERE id = ANY($1::bigint[])", ids) == 1
    assert await town.one("SELECT count(*) FROM fact WHERE state = $1", State.DELIVERED.value) == 9


async def test_several_receipts_of_one_delivery_in_a_group_are_each_a_fact(town: Town, sent: list[str]) -> None:
    said = [receipt(sent[0], word) for word in ("undelivered", "delivered", "buffered")]
    ids = await kept(town, *said, receipt(sent[1], "undelivered"))
    assert await bind_all(town.pool, ids) == dict.fromkeys(ids, "bound")
    assert await town.states() == {"delivered": 1, "failed": 1, "sent": 8}
    assert await town.one("SELECT count(*) FROM fact WHERE state IN (8, 9)") == 3


async def test_group_that_is_told_again_changes_nothing(town: Town, sent: list[str]) -> None:
    ids = await kept(town, *map(receipt, sent))
    assert len(await bind_all(town.pool, ids)) == 10
    facts = await town.one("SELECT count(*) FROM fact")
    assert await bind_all(town.pool, ids) == {}
    assert await town.one("SELECT count(*) FROM fact") == facts


async def test_group_holds_what_is_about_nothing_known_and_what_people_write(town: Town, sent: list[str]) -> None:
    stop = {"type": "inbound", "id": "m", "from": "+33639980199", "to": "+33639980001", "text": "STOP"}
    ids = await kept(
        town,
        receipt(sent[0]),
        receipt("nobody's"),
        Arrived("sms", "inbound", json.dumps(stop).encode()),
        Arrived("sms", "receipt", b"\xff no JSON"),
        Arrived("email", "bounce", b"From: x\n\nhello", hint="1-1.1"),
    )
    found = await bind_all(town.pool, ids)
    assert list(found.values()) == ["bound", "unbound", "opted_out", "ignored", "unbound"]


async def test_receipt_that_meets_a_defect_is_set_aside_and_the_others_are_bound(
    town: Town, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await kept(town, *map(receipt, sent))
    plain = hub.receipts.read

    def read(one: receipts.KeptReceipt, attempt: Any) -> Any:
        if one.id == ids[4]:
            raise ZeroDivisionError
        return plain(one, attempt)

    monkeypatch.setattr(hub.receipts, "read", read)
    assert await bind_announced(town.pool, await announced(town, ids[:3], ids[3:6], ids[6:])) == 1
    assert await town.letters() == ["defect"]
    assert (await outcomes(town)).count("bound") == 9
    assert await town.states() == {"delivered": 9, "sent": 1}


@pytest.mark.parametrize("value", [b"{", b"[]", b'{"receipts": 1}', b'{"receipts": ["1"]}', b'{"order": 1}', b"null"])
async def test_what_announces_no_receipts_is_set_aside(town: Town, sent: list[str], value: bytes) -> None:
    [number] = await kept(town, receipt(sent[0]))
    assert await bind_announced(town.pool, [event(value), *await announced(town, [number])]) == 1
    assert (await town.letters(), await outcomes(town)) == (["defect"], ["bound"])


async def test_receipt_announced_by_an_earlier_version_is_bound(town: Town, sent: list[str]) -> None:
    [number] = await kept(town, receipt(sent[0]))
    assert await bind_announced(town.pool, [event(b'{"receipt":%d}' % number)]) == 0
    assert await outcomes(town) == ["bound"]


async def test_many_early_receipts_are_announced_again_in_groups(town: Town, sent: list[str]) -> None:
    await kept(town, *(receipt(f"early-{number}") for number in range(receipts.GROUP + 5)))
    await town.run()
    assert set(await outcomes(town)) == {"unbound"}
    await town.do(
        "INSERT INTO provider_reference (channel, reference, order_id, recipient_id, attempt)"
        " SELECT 'sms', 'early-' || n, d.order_id, d.recipient_id, 1"
        " FROM generate_series(0, $1) n, (SELECT order_id, recipient_id FROM delivery LIMIT 1) d",
        receipts.GROUP + 4,
    )
    await town.do("DELETE FROM outbox")
    async with transaction(town.pool) as connection:
        assert await receipts.bindable(connection) == receipts.GROUP + 5
    assert await town.one("SELECT count(*) FROM outbox") == 2
    await town.run()
    assert set(await outcomes(town)) == {"bound"}
