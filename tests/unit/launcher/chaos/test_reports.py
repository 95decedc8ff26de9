"""What a scenario's report breaks on, and how several runs are told as one distribution."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.chaos.audit import Count, Journals
from launcher.chaos.report import Report, Spread, spread_of_runs, summary

pytestmark = pytest.mark.unit

WELL = Report("sender-killed", 7, ["email"], deliveries=100, repeated=12, repeat_bound=400, most_times=2)


def test_repeats_within_the_bound_break_nothing() -> None:
    assert WELL.faults == []
    assert json.loads(WELL.as_json())["faults"] == []
    assert "held" in WELL.as_words()


@pytest.mark.parametrize(
    "broken",
    [
        {"lost": 1},
        {"repeated": 401},
        {"most_times": 3},
        {"repeated_idempotent": 1},
        {"sigterm": {"lost": 0, "repeated": 1}},
        {"unaccounted": 1},
        {"agree": False},
        {"settled": False},
        {"broken": ["its own"]},
    ],
)
def test_each_broken_promise_is_told_in_words(broken: dict[str, object]) -> None:
    report = replace(WELL, **broken)  # type: ignore[arg-type]
    assert len(report.faults) == 1
    assert "BROKEN" in report.as_words()
    assert summary([WELL, report])["broken"] == ["sender-killed"]


def test_runs_are_told_as_a_distribution_and_the_tightest_bound() -> None:
    runs = [replace(WELL, repeated=repeated, repeat_bound=bound) for repeated, bound in ((3, 400), (0, 800), (9, 400))]
    told = spread_of_runs(runs)
    assert (told["runs"], told["repeat_bound"], told["repeated"]) == (3, 400, [3, 0, 9])
    assert [told[f"repeated_{which}"] for which in ("min", "median", "p95", "max")] == [0, 3, 9, 9]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50))
def test_spread_is_in_order_and_p95_leaves_at_most_a_twentieth_above(values: list[int]) -> None:
    spread = Spread.of(values)
    assert spread.min <= spread.median <= spread.max and spread.min <= spread.p95 <= spread.max
    assert sum(value > spread.p95 for value in values) <= len(values) / 20


def test_what_was_before_a_scenario_is_left_out_of_its_count() -> None:
    before = Count(10, Counter(sent=9, unknown=1), 0, 3, 0, ["old"])
    after = Count(25, Counter(sent=23, unknown=1, failed=1), 1, 8, 0, ["old", "new"])
    assert after.since(before) == Count(15, Counter(sent=14, failed=1), 1, 5, 0, ["new"])


def test_most_times_counts_what_was_accepted_since() -> None:
    before = Journals({"email": Counter(a=2, b=1)})
    after = Journals({"email": Counter(a=2, b=2, c=2), "sms": Counter(d=5)})
    assert after.since(before).accepted == {"email": Counter(b=1, c=2), "sms": Counter(d=5)}
    assert after.since(before).most("email") == 2
    assert after.since(after).most("email") == 0
