"""What a bench prints last: medians as flat keys, and beside them where they come from."""

import io
import json

import pytest
from rich.console import Console

from bench.report import Report, Round
from bench.statements import Statement, shortened
from bench.usage import Used

pytestmark = pytest.mark.unit


def three_rounds() -> Report:
    report = Report("email", {"recipients": 300})
    for per_s, cpu, peak in ((12_345.6, 3.0, 100.0), (9_000.0, 1.0, 130.0), (11_000.0, 2.0, 90.0)):
        report.rounds.append(
            Round(
                {"mails_per_s": per_s, "p50_ms": per_s / 1e5},
                {"core": Used(cpu, peak)},
                {"send": 3, "render": 1},
                {"hub/turn.py:Turn.run": 4},
                [Statement("SELECT 1", 10, 0.5, 10)],
            )
        )
    return report


def test_medians_stand_under_flat_keys_beside_settings() -> None:
    found = json.loads(three_rounds().as_json())
    assert (found["bench"], found["recipients"], found["rounds"]) == ("email", 300, 3)
    assert found["mails_per_s"] == 11_000
    assert found["p50_ms"] == 0.11
    assert found["spread"]["mails_per_s"] == [9_000, 11_000, 12_346]
    assert found["faults"] == []


def test_process_has_the_median_of_its_time_and_the_highest_of_its_memory() -> None:
    assert json.loads(three_rounds().as_json())["processes"] == {"core": {"cpu_s": 2.0, "peak_mb": 130.0}}


def test_shares_of_steps_are_over_all_rounds_and_make_one() -> None:
    found = json.loads(three_rounds().as_json())
    assert found["steps"] == {"send": 0.75, "render": 0.25}
    assert found["statements"] == [{"text": "SELECT 1", "calls": 10, "seconds": 0.5, "rows": 10}]


def test_json_is_one_line() -> None:
    assert "\n" not in three_rounds().as_json()


def test_tables_show_figures_processes_steps_and_faults() -> None:
    report = three_rounds()
    report.faults.append("3 mails are missing")
    shown = io.StringIO()
    report.show(Console(file=shown, width=120))
    text = shown.getvalue()
    for expected in ("mails_per_s", "11,000", "core", "75.0%", "SELECT 1", "Not as it must be: 3 mails are missing."):
        assert expected in text


def test_statement_is_shown_on_one_line_and_cut() -> None:
    assert shortened("SELECT 1\n  FROM there") == "SELECT 1 FROM there"
    assert len(shortened("x" * 500)) < 100
