"""Three embedded brokers as one cluster, as real processes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from launcher.embedded.cluster import COPIES, KafkaCluster
from launcher.home import Home, find_home
from launcher.ports import free_ports
from launcher.supervisor import Happening, Supervisor
from tests.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def told() -> list[Happening]:
    return []


@pytest.fixture
async def supervisor(tmp_path: Path, told: list[Happening]) -> AsyncIterator[Supervisor]:
    async with Supervisor(Home(tmp_path), tell=told.append) as running:
        yield running


@pytest.fixture
async def cluster(tmp_path: Path, supervisor: Supervisor) -> KafkaCluster:
    found = KafkaCluster(tmp_path / "kafka", free_ports(3, step=2), jars=find_home().jars)
    await supervisor.start_together([node.program() for node in found.nodes])
    return found


async def make_topic(cluster: KafkaCluster, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, 2, COPIES)])
    await admin.close()


async def everything(cluster: KafkaCluster, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    places = [TopicPartition(topic, partition) for partition in (0, 1)]
    consumer.assign(places)
    await consumer.seek_to_beginning()
    async with asyncio.timeout(60):
        found = [(await consumer.getone()).value for _ in range(count)]
    ends = await consumer.end_offsets(places)
    assert sum(ends.values()) == count, "and nothing besides"
    await consumer.stop()
    return found


async def is_back(told: list[Happening], name: str) -> None:
    await eventually(lambda: (name, "ready") in [(one.name, one.what) for one in told], within=60, what=f"{name} back")


async def test_broker_killed_during_a_send_loses_and_repeats_nothing(
    cluster: KafkaCluster, supervisor: Supervisor, told: list[Happening]
) -> None:
    await make_topic(cluster, "kept")
    producer = AIOKafkaProducer(
        bootstrap_servers=cluster.bootstrap, acks="all", enable_idempotence=True, request_timeout_ms=10_000
    )
    await producer.start()
    sent = [b"message %d" % number for number in range(300)]
    for number, value in enumerate(sent):
        if number % 100 == 50:  # each of them once: one of them leads the partition, one the controllers
            name = cluster.nodes[number // 100].name
            told.clear()
            supervisor.kill(name)
            await producer.send_and_wait("kept", value, partition=number % 2)
            await is_back(told, name)
        else:
            await producer.send_and_wait("kept", value, partition=number % 2)
    await producer.stop()
    assert sorted(await everything(cluster, "kept", len(sent))) == sorted(sent)


async def test_nodes_formatted_at_different_times_are_of_one_cluster(tmp_path: Path) -> None:
    ports = free_ports(3, step=2)
    first, again = (KafkaCluster(tmp_path, ports, jars=find_home().jars) for _ in range(2))
    await asyncio.to_thread(first.nodes[0].prepare)
    await asyncio.to_thread(again.nodes[1].prepare)
    identities = [(node.folder / "data" / "meta.properties").read_text() for node in first.nodes[:2]]
    [one], [other] = ({line for line in text.splitlines() if line.startswith("cluster.id")} for text in identities)
    assert one == other


def test_fewer_brokers_than_copies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 copies need as many brokers"):
        KafkaCluster(tmp_path, [1000, 2000], jars=tmp_path)
