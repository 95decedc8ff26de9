"""The embedded broker, as a real process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from launcher.embedded.kafka import Kafka
from launcher.home import find_home
from launcher.ports import free_ports
from launcher.programs import NotReady

pytestmark = pytest.mark.integration


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Kafka]:
    port, controller = free_ports(2)
    kafka = Kafka(tmp_path / "kafka", port, controller_port=controller, jars=find_home().jars)
    await kafka.start()
    yield kafka
    await kafka.kill()


async def create_topic(bootstrap: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1)])
    await admin.close()


async def read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(topic, 0)])
    await consumer.seek_to_beginning()
    values = [(await consumer.getone()).value for _ in range(count)]
    await consumer.stop()
    return values


async def test_acknowledged_messages_survive_kill_9(broker: Kafka) -> None:
    await create_topic(broker.bootstrap, "kept")
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all")
    await producer.start()
    sent = [b"message %d" % number for number in range(200)]
    for value in sent:
        await producer.send_and_wait("kept", value)
    await broker.kill()
    await producer.stop()
    assert broker.pid is None
    await broker.start()
    assert await read(broker.bootstrap, "kept", len(sent)) == sent


async def test_orderly_stop_then_start_keeps_topics_and_formats_once(broker: Kafka) -> None:
    await create_topic(broker.bootstrap, "kept")
    identity = (broker.folder / "data" / "meta.properties").read_text()
    await broker.stop()
    await broker.start()
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap)
    await consumer.start()
    assert "kept" in await consumer.topics()
    await consumer.stop()
    assert (broker.folder / "data" / "meta.properties").read_text() == identity


async def test_broker_that_cannot_start_says_why_with_the_end_of_its_log(tmp_path: Path) -> None:
    port, controller = free_ports(2)
    kafka = Kafka(
        tmp_path, port, controller_port=controller, jars=find_home().jars, settings={"broker.session.timeout.ms": "x"}
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").write_text("version=1\ncluster.id=abcdefghijklmnopqrstuv\nnode.id=1\n")
    with pytest.raises(NotReady, match=r"(?s)kafka ended with status 1.*kafka\.log.*broker\.session\.timeout\.ms"):
        await kafka.start()
    assert kafka.pid is None
