"""Kafka: one of three brokers lost, and a disk that is full."""

import asyncio
import resource
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from launcher.chaos.hub import Hub
from launcher.chaos.scenario import Needs, Scenario
from launcher.embedded.cluster import COPIES, KafkaCluster
from launcher.faults import Fault
from store import outbox
from streams.app import client_options

_CLUSTER = Needs(brokers=COPIES)
_LOST_S = 8.0
"""Longer than a broker's session: its partitions have other leaders by then."""
_FULL_S = 12.0
_BACK_WITHIN_S = 90.0
"""The supervisor's longest pause between two starts (30 s), and a start with recovery."""


async def broker_lost(hub: Hub) -> None:
    """kill -9 of one broker in mid-send; two of three go on; it comes back, and has everything again."""
    assert isinstance(hub.stack.kafka, KafkaCluster)
    name = hub.chance.choice(hub.stack.kafka.nodes).name
    async with hub.load(60, 24):
        await hub.sending(messages=40)
        await hub.kill(name)
        await hub.supervisor.pause(name)  # else it would be back within seconds
        hub.note(f"{name} stays away for {_LOST_S:g} s")
        await asyncio.sleep(_LOST_S)
        await hub.sending(messages=40)
        await hub.bring_back(name)
    behind = await _behind(hub)
    hub.require(f"not every broker has every partition again: {behind}", holds=not behind)
    hub.may_repeat(0, "a broker lost: acks=all and two of three copies, and the producer is idempotent")


async def _behind(hub: Hub) -> list[str]:
    """Partitions that have fewer copies in step than there should be, once that has had a minute."""
    found: list[str] = ["nobody answered"]
    for _ in range(60):
        with suppress(KafkaError, OSError):
            found = await _fewer_copies(hub)
            if not found:
                return []
        await asyncio.sleep(1)
    return found


async def _fewer_copies(hub: Hub) -> list[str]:
    admin = AIOKafkaAdminClient(**client_options(hub.settings.kafka))
    try:
        await admin.start()
        topics = await admin.describe_topics()
    finally:
        await admin.close()
    return [
        f"{topic['topic']} {partition['partition']}"
        for topic in topics
        for partition in topic["partitions"]
        if len(partition["isr"]) < COPIES
    ]


async def disk_full(hub: Hub, *, seconds: float = _FULL_S) -> None:
    """No byte more can be written by Kafka, however often it is started, until there is room again."""
    most = 0
    async with _no_room(hub, "kafka") as ended:
        hub.note(f"Kafka's disk is full for {seconds:g} s")
        for _ in range(int(seconds * 4)):
            async with hub.connection() as connection:
                most = max(most, await outbox.waiting(connection))
            await asyncio.sleep(0.25)
    hub.report.figures["kafka_starts_in_vain"] = len(ended)
    hub.report.figures["outbox_at_most"] = most
    await _answers(hub)
    hub.note("there is room again")


@asynccontextmanager
async def _no_room(hub: Hub, name: str) -> AsyncIterator[set[int]]:
    """Every write to a file by this program fails (EFBIG), as on a full disk (ENOSPC), whoever we are.

    Kafka does not tell the two apart: its log directory failed, and as it has no other, it halts. What is given are
    the processes that had no room. The limit is of the process: each that is started anew gets it at once.
    """
    seen: set[int] = set()

    async def fill() -> None:
        while True:
            pid = hub.supervisor.pids.get(name)
            if pid is not None and pid not in seen and _limit(pid, 0):
                seen.add(pid)
            await asyncio.sleep(0.005)

    filling = asyncio.create_task(fill())
    try:
        yield seen
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)
        if (pid := hub.supervisor.pids.get(name)) is not None:
            _limit(pid, resource.RLIM_INFINITY)


def _limit(pid: int, octets: int) -> bool:
    """Let no file of a process grow beyond so many; the hard limit stays, so that it can be lifted. False: it ended."""
    try:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if octets == resource.RLIM_INFINITY else octets, hard))
    except ProcessLookupError:
        return False
    return True


async def _answers(hub: Hub) -> None:
    kafka = hub.stack.kafka
    assert kafka is not None  # chaos embeds its own
    deadline = asyncio.get_running_loop().time() + _BACK_WITHIN_S
    while True:
        try:
            for node in kafka.nodes:
                await node.ready()
            return
        except OSError as error:
            if asyncio.get_running_loop().time() > deadline:
                raise Fault("Kafka did not come back although there was room again.") from error
            await asyncio.sleep(0.25)


async def disk_full_under_load(hub: Hub) -> None:
    """The disk runs full in mid-send: rows wait in PostgreSQL, and all resumes once there is room."""
    async with hub.load(60, _FULL_S + 6):
        await hub.sending(messages=40)
        await disk_full(hub)
    figures = hub.report.figures
    hub.require("Kafka went on without room", holds=figures["kafka_starts_in_vain"] > 1)
    hub.require("nothing waited in the outbox while Kafka was away", holds=figures["outbox_at_most"] > 0)
    hub.may_repeat(0, "Kafka's disk full: what it had acknowledged is on the disk, the rest waits in PostgreSQL")


SCENARIOS: Mapping[str, Scenario] = {
    "broker-lost": Scenario(
        "one of three brokers killed in mid-send, and back: the others go on, nothing lost, nothing repeated",
        broker_lost,
        _CLUSTER,
    ),
    "kafka-disk-full": Scenario(
        "Kafka's disk runs full: it halts, rows wait in PostgreSQL, all resumes by itself once there is room",
        disk_full_under_load,
        strike=partial(disk_full, seconds=6),
    ),
}
