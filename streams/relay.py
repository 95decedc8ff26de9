"""The relay: outbox rows to Kafka. A row is deleted only once the broker has acknowledged its message."""

import asyncio
from time import perf_counter
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from hub import metrics
from hub.settings import KafkaSettings
from store import deadletters, outbox
from store.database import Connection, Pool, transaction
from streams.app import client_options
from streams.service import RowService

log = structlog.get_logger()

_AT_ONCE = 1000
_GATHER_S = 0.075
"""What became of deliveries is gathered this long, or until something else is relayed: nobody's mail waits for it."""
_PATIENCE_S = 20  # the rows stay locked meanwhile; another relay passes them over


class Relay(RowService):
    """Hands over the oldest rows first. Idempotent, acks=all: a retry inside the producer repeats nothing."""

    def __init__(self, pool: Pool, dsn: str, kafka: KafkaSettings, **options: Any) -> None:
        super().__init__(
            dsn, every_s=1.0, wakes_on="outbox", wakes_soon_on="outbox_status", soon_s=_GATHER_S, **options
        )
        self._pool = pool
        self._kafka = kafka
        self._producer: AIOKafkaProducer | None = None

    async def work(self) -> bool:
        """Relay one group of rows; True when there may be more."""
        producer = await self._ready()
        began = perf_counter()
        try:
            async with transaction(self._pool) as connection:
                rows = await outbox.take(connection, _AT_ONCE)
                if not rows:
                    return False
                async with asyncio.timeout(_PATIENCE_S):
                    acknowledged = []
                    for row, one in rows:
                        try:
                            acknowledged.append(
                                await producer.send(one.topic, one.value, one.key, headers=list(one.headers))
                            )
                        except MessageSizeTooLargeError as error:  # it would hold up all that come after it
                            await _set_aside(connection, row, one, error)
                    await asyncio.gather(*acknowledged)
                await outbox.remove(connection, [row for row, _ in rows])
            metrics.relayed((one.topic for _, one in rows), perf_counter() - began)
        except BaseException:
            await self._drop()
            raise
        return len(rows) == _AT_ONCE

    async def _ready(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **client_options(self._kafka),
                acks="all",
                enable_idempotence=True,
                linger_ms=1,
                request_timeout_ms=10_000,
            )
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def _drop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                async with asyncio.timeout(2):
                    await producer.stop()
            except TimeoutError:
                self.log.warning("the producer did not stop in time; its messages are sent again")

    async def on_stop(self) -> None:
        """Close the producer."""
        await super().on_stop()
        await self._drop()


async def _set_aside(connection: Connection, row: int, one: outbox.Outgoing, error: MessageSizeTooLargeError) -> None:
    """Keep a message that Kafka will never take: ``partition`` -1 and the row's number stand for its place."""
    await deadletters.add(
        connection,
        place=(one.topic, -1, row),
        key=one.key,
        value=one.value,
        headers=one.headers,
        reason="too_large",
        detail=f"Kafka does not take a message of {len(one.value):,} bytes. Put it back mended: shorter.",
    )
    metrics.set_aside("too_large")
    log.error("message_too_large", topic=one.topic, size=len(one.value), error=str(error))
