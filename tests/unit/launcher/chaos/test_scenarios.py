"""The scenarios that there are: listed, told in the documentation, and those that mix."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from launcher.chaos.hub import role_of
from launcher.chaos.load import AREAS, Audience, event_number
from launcher.chaos.run import by_needs
from launcher.chaos.scenarios import SCENARIOS
from launcher.chaos.scenarios.clocks import AHEAD_S
from launcher.chaos.soak import strikes
from launcher.main import app
from streams.worker import ROLES

pytestmark = pytest.mark.unit

GUARANTEES = Path(__file__).resolve().parents[4] / "docs" / "guarantees.md"


def test_every_scenario_is_listed_with_one_line() -> None:
    done = CliRunner().invoke(app, ["chaos", "--list"])
    assert done.exit_code == 0
    lines = [line for line in done.output.splitlines() if line.strip()]
    assert [line.split()[0] for line in lines] == list(SCENARIOS)


def test_every_scenario_stands_in_the_documentation() -> None:
    told = GUARANTEES.read_text(encoding="utf-8")
    assert [name for name in SCENARIOS if f"`{name}`" not in told] == []


@pytest.mark.parametrize(
    "arguments", [["--scenario", "no-such"], ["--suite", "--away", "kafka"], ["--soak", "1", "--scenario", "kills"]]
)
def test_what_is_not_understood_is_said_before_anything_starts(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["chaos", *arguments]).exit_code == 2


def test_scenarios_with_equal_needs_share_a_hub_and_none_is_left_out() -> None:
    groups = by_needs(SCENARIOS)
    assert sorted(name for _, names in groups for name in names) == sorted(SCENARIOS)
    assert len({needs for needs, _ in groups}) == len(groups) < len(SCENARIOS)


def test_soak_mixes_only_what_an_ordinary_hub_can_take() -> None:
    mixed = strikes()
    assert {"core-killed", "sender-killed", "sender-frozen", "kafka-away", "postgres-killed"} <= mixed.keys()
    assert all(SCENARIOS[name].needs.around is None for name in mixed)


def test_one_more_worker_counts_as_its_role() -> None:
    assert [role_of(name) for name in ("deliver-bulk-2", "deliver-bulk", "core", "kafka", "kafka-2")] == [
        *("deliver-bulk", "deliver-bulk", "core", "kafka", "kafka-2")
    ]


def test_every_worker_has_a_wrong_clock() -> None:
    assert AHEAD_S.keys() == set(ROLES)
    assert all(AHEAD_S.values())


def test_an_event_about_all_areas_reaches_everybody_once() -> None:
    from random import Random

    message = event_number(3, Random(1), areas=AREAS, severities={"Minor": 1})
    assert message.topic == "municipal.events"
    assert all(f'"zone-{number}"'.encode() in message.value for number in range(AREAS))
    assert Audience(30, 2).of(AREAS) == 302
