"""``optouts``: who is not written to, why, and the way back."""

import asyncio
from pathlib import Path

import pytest

from store import authorities, optouts
from store.database import Connection
from tests.acceptance.commands.conftest import Command

pytestmark = pytest.mark.acceptance

CODE = ("--authority", "96001")
HEADER = "channel;address;language;themes;areas\n"


@pytest.fixture
async def given_up(connection: Connection) -> str:
    """An address that does not exist, says its server."""
    await connection.execute(
        "INSERT INTO suppression (authority_id, channel, address, reason, kind) SELECT id, 'email',"
        " 'anne@courrier.example', 'no such address, says the recipient''s server: 550 5.1.1', 'dead'"
        " FROM authority WHERE code = '96001'"
    )
    return "anne@courrier.example"


async def test_list_says_who_and_why(command: Command, connection: Connection, given_up: str) -> None:
    ran = await command("optouts", "list")
    assert ran.code == 0
    assert all(word in ran.out for word in (given_up, "no such address", "550 5.1.1", "everything"))
    [one] = (await command("optouts", "list", *CODE, "--channel", "email", "--kind", "dead", "--json")).json
    assert (one["authority"], one["address"], one["kind"]) == ("96001", given_up, "dead")
    assert (await command("optouts", "list", "--kind", "left", "--json")).json == []
    assert "Everybody" in (await command("optouts", "list", "--channel", "sms")).out
    assert (await command("optouts", "list", "--authority", "nobody")).code == 1
    assert (await command("optouts", "list", "--kind", "dead?")).code == 2


async def test_restored_address_is_written_to_again_and_the_journal_says_by_whom(
    command: Command, connection: Connection, given_up: str
) -> None:
    ran = await command("optouts", "restore", "anne@Courrier.example", *CODE, "--reason", "she corrected it")
    assert ran.code == 0 and "Written to again on email" in ran.out
    assert await connection.fetchval("SELECT count(*) FROM suppression") == 0
    again = await command("optouts", "restore", given_up, *CODE)
    assert again.code == 1 and again.fault
    [suppressed, restored] = (await command("optouts", "history", given_up, *CODE, "--json")).json
    assert (suppressed["act"], restored["act"], restored["why"]) == ("suppressed", "restored", "she corrected it")
    assert "command line" in restored["by"]
    assert "she corrected it" in (await command("optouts", "history", given_up, *CODE)).out


async def test_who_left_by_their_own_wish_is_restored_only_with_a_reason(
    command: Command, connection: Connection
) -> None:
    commune = await authorities.find(connection, "96001")
    assert commune
    await optouts.suppress(connection, commune.id, "sms", "+33639981234", "STOP by SMS")
    refused = await command("optouts", "restore", "06 39 98 12 34", *CODE)
    assert refused.code == 1 and refused.fault and "--reason" in refused.fault.mend
    ran = await command("optouts", "restore", "06 39 98 12 34", *CODE, "--reason", "asked at the counter", "--json")
    assert [one["address"] for one in ran.json["restored"]] == ["+33639981234"]


async def test_who_asks_by_telephone_is_added(command: Command, connection: Connection, given_up: str) -> None:
    options = (*CODE, "--channel", "email", "--reason", "asked by telephone")
    assert (await command("optouts", "add", "zoe@courrier.example", *options, "--json")).json == {"added": True}
    assert "already" in (await command("optouts", "add", "zoe@courrier.example", *options)).out
    assert (await command("optouts", "add", given_up, *options, "--json")).json == {"added": True}
    kinds = await connection.fetch("SELECT kind FROM suppression")
    assert {row["kind"] for row in kinds} == {"left"}
    assert (await command("optouts", "add", "zoe", *options)).code == 1
    assert (await command("optouts", "add", "zoe@courrier.example", *CODE, "--channel", "email")).code == 2


async def test_import_restores_nobody_and_says_who_stays_unwritten_to(
    command: Command, connection: Connection, given_up: str, tmp_path: Path
) -> None:
    commune = await authorities.find(connection, "96001")
    assert commune
    await optouts.suppress(connection, commune.id, "email", "partie@courrier.example", "unsubscribed")
    file = tmp_path / "people.csv"
    lines = (f"email;{one};fr;travaux;*\n" for one in (given_up, "partie@courrier.example", "zoe@courrier.example"))
    await asyncio.to_thread(file.write_text, HEADER + "".join(lines))
    ran = await command("subscribers", "import", file, *CODE)
    assert "3 addresses subscribe" in ran.out
    assert "2 of them stay unwritten to: 1 left, 1 no such address" in ran.out
    assert await connection.fetchval("SELECT count(*) FROM suppression") == 2
