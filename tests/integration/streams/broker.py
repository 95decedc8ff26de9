"""Topics of a test's own on the session's broker: made, written, read to their end."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

PARTITION = 0
_END = b"the end, as far as this test goes"
_WITHIN_S = 30


async def new_topic(kafka: str, partitions: int = 1, name: str | None = None) -> str:
    """A topic that nobody else knows, or of that name."""
    name = name or f"test.{uuid.uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1)])
    finally:
        await admin.close()
    return name


async def send(kafka: str, topic: str, values: Sequence[bytes]) -> None:
    async with producing(kafka) as producer:
        for acknowledged in [await producer.send(topic, value, partition=PARTITION) for value in values]:
            await acknowledged


@asynccontextmanager
async def producing(kafka: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def read_all(kafka: str, topic: str) -> list[bytes]:
    """Every value of the topic's first partition so far. Puts a mark at its end: once a topic."""
    return [record.value for record in await records(kafka, topic)]


async def records(kafka: str, topic: str) -> list[Any]:
    await send(kafka, topic, [_END])
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, PARTITION)])
        found: list[Any] = []
        async with asyncio.timeout(_WITHIN_S):
            while (record := await consumer.getone()).value != _END:
                found.append(record)
        return found
    finally:
        await consumer.stop()


async def committed(kafka: str, group: str, topic: str) -> int:
    """The group's offset: how many messages of the first partition it will never be given again."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(group)
        found = offsets.get(TopicPartition(topic, PARTITION))
        return 0 if found is None else max(0, found.offset)
    finally:
        await admin.close()
