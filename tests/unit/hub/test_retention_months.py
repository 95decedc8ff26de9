"""Which month is the first that is kept."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.retention import cutoff, month

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("now", "months", "first"),
    [
        ("2026-11-24", 12, "2025-11"),
        ("2026-01-01", 1, "2025-12"),
        ("2026-12-31", 0, "2026-12"),
        ("2024-02-29", 24, "2022-02"),
    ],
)
def test_whole_months_are_kept_besides_the_one_that_runs(now: str, months: int, first: str) -> None:
    assert cutoff(datetime.fromisoformat(now).replace(tzinfo=UTC), months) == month(first)


def test_a_month_is_that_of_utc() -> None:
    paris = datetime(2026, 2, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    assert cutoff(paris, 0) == month("2026-01")


@given(st.integers(2000, 2100), st.integers(1, 12), st.integers(1, 28), st.integers(0, 240))
def test_no_more_than_the_months_and_the_one_that_runs_are_kept(year: int, number: int, day: int, months: int) -> None:
    now = datetime(year, number, day, 23, 59, tzinfo=UTC)
    first = cutoff(now, months)
    assert first.day == 1 and (first.hour, first.minute) == (0, 0)
    assert (now.year - first.year) * 12 + now.month - first.month == months


@pytest.mark.parametrize("text", ["2026", "2026-13", "january", "2026-01-01", ""])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        month(text)
