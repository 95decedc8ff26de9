"""Receipts are kept before anything else, and opt-outs bind the address."""

import json

import pytest

from schemas.deliveries import DeliveryId
from store import optouts, outbox, receipts
from store.database import Connection
from store.receipts import Bound
from tests.integration.portal.scene import Scene

pytestmark = pytest.mark.integration


async def _keep(connection: Connection, body: bytes, **more: str) -> int | None:
    return await receipts.keep(
        connection, channel="sms", kind=more.pop("kind", "receipt"), body=body, hint="1-2.1", reference="r", **more
    )


async def test_a_receipt_and_its_message_are_one_transaction(connection: Connection) -> None:
    kept = await _keep(connection, b"one")
    assert kept is not None
    ((_, message),) = await outbox.take(connection, 10)
    assert message.topic == "tambour.receipts"
    assert json.loads(message.value) == {"receipts": [kept]} and receipts.ids_of(message.value) == [kept]
    with pytest.raises(RuntimeError):
        async with connection.transaction():
            await _keep(connection, b"two")
            raise RuntimeError
    assert await connection.fetchval("SELECT count(*) FROM receipt") == 1
    assert await outbox.waiting(connection) == 1


async def test_a_repeat_is_kept_once(connection: Connection) -> None:
    assert await _keep(connection, b"one") is not None
    assert await _keep(connection, b"one") is None
    assert await outbox.waiting(connection) == 1


async def test_two_people_may_write_the_same_words(connection: Connection) -> None:
    assert await _keep(connection, b"STOP", kind="inbound", arrival="msg_1") is not None
    assert await _keep(connection, b"STOP", kind="inbound", arrival="msg_2") is not None
    assert await _keep(connection, b"STOP", kind="inbound", arrival="msg_2") is None


async def test_binding_says_what_a_receipt_meant(connection: Connection) -> None:
    kept = await _keep(connection, b"\xff\x00 bytes")
    assert kept is not None
    [loaded] = await receipts.load_all(connection, [kept, kept + 1])
    assert (loaded.body, loaded.outcome, loaded.delivery, loaded.hint) == (b"\xff\x00 bytes", None, None, "1-2.1")
    await receipts.bind_all(connection, {kept: Bound("bound", DeliveryId(1, 2))})
    found = await connection.fetchrow("SELECT outcome, order_id, recipient_id FROM receipt WHERE id = $1", kept)
    assert found is not None and tuple(found) == ("bound", 1, 2)
    assert await receipts.load_all(connection, [kept]) == []


async def test_a_receipt_is_kept_whatever_characters_its_hint_has(connection: Connection) -> None:
    kept = await receipts.keep(connection, channel="sms", kind="receipt", body=b"x", hint="a\0b", reference="\0")
    assert kept is not None


async def test_an_opt_out_keeps_its_first_reason_and_outlives_the_recipient(
    connection: Connection, scene: Scene
) -> None:
    found = await optouts.recipient_for(connection, scene.subscriber)
    assert found is not None
    assert (found.authority, found.channel, found.address) == (
        "Ville de Valmerande",
        "email",
        scene.subscriber_address,
    )
    key = (found.authority_id, found.channel, found.address)
    assert await optouts.suppress(connection, *key, "unsubscribed")
    assert not await optouts.suppress(connection, *key, "bounced")
    await connection.execute("DELETE FROM recipient WHERE id = $1", scene.subscriber)
    left = await optouts.suppression(connection, *key)
    assert left is not None and left.reason == "unsubscribed"
    assert await optouts.recipient_for(connection, scene.subscriber) is None
    assert await optouts.restore(connection, *key)
    assert not await optouts.restore(connection, *key)
    assert await optouts.suppression(connection, *key) is None
