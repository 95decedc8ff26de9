"""``channels``, ``pictures``, ``withdraw``, ``decide`` and ``deliveries`` as an officer types them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.database import Connection
from tests.acceptance.commands.conftest import Command
from tests.contract.conftest import Sandbox, running_sandbox
from tests.unit.hub.test_pictures import drawing

pytestmark = pytest.mark.acceptance

CODE = ("--authority", "96001")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
def on_the_sandbox(sandbox: Sandbox) -> dict[str, str]:
    """Settings of five channels whose providers are the sandbox's."""
    host, _, port = sandbox.smtp.rpartition(":")
    found = {
        "EMAIL__RELAYS__MAIN__HOST": host,
        "EMAIL__RELAYS__MAIN__PORT": port,
        "EMAIL__RELAYS__MAIN__TLS": "none",
        "SMS__GATEWAYS__MAIN__URL": sandbox.http,
        "SMS__GATEWAYS__MAIN__TOKEN": "valmerande",
        "SMS__GATEWAYS__MAIN__WEBHOOK_SECRET": "x" * 24,
        "MASTODON__ACCOUNTS__VALMERANDE__URL": sandbox.http,
        "MASTODON__ACCOUNTS__VALMERANDE__TOKEN": "valmerande",
        "FACEBOOK__URL": f"{sandbox.http}/facebook",
        "FACEBOOK__ACCOUNTS__VALMERANDE__PAGE_ID": "1",
        "FACEBOOK__ACCOUNTS__VALMERANDE__TOKEN": "token-valmerande",
        "WEBHOOK__ACCOUNTS__SIG__URL": f"{sandbox.http}/listener/sig",
        "WEBHOOK__ACCOUNTS__SIG__SECRET": "whsec_c2FuZGJveCBsaXN0ZW5lciBzZWNyZXQh",
        "WEBHOOK__ACCOUNTS__SIG__ALLOW_PLAIN": "true",
        "WEBHOOK__ACCOUNTS__SIG__NETWORKS": '["127.0.0.0/8"]',
    }
    return {f"TAMBOUR_CHANNELS__{name}": value for name, value in found.items()}


async def test_list_says_which_channels_are_set_up(command: Command, on_the_sandbox: dict[str, str]) -> None:
    rows = (await command("channels", "list", "--json", **on_the_sandbox)).json
    set_up = {row["channel"] for row in rows if row["set up"]}
    assert set_up == {"email", "sms", "mastodon", "facebook", "webhook"}
    assert {"x", "bluesky", "telegram", "apprise"} <= {row["channel"] for row in rows}


async def test_check_proves_every_account_and_says_what_to_mend(
    command: Command, on_the_sandbox: dict[str, str]
) -> None:
    ran = await command("channels", "check", **on_the_sandbox)
    assert ran.code == 0, ran.out
    wrong = on_the_sandbox | {"TAMBOUR_CHANNELS__FACEBOOK__ACCOUNTS__VALMERANDE__TOKEN": "wrong"}
    ran = await command("channels", "check", "facebook", "--json", **wrong)
    [finding] = ran.json
    assert ran.code == 1 and not finding["ok"] and finding["mend"]
    assert (await command("channels", "check", "telegram", **on_the_sandbox)).code == 1, "it is not set up"


@pytest.mark.parametrize(
    ("channel", "to"),
    [
        ("email", "mairie@valmerande.example"),
        ("sms", "+33639980501"),
        ("mastodon", "valmerande"),
        ("facebook", "valmerande"),
        ("webhook", "sig"),
    ],
)
async def test_a_test_message_is_one_message_that_says_so(
    command: Command, sandbox: Sandbox, on_the_sandbox: dict[str, str], channel: str, to: str
) -> None:
    before = len(sandbox.journal(channel))
    ran = await command("channels", "test", channel, "--to", to, *CODE, "--json", **on_the_sandbox)
    assert ran.code == 0, ran.out
    assert ran.json["taken"] is True
    [line] = sandbox.journal(channel)[before:]
    if channel != "email":
        assert "essai" in (line.get("text") or str(line.get("body"))).lower()
    else:
        assert "essai" in line["subject"].lower()


async def test_a_test_post_can_be_taken_back(
    command: Command, sandbox: Sandbox, on_the_sandbox: dict[str, str]
) -> None:
    before = len(sandbox.journal("facebook"))
    arguments = ("channels", "test", "facebook", "--to", "valmerande", *CODE, "--take-back")
    ran = await command(*arguments, **on_the_sandbox)
    assert ran.code == 0 and "taken back" in ran.out
    assert [line["kind"] for line in sandbox.journal("facebook")[before:]] == ["create", "delete"]


async def test_a_test_message_that_is_refused_says_why(command: Command, on_the_sandbox: dict[str, str]) -> None:
    ran = await command("channels", "test", "sms", "--to", "+33639980190", *CODE, **on_the_sandbox)
    assert ran.code == 1 and "no such number" in ran.out
    ran = await command("channels", "test", "mastodon", "--to", "nobody", *CODE, **on_the_sandbox)
    assert ran.code == 1 and "nobody" in ran.out


async def test_a_picture_needs_words_and_rights_and_keeps_no_metadata(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "plan.png"
    file.write_bytes(drawing())
    described = ("--alt-fr", "Plan de la déviation", "--rights", "Ville de Valmerande")
    ran = await command("pictures", "add", "plan", file, *CODE, *described)
    assert ran.code == 0 and "added" in ran.out
    assert "replaced" in (await command("pictures", "add", "plan", file, *CODE, *described)).out
    assert (await command("pictures", "add", "plan", file, *CODE, "--alt-fr", " ", "--rights", "Ville")).code == 2
    names = {row["name"] for row in (await command("pictures", "list", *CODE, "--json")).json}
    assert "plan" in names
    broken = tmp_path / "plan.svg"
    broken.write_text("<svg/>")
    ran = await command("pictures", "add", "autre", broken, *CODE, *described)
    assert ran.code == 1 and ran.fault and "no picture" in str(ran.fault)
    assert (await command("pictures", "remove", "plan", *CODE)).code == 0
    assert (await command("pictures", "remove", "plan", *CODE)).code == 1


async def test_withdraw_decide_and_deliveries_tell_what_cannot_be_done(
    command: Command, connection: Connection
) -> None:
    ran = await command("withdraw", "12", "--reason", "wrong street")
    assert ran.code == 1 and ran.fault and "no announcement 12" in str(ran.fault)
    ran = await command("decide", "1-1", "again", "--reason", "seen")
    assert ran.code == 1 and ran.fault and "no delivery" in str(ran.fault)
    assert (await command("decide", "nonsense", "again", "--reason", "seen")).code == 2
    assert (await command("deliveries", "--json")).json == []
    assert (await command("deliveries", "--state", "lost")).code == 1
