"""``emit``: what lies on Kafka afterwards is what was in the file."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from hub.settings import KafkaSettings
from schemas.cloudevents import decode
from streams import topics
from tests.acceptance.commands.conftest import Command, Ran

pytestmark = pytest.mark.integration


def event(severity: str = "Minor") -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": uuid.uuid4().hex,
        "source": "/valmerande/voirie",
        "type": "fr.tambour.road-works",
        "data": {
            "authority": "96001",
            "matter": "Chantier 2026-200",
            "revision": 1,
            "severity": severity,
            "onset": "2027-11-04T08:00:00+01:00",
            "expires": "2027-11-08T18:00:00+01:00",
            "street": "rue du Port",
            "traffic": "closed",
            "starts": "2027-11-04",
            "ends": "2027-11-08",
            "reason": {"fr": "réparation d'une fuite"},
        },
    }


@pytest.fixture
async def broker(kafka: str) -> str:
    """The session's broker with the hub's topics."""
    await topics.ensure(KafkaSettings(bootstrap=kafka))
    return kafka


async def records(broker: str, ran: Ran) -> list[ConsumerRecord]:
    """The records that the command says it wrote, read back."""
    found = []
    consumer = AIOKafkaConsumer(bootstrap_servers=broker)
    await consumer.start()
    try:
        for sent in ran.json:
            place = TopicPartition(sent["topic"], sent["partition"])
            consumer.assign([place])
            consumer.seek(place, sent["offset"])
            found.append(await consumer.getone(place))
    finally:
        await consumer.stop()
    return found


async def test_event_lies_on_kafka_as_it_was_written(command: Command, broker: str, tmp_path: Path) -> None:
    file = tmp_path / "works.json"
    file.write_text(json.dumps(event(), indent=2, ensure_ascii=False), encoding="utf-8")
    ran = await command("emit", file, "--json", TAMBOUR_KAFKA=broker)
    assert ran.code == 0
    (record,) = await records(broker, ran)
    assert record.topic == "municipal.events"
    assert record.key == b"96001:Chantier 2026-200"
    assert record.value == file.read_bytes()
    assert decode(record.value, record.headers).id == ran.json[0]["id"]


async def test_each_event_of_a_file_goes_where_its_severity_says(command: Command, broker: str, tmp_path: Path) -> None:
    both = [event(), event("Extreme")]
    (tmp_path / "both.json").write_text(json.dumps(both))
    ran = await command("emit", tmp_path / "both.json", "--json", TAMBOUR_KAFKA=broker)
    assert [sent["topic"] for sent in ran.json] == ["municipal.events", "municipal.events.urgent"]
    assert [decode(one.value, one.headers).id for one in await records(broker, ran)] == [one["id"] for one in both]


async def test_topic_that_was_named_wins(command: Command, broker: str, tmp_path: Path) -> None:
    (tmp_path / "works.json").write_text(json.dumps(event()))
    arguments = ("emit", tmp_path / "works.json", "--topic", "municipal.events.urgent", "--json")
    assert (await command(*arguments, TAMBOUR_KAFKA=broker)).json[0]["topic"] == "municipal.events.urgent"


async def test_broken_event_is_sent_only_on_purpose(command: Command, broker: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.json"
    file.write_text('{"specversion": "1.0", "id": ')
    assert (await command("emit", file, TAMBOUR_KAFKA=broker)).code == 1
    ran = await command("emit", file, "--unchecked", "--json", TAMBOUR_KAFKA=broker)
    (record,) = await records(broker, ran)
    assert record.value == file.read_text().strip().encode()
    assert record.key is None


async def test_how_to_follow_it_is_told(command: Command, broker: str, tmp_path: Path) -> None:
    sent = event()
    (tmp_path / "works.json").write_text(json.dumps(sent))
    ran = await command("emit", tmp_path / "works.json", TAMBOUR_KAFKA=broker)
    assert f"./tambour track /valmerande/voirie/{sent['id']}" in ran.out


async def test_broker_that_is_away_is_told(command: Command, free_port: int, tmp_path: Path) -> None:
    (tmp_path / "works.json").write_text(json.dumps(event()))
    ran = await command("emit", tmp_path / "works.json", TAMBOUR_KAFKA=f"127.0.0.1:{free_port}")
    assert ran.code == 1 and ran.fault
    assert "Kafka can't be reached" in ran.fault.what
