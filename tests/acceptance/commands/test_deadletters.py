"""Dead letters: shown safely, put back once."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from store import deadletters, outbox
from store.database import Connection
from tests.acceptance.commands.conftest import Command

pytestmark = pytest.mark.integration

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "works-9",
    "source": "/voirie",
    "type": "fr.tambour.notice",
    "data": {
        "authority": "96001",
        "matter": "M",
        "revision": 1,
        "onset": "2027-11-04T08:00:00+01:00",
        "expires": "2027-11-08T18:00:00+01:00",
        "themes": ["travaux"],
        "headline": {"fr": "Titre"},
        "body": {"fr": "Texte"},
    },
}
BROKEN = json.dumps({**EVENT, "data": {"authority": "96001"}}).encode()


async def letter_of(connection: Connection, value: bytes | None, headers: deadletters.Headers = ()) -> int:
    offset = await connection.fetchval("SELECT count(*) FROM dead_letter")
    letter = await deadletters.add(
        connection,
        place=("municipal.events", 0, offset),
        key=b"96001:M",
        value=value,
        headers=headers,
        reason="invalid",
        detail="data.matter is missing. This field is required.",
    )
    assert letter is not None
    await connection.execute("DELETE FROM outbox")  # its own announcement is not what these tests look at
    return letter


@pytest.fixture
def mended(tmp_path: Path) -> Path:
    path = tmp_path / "mended.json"
    path.write_text(json.dumps(EVENT))
    return path


async def test_list_shows_open_letters(command: Command, connection: Connection) -> None:
    letter = await letter_of(connection, BROKEN)
    (shown,) = (await command("deadletters", "list", "--json")).json
    assert (shown["id"], shown["reason"], shown["state"]) == (letter, "invalid", "open")
    assert "data.matter is missing" in (await command("deadletters", "list")).out


async def test_show_writes_control_characters_out(command: Command, connection: Connection) -> None:
    letter = await letter_of(connection, b"\x1b]0;owned\x07 \xff\xfe", [("x-\x1b", b"\x9b")])
    ran = await command("deadletters", "show", letter)
    assert ran.code == 0
    assert "\\x1b]0;owned\\x07 \\xff\\xfe" in ran.out
    assert "\x1b" not in ran.out


async def test_letter_that_is_not_there_exits_3(command: Command) -> None:
    assert (await command("deadletters", "show", 7)).code == 3
    assert (await command("deadletters", "put-back", 7)).code == 3


async def test_mended_letter_is_put_back_once(command: Command, connection: Connection, mended: Path) -> None:
    letter = await letter_of(connection, BROKEN)
    assert (await command("deadletters", "put-back", letter, "--with", mended)).code == 0
    ((_, message),) = await outbox.take(connection, 10)
    assert (message.topic, message.key, message.value) == ("municipal.events", b"96001:M", mended.read_bytes())
    again = await command("deadletters", "put-back", letter, "--with", mended)
    assert again.code == 1 and again.fault and "is not open" in again.fault.what
    assert await outbox.waiting(connection) == 1


async def test_two_people_who_put_the_same_letter_back_send_it_once(
    connection: Connection, database: str, mended: Path
) -> None:
    from store.database import connect

    letter = await letter_of(connection, BROKEN)

    async def put_back() -> bool:
        own = await connect(database)
        try:
            async with own.transaction():
                return await deadletters.put_back(own, letter, mended.read_bytes())
        finally:
            await own.close()

    assert sorted(await asyncio.gather(*(put_back() for _ in range(4)))) == [False, False, False, True]
    assert await outbox.waiting(connection) == 1


@pytest.mark.parametrize("text", ['{"specversion": "1.0"', json.dumps({**EVENT, "type": "fr.tambour.unknown"})])
async def test_file_that_is_not_mended_is_refused_unless_on_purpose(
    command: Command, connection: Connection, tmp_path: Path, text: str
) -> None:
    letter = await letter_of(connection, BROKEN)
    file = tmp_path / "mended.json"
    file.write_text(text)
    ran = await command("deadletters", "put-back", letter, "--with", file)
    assert ran.code == 1 and ran.fault and "Nothing was sent" in ran.fault.mend
    assert await outbox.waiting(connection) == 0
    assert (await command("deadletters", "put-back", letter, "--with", file, "--unchecked")).code == 0
    assert await outbox.waiting(connection) == 1


async def test_letter_goes_back_as_it_was_when_the_reason_lay_elsewhere(
    command: Command, connection: Connection
) -> None:
    letter = await letter_of(connection, json.dumps(EVENT).encode())
    assert (await command("deadletters", "put-back", letter)).code == 0
    ((_, message),) = await outbox.take(connection, 10)
    assert json.loads(message.value) == EVENT


async def test_letter_that_would_come_back_at_once_is_refused(command: Command, connection: Connection) -> None:
    letter = await letter_of(connection, BROKEN)
    ran = await command("deadletters", "put-back", letter)
    assert ran.fault and "data.matter is missing" in ran.fault.what


async def test_binary_letter_takes_the_data_alone(
    command: Command, connection: Connection, mended: Path, tmp_path: Path
) -> None:
    headers = [(f"ce_{name}", str(EVENT[name]).encode()) for name in ("specversion", "id", "source", "type")]
    letter = await letter_of(connection, b"{}", [*headers, ("content-type", b"application/json")])
    whole = await command("deadletters", "put-back", letter, "--with", mended)
    assert whole.fault and "binary mode" in whole.fault.mend
    data = tmp_path / "data.json"
    data.write_text(json.dumps(EVENT["data"]))
    assert (await command("deadletters", "put-back", letter, "--with", data)).code == 0
