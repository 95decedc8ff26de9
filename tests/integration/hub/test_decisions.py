"""What an officer decides about one delivery, on a real database and with real providers of the sandbox."""

from collections.abc import Iterator

import pytest

from hub.decisions import Decision, Undecidable, decide
from publishers.base import Permanent, Unclear, Unknown
from schemas.deliveries import DeliveryId, State
from store import listings, recipients
from store.database import transaction
from store.recipients import Subscriber
from tests.contract.conftest import Sandbox, running_sandbox
from tests.integration.hub.killing import Real
from tests.integration.hub.providers import Provider
from tests.integration.hub.town import Town

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


async def only_one(town: Town) -> DeliveryId:
    [row] = await town.all("SELECT order_id, recipient_id FROM delivery")
    return DeliveryId(row["order_id"], row["recipient_id"])


async def take(town: Town, delivery: DeliveryId, decision: Decision) -> State:
    async with transaction(town.pool) as connection:
        return await decide(connection, delivery, decision, "the page shows nothing")


@pytest.fixture
async def unknown(town: Town) -> tuple[Town, Provider, DeliveryId]:
    """A delivery that waits for an officer."""
    provider = Provider("email", Unclear.WAIT)
    town.publishers["email"] = provider
    await town.settle_in(1)
    provider.answers = [Unknown("cut")]
    await town.announce()
    await town.settle()
    assert await town.dues() == {"officer": 1}
    return town, provider, await only_one(town)


async def test_sending_again_is_a_new_attempt(unknown: tuple[Town, Provider, DeliveryId]) -> None:
    town, provider, delivery = unknown
    assert await take(town, delivery, Decision.AGAIN) is State.QUEUED
    await town.settle()
    assert await town.states() == {"sent": 1} and await town.dues() == {}
    assert provider.asked == [f"{delivery.public}.1", f"{delivery.public}.2"]


@pytest.mark.parametrize(("decision", "state"), [(Decision.GIVE_UP, "failed"), (Decision.ARRIVED, "sent")])
async def test_a_decision_settles_it_and_says_why(
    unknown: tuple[Town, Provider, DeliveryId], decision: Decision, state: str
) -> None:
    town, provider, delivery = unknown
    await take(town, delivery, decision)
    await town.settle()
    assert await town.states() == {state: 1} and len(provider.asked) == 1
    async with town.pool.acquire() as connection:
        [row] = await listings.deliveries(connection, delivery=delivery)
    assert (row.code, row.reason) == ("officer", "the page shows nothing")


async def test_what_is_under_way_or_settled_is_not_decided(town: Town, mail: Provider) -> None:
    await town.settle_in(1)
    [batch] = await town.announced_and_dispatched()
    delivery = await only_one(town)
    with pytest.raises(Undecidable, match="being sent"):
        await take(town, delivery, Decision.AGAIN)
    await town.deliver(batch)
    with pytest.raises(Undecidable, match="it is sent"):
        await take(town, delivery, Decision.AGAIN)
    with pytest.raises(Undecidable, match="no delivery"):
        await take(town, DeliveryId(99, 99), Decision.AGAIN)


async def test_what_a_correction_replaced_or_time_ended_is_not_sent_again(town: Town, mail: Provider) -> None:
    await town.settle_in(1)
    mail.answers = [Permanent("no")]
    order = await town.announce()
    await town.settle()
    delivery = await only_one(town)
    await town.do("UPDATE delivery_order SET expires = now() WHERE id = $1", order)
    with pytest.raises(Undecidable, match="expired"):
        await take(town, delivery, Decision.AGAIN)
    await town.announce(revision=2, action="update")
    with pytest.raises(Undecidable, match="newer version"):
        await take(town, delivery, Decision.AGAIN)


async def test_a_call_to_another_system_is_replayed_under_its_first_id(town: Town, sandbox: Sandbox) -> None:
    from sandbox.listener import SECRET

    receiver = {"url": f"{sandbox.http}/listener/sig", "secret": SECRET, "allow_plain": True}
    accounts = {"sig": {**receiver, "networks": ["127.0.0.0/8"]}}
    town.publishers["webhook"] = Real("webhook", {"accounts": accounts}).open()
    async with transaction(town.pool) as connection:
        await recipients.save(connection, 1, [Subscriber("webhook", "sig", "fr", broadcast=True)])
    await town.announce(channels=["webhook"])
    await town.settle()
    await take(town, await only_one(town), Decision.AGAIN)
    await town.settle()
    lines = sandbox.journal("webhook")
    assert len({line["webhook_id"] for line in lines}) == 1
    assert [line["outcome"] for line in lines] == ["accepted", "replayed"]
    assert await town.states() == {"sent": 1}
