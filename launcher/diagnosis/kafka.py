"""Whether Kafka is there, with every topic, as many partitions and copies as the settings say, and all in order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hub.settings import KafkaSettings
from launcher.diagnosis.findings import Finding, Grade
from launcher.reach import client_options, kafka_away, quiet_kafka

_PART = "kafka"
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the broker describes it. ``copies`` is what its poorest partition has, ``behind`` how many
    partitions have fewer copies up to date than copies, ``leaderless`` how many take nothing at the moment."""

    name: str
    partitions: int
    copies: int
    behind: int = 0
    leaderless: int = 0


async def examine(kafka: KafkaSettings) -> list[Finding]:
    """Ask the cluster. Raises launcher.faults.Fault when it can't be reached."""
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    from streams.topics import names

    quiet_kafka()
    wanted = names()
    admin = AIOKafkaAdminClient(**client_options(kafka), request_timeout_ms=10_000)
    try:
        await admin.start()
        there = set(await admin.list_topics())
        described = await admin.describe_topics([name for name in wanted if name in there])
        brokers = len((await admin.describe_cluster())["brokers"])
    except (KafkaError, OSError) as error:
        raise kafka_away(kafka, error) from error
    finally:
        await admin.close()
    topics = [_topic(one) for one in described if one["topic"] in there]
    missing = sorted(set(wanted) - there)
    if missing:
        what = f"{kafka.bootstrap} answers, but lacks topics: {', '.join(missing)}"
        mend = "Tambour makes them when it starts: ./tambour up, or a worker."
        return [Finding(_PART, Grade.FAULT, what, mend), *judge(topics, kafka, brokers)]
    return [
        Finding(_PART, Grade.OK, f"{kafka.bootstrap} answers, all {len(wanted)} topics are there"),
        *judge(topics, kafka, brokers),
    ]


def _topic(described: Mapping[str, Any]) -> Topic:
    partitions = described["partitions"]
    return Topic(
        described["topic"],
        len(partitions),
        min((len(one["replicas"]) for one in partitions), default=0),
        sum(len(one["isr"]) < len(one["replicas"]) for one in partitions),
        sum(one["leader"] < 0 for one in partitions),
    )


def judge(topics: Iterable[Topic], kafka: KafkaSettings, brokers: int) -> list[Finding]:
    """What is not as the settings say, or not in order; nothing when all is."""
    known = list(topics)
    found = []
    if gone := [one.name for one in known if one.leaderless]:
        what = f"nobody leads partitions of {_some(gone)}: what is put there waits or is refused"
        found.append(Finding(_PART, Grade.FAULT, what, "Start the broker that has them."))
    if behind := [one.name for one in known if one.behind and not one.leaderless]:
        what = f"copies are missing or behind: {_some(behind)}"
        found.append(Finding(_PART, Grade.WARNING, what, "Look at the brokers: one may be down, or its disk full."))
    if few := [one for one in known if one.partitions < kafka.partitions]:
        what = f"fewer partitions than kafka.partitions ({kafka.partitions}): {_some(one.name for one in few)}"
        mend = (
            f"kafka-topics --alter --topic NAME --partitions {kafka.partitions} --bootstrap-server {kafka.bootstrap}, "
            f"else no more than {min(one.partitions for one in few)} workers of a kind share their work."
        )
        found.append(Finding(_PART, Grade.WARNING, what, mend))
    if thin := [one for one in known if one.copies < kafka.replication]:
        what = f"fewer copies than kafka.replication ({kafka.replication}): {_some(one.name for one in thin)}"
        mend = "Add copies (kafka-reassign-partitions): a broker's disk lost loses what only it had."
        found.append(Finding(_PART, Grade.WARNING, what, mend))
    if kafka.replication > brokers:
        what = f"kafka.replication is {kafka.replication}, and the cluster has {brokers} broker(s)"
        found.append(Finding(_PART, Grade.FAULT, what, "New topics can't be made: lower it, or add brokers."))
    elif kafka.replication == 1 and brokers > 1:
        what = f"the cluster has {brokers} brokers, and each topic is kept by one (kafka.replication = 1)"
        mend = f"Set kafka.replication to {min(brokers, 3)}, and add copies to the topics there are."
        found.append(Finding(_PART, Grade.WARNING, what, mend))
    return found


def _some(names: Iterable[str]) -> str:
    first = sorted(names)
    more = len(first) - _SHOWN
    return ", ".join(first[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
