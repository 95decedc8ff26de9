"""The doctor on a machine where things are missing: every part is a finding, and none an error."""

import json
import socket
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from launcher.commands import doctor, track
from launcher.diagnosis import Grade, examine

pytestmark = pytest.mark.acceptance

app = typer.Typer(pretty_exceptions_enable=False)
doctor.register(app)
track.register(app)


def environment(home: Path, port: int, **more: str) -> dict[str, str]:
    """Settings that name servers where nobody listens."""
    empty = home / "empty.toml"
    empty.write_text("")
    return {
        "TAMBOUR_HOME": str(home),
        "TAMBOUR_SETTINGS": str(empty),
        "TAMBOUR_DATABASE": f"postgresql://u:secret@127.0.0.1:{port}/none",
        "TAMBOUR_KAFKA": f"127.0.0.1:{port}",
        "TAMBOUR_LINKS__PUBLIC_URL": "https://annonces.valmerande.example/",
        "TAMBOUR_LINKS__SECRET": "a secret of the tests",
        "TAMBOUR_LINKS__BOUNCE_DOMAIN": "bounces.valmerande.example",
        **more,
    }


async def test_servers_that_are_away_are_faults_with_a_way_to_mend(tmp_path: Path, free_port: int) -> None:
    channels = {
        "TAMBOUR_CHANNELS__EMAIL__RELAYS__MAIN__HOST": "127.0.0.1",
        "TAMBOUR_CHANNELS__EMAIL__RELAYS__MAIN__PORT": str(free_port),
        "TAMBOUR_CHANNELS__EMAIL__RELAYS__MAIN__TLS": "none",
        "TAMBOUR_CHANNELS__MASTODON__ACCOUNTS__VALMERANDE__URL": f"http://127.0.0.1:{free_port}",
        "TAMBOUR_CHANNELS__MASTODON__ACCOUNTS__VALMERANDE__TOKEN": "token",
    }
    found = {one.part: one for one in await examine(environment(tmp_path, free_port, **channels))}
    for part in ("kafka", "postgresql", "channel email", "channel mastodon"):
        assert found[part].grade is Grade.FAULT
        assert found[part].mend
    assert "secret" not in "".join(one.what for one in found.values())


async def test_faults_of_the_settings_do_not_keep_the_doctor_from_the_rest(tmp_path: Path) -> None:
    found = {one.part: one for one in await examine({"TAMBOUR_HOME": str(tmp_path), "TAMBOUR_KAFKA": "nowhere"})}
    assert found["settings"].grade is Grade.FAULT
    assert "TAMBOUR_KAFKA" in found["settings"].what
    assert found["disk"].grade is Grade.OK
    assert found["templates"].grade is Grade.OK


async def test_port_that_somebody_has_is_told_with_the_variable_that_chooses_another(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = await examine({"TAMBOUR_HOME": str(tmp_path), "TAMBOUR_PORT_PORTAL": str(port)})
    (taken,) = [one for one in found if one.part == "ports" and str(port) in one.what]
    assert taken.grade is Grade.WARNING
    assert "TAMBOUR_PORT_PORTAL" in taken.mend


async def test_no_channel_is_a_warning(tmp_path: Path, free_port: int) -> None:
    found = {one.part: one for one in await examine(environment(tmp_path, free_port))}
    assert found["settings"].grade is Grade.WARNING


def test_a_fault_exits_1_and_json_tells_it(tmp_path: Path) -> None:
    ran = CliRunner(env={"TAMBOUR_HOME": str(tmp_path), "TAMBOUR_KAFKA": "nowhere"}).invoke(app, ["doctor", "--json"])
    assert ran.exit_code == 1
    assert {"part", "grade", "what", "mend"} == set(json.loads(ran.stdout)[0])
