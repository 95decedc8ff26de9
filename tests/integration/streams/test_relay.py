"""The relay: rows become messages, and are deleted only once the broker has acknowledged them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from hub.settings import KafkaSettings
from store import outbox
from store.database import AWAY, Pool, open_pool, transaction
from store.deliveries import STATUS_TOPIC
from store.outbox import Outgoing
from streams import topics
from streams.relay import Relay
from tests.integration.hub.killing import Kill, was_killed, worker
from tests.integration.streams.broker import new_topic, read_all, records

pytestmark = pytest.mark.integration


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database)
    yield opened
    await opened.close()


@pytest.fixture
async def relay(pool: Pool, database: str, kafka: str) -> AsyncIterator[Relay]:
    made = Relay(pool, database, KafkaSettings(bootstrap=kafka))
    yield made
    await made.on_stop()


async def put(pool: Pool, topic: str, *values: bytes) -> None:
    async with transaction(pool) as connection:
        await outbox.put(connection, [Outgoing(topic, value) for value in values])


async def waiting(pool: Pool) -> int:
    async with pool.acquire() as connection:
        return await outbox.waiting(connection)


async def test_rows_become_messages_in_their_order_and_are_gone(pool: Pool, relay: Relay, kafka: str) -> None:
    topic = await new_topic(kafka)
    values = [b"%d" % number for number in range(50)]
    await put(pool, topic, *values)
    assert await relay.work() is False
    assert await read_all(kafka, topic) == values
    assert await waiting(pool) == 0
    assert await relay.work() is False


async def test_message_arrives_with_its_key_and_headers(pool: Pool, relay: Relay, kafka: str) -> None:
    topic = await new_topic(kafka)
    headers = (("content-type", b"application/json"), ("binary", b"\xff\x00"))
    async with transaction(pool) as connection:
        await outbox.put(connection, [Outgoing(topic, b"v", b"k\xff", headers), Outgoing(topic, b"", None)])
    await relay.work()
    first, second = await records(kafka, topic)
    assert (first.key, first.headers, first.value) == (b"k\xff", headers, b"v")
    assert (second.key, second.headers, second.value) == (None, (), b"")


async def test_rows_that_are_rolled_back_are_never_sent(pool: Pool, relay: Relay, kafka: str) -> None:
    topic = await new_topic(kafka)
    with pytest.raises(ZeroDivisionError):
        async with transaction(pool) as connection:
            await outbox.put(connection, [Outgoing(topic, b"never")])
            raise ZeroDivisionError
    await relay.work()
    assert await read_all(kafka, topic) == []


async def test_rows_stay_while_the_broker_is_away(pool: Pool, database: str, free_port: int) -> None:
    await put(pool, "any", b"v")
    away = Relay(pool, database, KafkaSettings(bootstrap=f"127.0.0.1:{free_port}"))
    with pytest.raises((KafkaError, *AWAY)):
        await away.work()
    assert await waiting(pool) == 1


RELAY = {
    "rows taken, nothing sent": (Kill("store.outbox:take", "after"), 0),
    "acknowledged, rows not deleted": (Kill("store.outbox:remove", "before"), 1),
    "rows deleted, not committed": (Kill("store.outbox:remove", "after"), 1),
    "committed": (Kill("streams.relay:Relay.work", "after"), 0),
}


@pytest.mark.parametrize("step", RELAY)
async def test_relay_killed_loses_nothing_and_repeats_its_group_at_most(
    pool: Pool, database: str, relay: Relay, kafka: str, step: str
) -> None:
    kill, repeats = RELAY[step]
    topic = await new_topic(kafka)
    values = [b"%d" % number for number in range(20)]
    await put(pool, topic, *values)
    assert was_killed(worker("relay", database, kill=kill, kafka=kafka))
    await relay.work()
    found = await read_all(kafka, topic)
    assert found == values * (1 + repeats)
    assert await waiting(pool) == 0


async def test_two_relays_at_once_send_each_row_once(pool: Pool, database: str, relay: Relay, kafka: str) -> None:
    topic = await new_topic(kafka)
    other = Relay(pool, database, KafkaSettings(bootstrap=kafka))
    values = [b"%d" % number for number in range(2500)]
    await put(pool, topic, *values)
    try:
        while await waiting(pool):
            await asyncio.gather(relay.work(), other.work())
    finally:
        await other.on_stop()
    assert sorted(await read_all(kafka, topic)) == sorted(values)


async def test_full_group_says_that_there_may_be_more(pool: Pool, relay: Relay, kafka: str) -> None:
    topic = await new_topic(kafka)
    await put(pool, topic, *[b"v"] * 1001)
    assert await relay.work() is True
    assert await relay.work() is False


async def test_message_too_large_for_the_broker_holds_up_nobody(pool: Pool, relay: Relay, kafka: str) -> None:
    topic = await new_topic(kafka)
    await put(pool, topic, b"before", b"x" * 3_000_000, b"after")
    await relay.work()
    assert await read_all(kafka, topic) == [b"before", b"after"]
    async with pool.acquire() as connection:
        letter = await connection.fetchrow("SELECT topic, reason, length(value) AS bytes FROM dead_letter")
    assert letter is not None
    assert tuple(letter) == (topic, "too_large", 3_000_000)


async def test_running_relay_is_woken_by_the_commit(pool: Pool, database: str, kafka: str) -> None:
    """By NOTIFY: it would look by itself once an hour only."""
    topic = await new_topic(kafka)
    relay = Relay(pool, database, KafkaSettings(bootstrap=kafka))
    relay._every_s = 3600
    async with relay:
        for number in range(3):
            await put(pool, topic, b"%d" % number)
            while await waiting(pool):
                await asyncio.sleep(0.01)
    assert await read_all(kafka, topic) == [b"0", b"1", b"2"]


class Counting(Relay):
    """A relay that counts its rounds, and looks by itself once an hour only."""

    rounds = 0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._every_s = 3600

    async def work(self) -> bool:
        self.rounds += 1
        return await super().work()


async def gone(pool: Pool) -> None:
    async with asyncio.timeout(10):
        while await waiting(pool):
            await asyncio.sleep(0.005)


@pytest.fixture
async def status_topic(kafka: str) -> None:
    """The broker is one that whole workers use, too."""
    await topics.ensure(KafkaSettings(bootstrap=kafka))


@pytest.mark.usefixtures("status_topic")
async def test_status_events_that_come_together_are_relayed_together(pool: Pool, database: str, kafka: str) -> None:
    async with Counting(pool, database, KafkaSettings(bootstrap=kafka)) as relay:
        await put(pool, STATUS_TOPIC, b"first")
        await gone(pool)
        relay.rounds, loop = 0, asyncio.get_running_loop()
        began = loop.time()
        for number in range(20):
            await put(pool, STATUS_TOPIC, b"%d" % number)
        await gone(pool)
        rounds_at_most = 1 + (loop.time() - began) / 0.075
    assert 1 <= relay.rounds <= rounds_at_most


@pytest.mark.usefixtures("status_topic")
async def test_status_events_hold_up_no_other_message(pool: Pool, database: str, kafka: str) -> None:
    """Though it would gather them for an hour."""
    topic = await new_topic(kafka)
    relay = Counting(pool, database, KafkaSettings(bootstrap=kafka))
    relay._soon_s = 3600
    async with relay:
        await put(pool, topic, b"before")
        await gone(pool)
        await put(pool, STATUS_TOPIC, b"status")
        await put(pool, topic, b"after")
        await gone(pool)
        async with transaction(pool) as connection:
            await outbox.put(connection, [Outgoing(STATUS_TOPIC, b"status"), Outgoing(topic, b"beside")])
        await gone(pool)
    assert await read_all(kafka, topic) == [b"before", b"after", b"beside"]
