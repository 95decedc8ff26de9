"""Receipts: kept first, bound to the attempt they are about, in whatever order and however often they come."""

import asyncio
import json
from typing import Any

import pytest

from hub.receipts import bind
from publishers.base import Unclear, Unknown
from store import receipts
from store.database import transaction
from tests.integration.hub.providers import Provider
from tests.integration.hub.town import Town

pytestmark = pytest.mark.integration


@pytest.fixture
async def sms(town: Town) -> Provider:
    """One person has been sent an SMS."""
    provider = Provider("sms", Unclear.WAIT)
    town.publishers["sms"] = provider
    await town.settle_in(1, channel="sms")
    return provider


async def told(
    town: Town, status: str, *, reference: str | None = None, hint: str | None = None, arrival: str = "", **more: Any
) -> int:
    """The gateway tells; returns the receipt's number."""
    body = {"type": "receipt", "id": reference or "x", "status": status, "at": "2026-11-24T08:00:00Z", **more}
    async with transaction(town.pool) as connection:
        kept = await receipts.keep(
            connection,
            channel="sms",
            kind="receipt",
            body=json.dumps(body).encode(),
            hint=hint,
            reference=reference,
            arrival=arrival,
        )
    assert kept is not None
    return kept


async def sent(town: Town, sms: Provider) -> str:
    await town.announce(channels=["sms"])
    await town.settle()
    return f"ref-{sms.accepted[0]}"


@pytest.mark.parametrize(("status", "state"), [("delivered", "delivered"), ("undelivered", "failed"), ("sent", "sent")])
async def test_receipt_is_bound_to_its_attempt(town: Town, sms: Provider, status: str, state: str) -> None:
    reference = await sent(town, sms)
    assert await bind(town.pool, await told(town, status, reference=reference)) == "bound"
    assert await town.states() == {state: 1}


@pytest.mark.parametrize(
    ("status", "dead", "given_up"),
    [("undelivered", True, True), ("undelivered", False, False), ("delivered", True, False), ("sent", True, False)],
)
async def test_number_that_does_not_exist_is_given_up_once_a_failure_says_so(
    town: Town, sms: Provider, status: str, dead: bool, given_up: bool
) -> None:
    reference = await sent(town, sms)
    said = {"error": "30005", "reason": "no telephone has this number", "address_dead": dead}
    assert await bind(town.pool, await told(town, status, reference=reference, **said)) == "bound"
    reasons = [row["reason"] for row in await town.all("SELECT reason FROM suppression")]
    words = "no such number, says the provider: 30005 no telephone has this number"
    assert reasons == ([words] if given_up else [])


async def test_receipts_in_the_wrong_order_end_as_in_the_right_one(town: Town, sms: Provider) -> None:
    reference = await sent(town, sms)
    for status in ("delivered", "sent", "undelivered"):
        await bind(town.pool, await told(town, status, reference=reference))
    assert await town.states() == {"delivered": 1}


async def test_receipt_bound_by_two_readers_is_one_fact(town: Town, sms: Provider) -> None:
    number = await told(town, "delivered", reference=await sent(town, sms))
    outcomes = await asyncio.gather(*(bind(town.pool, number) for _ in range(4)))
    assert sorted(outcomes, key=str) == [None, None, None, "bound"]
    assert await town.one("SELECT count(*) FROM fact WHERE state = 9") == 1


async def test_same_receipt_told_again_is_kept_once(town: Town, sms: Provider) -> None:
    reference = await sent(town, sms)
    await told(town, "delivered", reference=reference, arrival="w1")
    with pytest.raises(AssertionError):
        await told(town, "delivered", reference=reference, arrival="w1")
    await told(town, "delivered", reference=reference, arrival="w2")


async def test_word_that_we_do_not_know_is_kept_and_proves_nothing(town: Town, sms: Provider) -> None:
    reference = await sent(town, sms)
    assert await bind(town.pool, await told(town, "pondering", reference=reference)) == "ignored"
    assert await town.states() == {"sent": 1}


async def test_receipt_for_nothing_known_is_kept(town: Town) -> None:
    assert await bind(town.pool, await told(town, "delivered", reference="nobody's")) == "unbound"
    assert await town.one("SELECT count(*) FROM receipt") == 1


async def test_receipt_that_comes_before_its_record_is_bound_once_that_is_there(town: Town, sms: Provider) -> None:
    early = await told(town, "delivered", reference="ref-1-1.1")
    assert await bind(town.pool, early) == "unbound"
    assert await sent(town, sms) == "ref-1-1.1"
    async with transaction(town.pool) as connection:
        assert await receipts.bindable(connection) == 1
        assert await receipts.bindable(connection) == 0
    await town.run()
    assert await town.states() == {"delivered": 1}


async def test_receipt_settles_an_unknown_outcome_by_our_own_key(town: Town, sms: Provider) -> None:
    sms.answers = [Unknown("cut")]
    await town.announce(channels=["sms"])
    await town.run()
    assert await town.dues() == {"resolve": 1}
    assert await bind(town.pool, await told(town, "delivered", hint=sms.asked[0])) == "bound"
    assert (await town.states(), await town.dues()) == ({"delivered": 1}, {})


@pytest.mark.parametrize("hint", ["1-1.2000", "ffff-1.1", "not a key", "1-1"])
async def test_key_that_is_none_of_ours_leads_nowhere(town: Town, sms: Provider, hint: str) -> None:
    await sent(town, sms)
    assert await bind(town.pool, await told(town, "undelivered", hint=hint)) == "unbound"
    assert await town.states() == {"sent": 1}


async def test_key_of_another_channel_leads_nowhere(town: Town, sms: Provider) -> None:
    mail = Provider("email")
    town.publishers["email"] = mail
    await town.settle_in(1)
    await town.announce()
    await town.settle()
    assert await bind(town.pool, await told(town, "undelivered", hint=mail.accepted[0])) == "unbound"
    assert await town.states() == {"sent": 1}


async def test_receipt_that_is_not_there_is_nothing_to_do(town: Town) -> None:
    assert await bind(town.pool, 404) is None
