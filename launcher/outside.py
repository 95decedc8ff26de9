"""An outside system that emits events: a plain Kafka producer, which knows nothing of the hub."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from aiokafka import AIOKafkaProducer


class Emitted(Protocol):
    """What is put on Kafka."""

    @property
    def topic(self) -> str: ...
    @property
    def key(self) -> bytes: ...
    @property
    def value(self) -> bytes: ...
    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]: ...


class Outside:
    """Emits messages and returns once the broker has acknowledged them."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def emit(self, messages: Sequence[Emitted]) -> None:
        """Emit in order. Raises aiokafka.errors.KafkaError when the broker does not take them."""
        sent = [await self._producer.send(one.topic, one.value, one.key, headers=list(one.headers)) for one in messages]
        for one in sent:
            await one


@asynccontextmanager
async def outside(bootstrap: str) -> AsyncIterator[Outside]:
    """A connection of an outside system to the broker."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        yield Outside(producer)
    finally:
        await producer.stop()
