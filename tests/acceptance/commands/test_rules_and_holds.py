"""``rules``, ``hold`` and ``release`` as somebody types them."""

from pathlib import Path

import pytest

from store import holds
from store.database import Connection
from tests.acceptance.commands.conftest import Command

pytestmark = pytest.mark.integration

HEADER = "type;severity;areas;themes;lane;channels;languages;template\n"


async def rules_of(connection: Connection) -> tuple[str, str]:
    row = await connection.fetchrow("SELECT filename, source FROM rule_set")
    assert row is not None
    return row["filename"], row["source"]


async def test_rules_are_imported_whole(command: Command, connection: Connection, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(HEADER + "road-works;*;*;travaux;bulk;email;*;*\n", encoding="utf-8-sig")
    ran = await command("rules", "import", file, "--authority", "96001")
    assert ran.code == 0 and "1 rules of mine.csv" in ran.out
    assert await rules_of(connection) == ("mine.csv", HEADER + "road-works;*;*;travaux;bulk;email;*;*\n")


async def test_rules_with_a_fault_leave_those_that_were(
    command: Command, connection: Connection, tmp_path: Path
) -> None:
    before = await rules_of(connection)
    file = tmp_path / "mine.csv"
    file.write_text(HEADER + "road-works;*;*;travaux;bulk;email;*;*\nroad-works;*;*;trvaux;bulk;fax;*;*\n")
    ran = await command("rules", "import", file, "--authority", "96001")
    assert ran.code == 1 and ran.fault
    assert ran.fault.what.count(f"{file}:3: ") == 2
    assert "Did you mean 'travaux'?" in ran.fault.what
    assert await rules_of(connection) == before


async def test_check_against_the_database_changes_nothing(
    command: Command, connection: Connection, tmp_path: Path
) -> None:
    before = await rules_of(connection)
    file = tmp_path / "mine.csv"
    file.write_text(HEADER + "road-works;*;*;travaux;bulk;email;*;*\n")
    ran = await command("rules", "check", file, "--authority", "96001", "--json")
    assert ran.code == 0 and ran.json == {"rules": 1, "faults": []}
    assert await rules_of(connection) == before


async def test_unknown_authority_is_told_with_those_there_are(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(HEADER)
    ran = await command("rules", "import", tmp_path / "mine.csv", "--authority", "1")
    assert ran.code == 1 and ran.fault and "96001" in ran.fault.mend


async def test_check_asks_whose_rules_they_are(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(HEADER)
    ran = await command("rules", "check", tmp_path / "mine.csv")
    assert ran.fault and "--authority" in ran.fault.mend


@pytest.mark.parametrize("place", [("hub",), ("authority", "96001"), ("channel", "sms")])
async def test_hold_stands_until_released(command: Command, connection: Connection, place: tuple[str, ...]) -> None:
    assert (await command("hold", *place, "--reason", "exercise")).code == 0
    (hold,) = await holds.standing(connection)
    assert (hold.scope, hold.key, hold.reason) == (place[0], (*place, "")[1], "exercise")
    listed = (await command("hold", "--list", "--json")).json
    assert [one["reason"] for one in listed] == ["exercise"]
    assert (await command("release", *place)).code == 0
    assert await holds.standing(connection) == []


async def test_second_hold_keeps_the_first_reason(command: Command, connection: Connection) -> None:
    await command("hold", "hub", "--reason", "first")
    ran = await command("hold", "hub", "--reason", "second")
    assert ran.code == 0 and "held already" in ran.out and "first" in ran.out


async def test_announcement_is_held_by_its_matter_or_number(command: Command, connection: Connection) -> None:
    number = await connection.fetchval(
        "INSERT INTO announcement (authority_id, matter, revision, version)"
        " SELECT id, 'Chantier 114', 1, 1 FROM authority WHERE code = '96001' RETURNING id"
    )
    assert (await command("hold", "announcement", "Chantier 114", "--reason", "wrong street")).code == 0
    (hold,) = await holds.standing(connection)
    assert hold.key == str(number)
    assert (await command("release", "announcement", number)).code == 0


@pytest.mark.parametrize("place", [("authority", "1"), ("channel", "fax"), ("announcement", "none")])
async def test_hold_on_what_is_not_there_is_refused(
    command: Command, connection: Connection, place: tuple[str, str]
) -> None:
    ran = await command("hold", *place, "--reason", "exercise")
    assert ran.code == 1 and ran.fault and ran.fault.mend
    assert await holds.standing(connection) == []


async def test_release_of_nothing_is_told(command: Command) -> None:
    ran = await command("release", "channel", "sms")
    assert ran.code == 1 and ran.fault and "is not held" in ran.fault.what
