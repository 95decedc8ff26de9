"""The topics there are, and making those that are missing."""

import asyncio

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from hub import intake
from hub.settings import KafkaSettings
from publishers.registry import CHANNELS
from schemas.lanes import Lane
from store import deadletters, deliveries, receipts
from store.orders import batches_topic, fan_out_topic
from streams.app import client_options

log = structlog.get_logger()

FAMILIES = tuple(dict.fromkeys(channel.family for channel in CHANNELS.values()))


def names() -> list[str]:
    """Every topic the hub reads or writes."""
    return [
        *intake.TOPICS,
        *(fan_out_topic(lane) for lane in Lane),
        *(batches_topic(family, lane) for family in FAMILIES for lane in Lane),
        receipts.TOPIC,
        deliveries.STATUS_TOPIC,
        deadletters.TOPIC,
    ]


async def ensure(kafka: KafkaSettings, *, patience_s: float = 120) -> list[str]:
    """Make the topics that are missing; returns their names. Waits for a Kafka that is starting.

    Raises KafkaError when there is no answer within ``patience_s`` seconds.
    """
    deadline = asyncio.get_running_loop().time() + patience_s
    while True:
        admin = AIOKafkaAdminClient(**client_options(kafka))
        try:
            await admin.start()
            missing = sorted(set(names()) - set(await admin.list_topics()))
            if missing:
                await _create(admin, kafka, missing)
            return missing
        except (KafkaError, OSError) as error:
            if asyncio.get_running_loop().time() > deadline:
                raise
            log.warning("waiting_for_kafka", error=type(error).__name__)
            await asyncio.sleep(1)
        finally:
            await admin.close()


async def _create(admin: AIOKafkaAdminClient, kafka: KafkaSettings, missing: list[str]) -> None:
    try:
        await admin.create_topics([NewTopic(name, kafka.partitions, kafka.replication) for name in missing])
    except TopicAlreadyExistsError:
        log.info("topics_made_by_another_process")
