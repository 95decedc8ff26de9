"""What commands refuse before they touch anything: exit code 2 for what is not understood, 1 for what can't be done."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from launcher.commands import announce, deadletters, doctor, emit, holds, rules, track
from launcher.faults import Fault

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[4]
DEMO = ROOT / "demo"

app = typer.Typer(pretty_exceptions_enable=False)
for module in (announce, deadletters, doctor, emit, holds, rules, track):
    module.register(app)


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TAMBOUR_HOME", str(tmp_path / "home"))
    for name in ("TAMBOUR_DATABASE", "TAMBOUR_KAFKA", "TAMBOUR_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        "announce",
        "announce x.toml --list",
        "announce --list --cancel 3",
        "announce x.toml --at tomorrow",
        "announce x.toml --which third",
        "announce --list --state lost",
        "announce --cancel three",
        "announce --cancel 3 --check",
        "announce x.toml --state asks",
        "emit",
        "emit x.json --topic tambour.orders.bulk",
        "track",
        "rules import x.csv",
        "deadletters show three",
        "deadletters show 0",
        "deadletters list --state lost",
        "hold",
        "hold channel sms",
        "hold channel --reason x",
        "hold hub 3 --reason x",
        "hold town x --reason x",
        "hold hub --list",
        "release channel",
        "release hub x",
    ],
)
def test_what_is_not_understood_exits_2(arguments: str) -> None:
    assert CliRunner().invoke(app, arguments.split()).exit_code == 2


@pytest.mark.parametrize(
    "arguments", ["track x", "hold --list", "deadletters list", "announce --list", "rules check x.csv --authority 1"]
)
def test_without_settings_a_command_says_which_are_missing(arguments: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("type")
    fault = CliRunner().invoke(app, arguments.split()).exception
    assert isinstance(fault, Fault)
    assert "TAMBOUR_DATABASE" in fault.what


@pytest.mark.parametrize(
    "command",
    ["emit", "announce", "track", "rules check", "rules import", "deadletters list", "deadletters show",
     "deadletters put-back", "hold", "release", "doctor"],
)  # fmt: skip
def test_every_command_explains_itself(command: str) -> None:
    help_ = CliRunner().invoke(app, [*command.split(), "--help"])
    assert help_.exit_code == 0
    assert "Exit codes" in help_.stdout or "Example" in help_.stdout


def test_emit_tells_every_fault_of_every_file_and_sends_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '{"specversion": "1.0", "id": "1", "source": "/s", "type": "fr.tambour.road-work"}'
    )
    (tmp_path / "b.jsonl").write_text('{"specversion": "1.0"}\n{"specversion": \n')
    fault = CliRunner().invoke(app, ["emit", "a.json", "b.jsonl"]).exception
    assert isinstance(fault, Fault)
    assert [line.split(" ")[0] for line in fault.what.splitlines()] == ["a.json:1:", "b.jsonl:1:", "b.jsonl:2:"]
    assert "fr.tambour.road-works" in fault.what
    assert "Nothing was sent" in fault.mend


def test_rules_of_the_demo_are_checked_without_a_database() -> None:
    arguments = ["rules", "check", str(DEMO / "rules.csv"), "--authority-file", str(DEMO / "authority.toml")]
    checked = CliRunner().invoke(app, arguments)
    assert checked.exit_code == 0, checked.exception
    assert "no fault" in checked.stdout


def test_every_fault_of_rules_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "rules.csv").write_text(
        "type;severity;areas;themes;lane;channels;languages;template\n"
        "road-work;*;*;travaux;routine;*;*;*\n"
        "road-works;*;center;travaux;slow;*;*;*\n"
    )
    arguments = ["rules", "check", "rules.csv", "--authority-file", str(DEMO / "authority.toml")]
    fault = CliRunner().invoke(app, arguments).exception
    assert isinstance(fault, Fault)
    assert [line.split(" ")[0] for line in fault.what.splitlines()] == ["rules.csv:2:", "rules.csv:3:", "rules.csv:3:"]
    assert "Did you mean 'road-works'?" in fault.what


def test_authority_file_says_which_authorities_it_has() -> None:
    arguments = ["rules", "check", str(DEMO / "rules.csv"), "--authority-file", str(DEMO / "authority.toml")]
    fault = CliRunner().invoke(app, [*arguments, "--authority", "1"]).exception
    assert isinstance(fault, Fault)
    assert "96001" in fault.mend
