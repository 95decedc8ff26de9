"""A bench, small: its shape and its accounts. What it measures is no test's business: machines differ."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from launcher.home import find_home

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("bench")]

ROOT = Path(__file__).resolve().parents[2]


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    jars = find_home().jars
    jars.mkdir(parents=True, exist_ok=True)
    (home / "jars").symlink_to(jars)  # fetched once a machine
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TAMBOUR_")}
    return subprocess.run(
        [sys.executable, "-m", "launcher", "bench", *arguments],
        env=environ | {"TAMBOUR_HOME": str(home), "PYTHONPATH": str(ROOT)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=280,
    )


def bench(home: Path, *arguments: str) -> dict[str, Any]:
    done = run(home, *arguments, "--json")
    if "is not on this machine" in done.stderr or "npm can't install" in done.stderr:
        if os.environ.get("CI") == "true":
            pytest.fail(done.stderr)
        pytest.skip(done.stderr)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def test_bench_of_mail_accounts_for_every_delivery(tmp_path: Path) -> None:
    report = bench(tmp_path, "email", "--recipients", "300", "--rounds", "1")
    assert (report["bench"], report["recipients"], report["rounds"]) == ("email", 300, 1)
    assert (report["sent"], report["unaccounted"], report["faults"]) == (300, 0, [])
    for key in ("mails_per_s", "ceiling_per_s", "peer_per_s", "worker_rss_mb"):
        assert report[key] > 0
        assert len(report["spread"][key]) == 3
    assert {"core", "deliver-bulk", "kafka", "postgres", "smtp-sink", "ceiling", "smtp-source"} <= set(
        report["processes"]
    )
    assert all(used["cpu_s"] >= 0 and used["peak_mb"] >= 0 for used in report["processes"].values())
    assert report["steps"] and sum(report["steps"].values()) == pytest.approx(1, abs=0.01)
    assert not list(tmp_path.glob("bench-*"))  # nothing is left of a run that went well


def test_bench_of_fan_out_counts_every_row_of_every_size(tmp_path: Path) -> None:
    report = bench(tmp_path, "fanout", "--recipients", "50,450", "--rounds", "1")
    assert (report["unaccounted_50"], report["unaccounted_450"], report["faults"]) == (0, 0, [])
    assert report["rows_per_s"] == report["rows_per_s_450"] > 0
    assert report["core_rss_mb"] > 0 and report["ceiling_per_s"] > 0


def test_bench_of_intake_accounts_for_every_event_and_repeat(tmp_path: Path) -> None:
    report = bench(tmp_path, "intake", "--events", "60", "--rounds", "2")
    assert (report["unaccounted"], report["faults"]) == (0, [])
    assert report["announced"] + report["repeats"] == 60
    assert all(report[key] > 0 for key in ("events_per_s", "unrouted_per_s", "ceiling_per_s"))


def test_bench_of_tracking_asks_every_question(tmp_path: Path) -> None:
    report = bench(tmp_path, "tracking", "--deliveries", "10000", "--rounds", "1")
    asked = [key for key in report["spread"] if key.endswith("_p95_ms")]
    assert {"story_p95_ms", "list_announcement_p95_ms", "receipt_p95_ms", "totals_day_p95_ms"} <= set(asked)
    assert all(report[key] > 0 for key in (*asked, "p95_ms", "purge_s"))
    assert (report["rounds"], report["faults"], list(report["processes"])) == (1, [], ["postgres"])


def test_bench_of_sms_has_a_receipt_at_every_delivery(tmp_path: Path) -> None:
    report = bench(tmp_path, "sms", "--recipients", "300", "--rounds", "1")
    assert (report["delivered"], report["unaccounted"], report["repeated"], report["faults"]) == (300, 0, 0, [])
    assert all(report[key] > 0 for key in ("submits_per_s", "receipts_per_s", "ceiling_per_s", "core_rss_mb"))
    assert {"core", "deliver-bulk", "smsc", "ceiling"} <= set(report["processes"])


def test_bench_of_social_posts_everything_within_the_limits(tmp_path: Path) -> None:
    report = bench(
        tmp_path, "social", *"--announcements 8 --accounts 1 --allowance 4 --period 4 --workers 1 --rounds 1".split()
    )
    assert (report["sent"], report["unaccounted"], report["faults"]) == (16, 0, [])
    assert 0 < report["utilisation"] <= 1
    assert 0 <= report["wasted"] < 0.5


def test_bench_of_fairness_times_each_alone_and_together(tmp_path: Path) -> None:
    report = bench(tmp_path, "fairness", *"--large 600 --medium 60 --small 5 --rounds 1".split())
    assert report["faults"] == []
    for name in ("large", "medium", "small"):
        assert report[f"ratio_{name}"] == pytest.approx(
            report[f"{name}_together_s"] / report[f"{name}_alone_s"], rel=0.01
        )
    assert report["sent"] >= 665 and report["core_rss_mb"] > 0 and report["worker_rss_mb"] > 0
