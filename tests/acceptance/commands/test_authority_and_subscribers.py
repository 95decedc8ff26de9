"""``authority`` and ``subscribers``: a town brings its own."""

from pathlib import Path

import pytest

from store import authorities, caps, optouts
from store.database import Connection
from tests.acceptance.commands.conftest import Command

pytestmark = pytest.mark.integration

DEMO = Path(__file__).resolve().parents[3] / "demo" / "authority.toml"
HEADER = "channel;address;language;themes;areas\n"


def town(folder: Path, *, rules: str = "road-works;*;*;travaux;bulk;email;*;*\n") -> Path:
    """A town of its own, with one area and its rules."""
    columns = "type;severity;areas;themes;lane;channels;languages;template\n"
    (folder / "rules.csv").write_text(columns + rules)
    file = folder / "town.toml"
    file.write_text(
        """
[themes]
travaux = { fr = "Travaux" }

[[authority]]
code = "96077"
name = "Rochebrive"
rules = "rules.csv"
areas = { bourg = "Le Bourg" }

[authority.identity]
name = "Commune de Rochebrive"
short_name = "Rochebrive"
mail_from = "mairie@rochebrive.example"
list_id = "annonces.rochebrive.example"
website = "https://www.rochebrive.example/"
postal_address = "1 place de l'Église, 96077 Rochebrive"
sms_sender = "ROCHEBRIVE"
"""
    )
    return file


async def test_new_authority_begins_with_its_allow_list_until_it_is_opened(
    command: Command, connection: Connection, tmp_path: Path
) -> None:
    ran = await command("authority", "import", town(tmp_path))
    assert ran.code == 0 and "96077 Rochebrive: 1 areas, rules" in ran.out
    restricted = "SELECT restricted FROM authority WHERE code = '96077'"
    assert await connection.fetchval(restricted) is True
    assert (await command("authority", "open", "96077")).code == 0
    assert await connection.fetchval(restricted) is False
    await command("authority", "import", town(tmp_path))
    assert await connection.fetchval(restricted) is False


async def test_authority_whose_rules_have_a_fault_is_not_imported_at_all(
    command: Command, connection: Connection, tmp_path: Path
) -> None:
    ran = await command("authority", "import", town(tmp_path, rules="road-works;*;*;trvaux;bulk;email;*;*\n"))
    assert ran.code == 1 and ran.fault and "rules.csv:2" in ran.fault.what
    assert await authorities.find(connection, "96077") is None


async def test_every_fault_of_an_authority_file_is_told(command: Command, tmp_path: Path) -> None:
    file = town(tmp_path)
    file.write_text(file.read_text().replace('"mairie@', '"mairie').replace("sms_sender", "sms_sendr"))
    ran = await command("authority", "import", file)
    assert ran.code == 1 and ran.fault
    for place in ("mail_from", "sms_sender", "sms_sendr"):
        assert f"identity.{place}" in ran.fault.what


async def test_cap_is_kept_and_can_be_changed(command: Command, connection: Connection) -> None:
    assert (await command("authority", "cap", "96001", "email", "500")).code == 0
    assert (await command("authority", "cap", "96001", "email", "400")).code == 0
    commune = await authorities.find(connection, "96001")
    assert commune and await caps.listing(connection, commune.id) == {"email": 400}
    assert (await command("authority", "cap", "96001", "fax", "1")).code == 1


async def test_subscribers_are_imported_whole_and_who_left_stays_out(
    command: Command, connection: Connection, tmp_path: Path
) -> None:
    commune = await authorities.find(connection, "96001")
    assert commune
    await optouts.suppress(connection, commune.id, "email", "partie@courrier.example", "unsubscribed")
    file = tmp_path / "people.csv"
    file.write_text(
        HEADER + "email;anne@Courrier.example;fr;travaux,dechets;centre\nemail;anne@courrier.example;fr;ecole;*\n"
        "email;partie@courrier.example;fr;travaux;*\nsms;06 39 98 12 34;en;alertes;*\n",
        encoding="utf-8-sig",
    )
    ran = await command("subscribers", "import", file, "--authority", "96001")
    assert ran.code == 0 and "3 addresses" in ran.out
    rows = await connection.fetch(
        "SELECT address, theme, area FROM recipient JOIN subscription ON id = recipient_id"
        " WHERE address = ANY($1::text[]) ORDER BY 1, 2, 3",
        ["anne@courrier.example", "+33639981234"],
    )
    assert [tuple(row) for row in rows] == [
        ("+33639981234", "alertes", ""),
        ("anne@courrier.example", "dechets", "centre"),
        ("anne@courrier.example", "ecole", ""),
        ("anne@courrier.example", "travaux", "centre"),
    ]
    assert await optouts.suppression(connection, commune.id, "email", "partie@courrier.example")


async def test_every_fault_of_a_subscribers_file_is_told_with_its_line_and_nothing_is_imported(
    command: Command, connection: Connection, tmp_path: Path
) -> None:
    before = await connection.fetchval("SELECT count(*) FROM recipient")
    file = tmp_path / "people.csv"
    file.write_text(
        HEADER + "email;anne;fr;travaux;*\nsms;0639;xx;trvaux;nulle-part\nfax;1;fr;travaux;*\nemail;a@b.fr\n"
    )
    ran = await command("subscribers", "import", file, "--authority", "96001")
    assert ran.code == 1 and ran.fault
    lines = ran.fault.what.splitlines()
    assert [line.split(":")[1] for line in lines] == ["2", "3", "3", "3", "3", "4", "5"]
    assert await connection.fetchval("SELECT count(*) FROM recipient") == before


async def test_demo_file_can_be_imported_as_it_is(command: Command) -> None:
    ran = await command("authority", "import", DEMO)
    assert ran.code == 0 and "96001 Valmerande: 6 areas, rules" in ran.out
