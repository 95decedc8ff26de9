"""``track`` over what intake and the hub wrote, and ``doctor`` over servers that are there."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hub.intake import Incoming, Intake
from hub.settings import KafkaSettings
from store import holds
from store.database import Connection, open_pool, transaction
from store.orders import fan_out_page
from streams import topics
from tests.acceptance.commands.conftest import Command

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC)
MATTER = "Chantier 2026-200"


def works(revision: int = 1) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"works-200-{revision}",
        "source": "/valmerande/voirie",
        "type": "fr.tambour.road-works",
        "time": NOW.isoformat(),
        "data": {
            "authority": "96001",
            "matter": MATTER,
            "revision": revision,
            "areas": ["centre"],
            "severity": "Moderate",
            "onset": NOW.isoformat(),
            "expires": (NOW + timedelta(days=4)).isoformat(),
            "street": "rue du Port",
            "traffic": "closed",
            "starts": "2026-11-04",
            "ends": "2026-11-08",
            "reason": {"fr": "fuite"},
        },
    }


@pytest.fixture
async def told(connection: Connection, database: str) -> Connection:
    """One event, its announcement, and its orders fanned out."""
    pool = await open_pool(database, size=2)
    try:
        value = json.dumps(works()).encode()
        await Intake(pool, max_age=timedelta(hours=24)).take_in([Incoming("municipal.events", 0, 0, None, value, ())])
        for row in await connection.fetch("SELECT id FROM delivery_order"):
            async with transaction(pool) as own:
                await fan_out_page(own, row["id"], 200)
    finally:
        await pool.close()
    return connection


@pytest.mark.parametrize(
    "name",
    ["works-200-1", "/valmerande/voirie/works-200-1", MATTER, "event:1", "announcement:1"],
)
async def test_story_is_found_by_every_name(command: Command, told: Connection, name: str) -> None:
    ran = await command("track", name)
    assert ran.code == 0, ran.err
    for words in ("event:1 /valmerande/voirie works-200-1", f"announcement:1 {MATTER}", "email:", "queued"):
        assert words in ran.out
    assert "for their turn" in ran.out


async def test_delivery_is_told_with_what_it_waits_for(command: Command, told: Connection) -> None:
    row = await told.fetchrow("SELECT order_id, recipient_id FROM delivery ORDER BY 1, 2 LIMIT 1")
    assert row is not None
    public = f"{row['order_id']:x}-{row['recipient_id']:x}"
    story = (await command("track", public, "--json")).json
    assert story["delivery"]["row"]["public"] == public
    assert [wait["what"] for wait in story["delivery"]["waits"]] == ["waiting"]
    assert f"delivery {public}" in (await command("track", f"delivery:{public}")).out


async def test_nothing_by_that_name_exits_3(command: Command, connection: Connection) -> None:
    ran = await command("track", "works-999")
    assert ran.code == 3
    assert "deadletters" in ran.err


async def test_several_things_of_one_name_are_listed(command: Command, told: Connection) -> None:
    ran = await command("track", "1")  # the number of an event and of an announcement
    assert ran.code == 1
    assert "event:1" in ran.out and "announcement:1" in ran.out
    assert len((await command("track", "1", "--json")).json["matches"]) == 2


async def test_watch_ends_when_all_is_settled(command: Command, told: Connection) -> None:
    await told.execute("UPDATE delivery SET standing = 16 + 7")
    await told.execute("UPDATE batch SET state = 'done'")
    ran = await command("track", "works-200-1", "--watch")
    assert ran.code == 0
    assert "sent" in ran.out


async def test_doctor_finds_servers_that_are_there_and_what_waits_for_somebody(
    command: Command, told: Connection, kafka: str
) -> None:
    await topics.ensure(KafkaSettings(bootstrap=kafka))
    await holds.place(told, "channel", "sms", "wrong sender")
    ran = await command("doctor", "--json", TAMBOUR_KAFKA=kafka)
    grades = {(one["part"], one["grade"]) for one in ran.json}
    assert {("kafka", "ok"), ("postgresql", "ok"), ("clock", "ok"), ("disk", "ok"), ("holds", "warning")} <= grades
    # the tests' server is fast because it may lose what it acknowledged, and the doctor says so
    (fault,) = [one for one in ran.json if one["grade"] == "fault"]
    assert "fsync" in fault["what"] and fault["mend"]
    assert ran.code == 1


async def test_doctor_calls_a_database_without_its_schema_a_fault(command: Command, told: Connection) -> None:
    await told.execute("DELETE FROM schema_migration")
    found = {one["part"]: one for one in (await command("doctor", "--json")).json}
    assert found["postgresql"]["grade"] == "fault"
    assert "./tambour migrate" in found["postgresql"]["mend"]


async def test_doctor_compares_topics_with_the_settings(command: Command, told: Connection, kafka: str) -> None:
    await topics.ensure(KafkaSettings(bootstrap=kafka))
    ran = await command(
        "doctor", "--json", TAMBOUR_KAFKA=kafka, TAMBOUR_KAFKA__PARTITIONS="12", TAMBOUR_KAFKA__REPLICATION="3"
    )
    found = [(one["grade"], one["what"], one["mend"]) for one in ran.json if one["part"] == "kafka"]
    assert [grade for grade, _, _ in found] == ["ok", "warning", "warning", "fault"]
    assert "fewer partitions than kafka.partitions (12)" in found[1][1] and "--partitions 12" in found[1][2]
    assert "fewer copies than kafka.replication (3)" in found[2][1]
    assert "1 broker(s)" in found[3][1]
