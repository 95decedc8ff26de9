"""Chaos, small: the whole hub under kill -9, and each server away for a while. CI runs larger ones besides."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from launcher.home import find_home

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("chaos")]

ROOT = Path(__file__).resolve().parents[2]


def chaos(home: Path, *arguments: str) -> dict[str, Any]:
    return lines_of(home, *arguments)[-1]


def lines_of(home: Path, *arguments: str) -> list[dict[str, Any]]:
    jars = find_home().jars
    jars.mkdir(parents=True, exist_ok=True)
    (home / "jars").symlink_to(jars)  # fetched once a machine
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TAMBOUR_")}
    done = subprocess.run(
        [sys.executable, "-m", "launcher", "chaos", *arguments, "--json"],
        env=environ | {"TAMBOUR_HOME": str(home), "PYTHONPATH": str(ROOT)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=560,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_chaos_keeps_every_promise(tmp_path: Path) -> None:
    report = chaos(tmp_path, "--events", "150", "--recipients", "30", "--kills", "3", "--seed", "42")
    accounts = set(report["channels"]) - {"email", "sms"}
    assert {"mastodon", "x", "facebook", "bluesky", "telegram"} <= accounts
    assert report["deliveries"] == (150 + 40) * (30 + len(accounts))
    assert (report["lost"], report["unaccounted"], report["repeated_idempotent"]) == (0, 0, 0)
    assert report["repeated"] <= report["repeat_bound"]
    assert report["sigterm"] == {"lost": 0, "repeated": 0}
    assert report["agree"] and report["settled"]
    assert len(report["blows"]) == 3 + 3 + 1 + 4
    assert not list(tmp_path.glob("chaos-*"))  # nothing is left of a run that went well


@pytest.mark.parametrize("server", ["kafka", "postgres", "provider"])
def test_everything_resumes_by_itself_when_a_server_was_away(tmp_path: Path, server: str) -> None:
    report = chaos(
        tmp_path, "--events", "60", "--recipients", "20", "--seed", "7", "--away", server, "--away-seconds", "10"
    )
    assert (report["lost"], report["repeated"], report["unaccounted"]) == (0, 0, 0)
    assert report["settled"] and report["agree"]


def test_several_runs_of_scenarios_that_share_a_hub_are_told_one_by_one_and_together(tmp_path: Path) -> None:
    names = ("sender-killed-again", "sender-frozen")
    *played, again, frozen, total = lines_of(tmp_path, "--scenario", ",".join(names), "--runs", "2", "--seed", "3")
    assert [one["scenario"] for one in played] == [names[0]] * 2 + [names[1]] * 2
    assert all((one["lost"], one["unaccounted"], one["faults"]) == (0, 0, []) for one in played)
    assert all(one["repeated"] <= one["repeat_bound"] and one["most_times"] <= 2 for one in played)
    assert all(one["repeated"] > 0 for one in played[:2]), "what was hit was in mid-window"
    assert again["runs"] == frozen["runs"] == 2
    assert again["repeated_max"] <= again["repeat_bound"] == 1200
    assert total["scenarios"] == 4 and total["broken"] == []
    assert not list(tmp_path.glob("chaos-*"))


def test_a_soak_accounts_for_all_that_it_mixed(tmp_path: Path) -> None:
    report = chaos(tmp_path, "--soak", "1", "--seed", "8")
    assert sum(report["figures"]["disturbances"].values()) >= 4
    assert report["faults"] == []
