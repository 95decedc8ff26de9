from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publishers.x.budget import LOOK_AGAIN, WINDOWS, Spent, free_again, month_of, pause, period_ends

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def window(name: str, remaining: int | str, seconds: int | str) -> dict[str, str]:
    reset = str(int((NOW + timedelta(seconds=seconds)).timestamp())) if isinstance(seconds, int) else seconds
    return {f"{name}-limit": "100", f"{name}-remaining": str(remaining), f"{name}-reset": reset}


@pytest.mark.parametrize("name", WINDOWS)
def test_window_that_is_used_up_frees_at_its_end(name: str) -> None:
    assert free_again(window(name, 0, 90)) == NOW + timedelta(seconds=90)
    assert free_again(window(name, 1, 90)) is None


def test_longest_of_the_used_up_windows_counts() -> None:
    headers = (
        window("x-rate-limit", 0, 60) | window("x-user-limit-24hour", 0, 7200) | window("x-app-limit-24hour", 5, 9999)
    )
    assert free_again(headers) == NOW + timedelta(hours=2)
    assert pause(headers, NOW) == 7200


@pytest.mark.parametrize("reset", ["soon", "", "-5", "9" * 30, "٧"])
def test_end_that_cannot_be_read_is_none(reset: str) -> None:
    assert free_again(window("x-rate-limit", 0, reset)) is None
    assert pause(window("x-rate-limit", 0, reset), NOW) is None


def test_pause_is_the_end_of_the_window_even_where_x_does_not_say_what_remains() -> None:
    assert pause({"x-rate-limit-reset": str(int(NOW.timestamp()) + 30)}, NOW) == 30
    assert pause({"retry-after": "7"}, NOW) == 7
    assert pause(window("x-rate-limit", 0, -30), NOW) == 0
    assert pause({}, NOW) is None


@given(
    st.dictionaries(
        st.sampled_from([f"{w}-{p}" for w in WINDOWS for p in ("remaining", "reset")]), st.text(max_size=12)
    )
)
def test_no_header_breaks_it(headers: dict[str, str]) -> None:
    asked = pause(headers, NOW)
    assert asked is None or asked >= 0


def test_usage_cap_is_lifted_when_its_period_ends() -> None:
    assert period_ends("Daily", NOW) == datetime(2026, 11, 25, tzinfo=UTC)
    assert period_ends("Monthly", NOW) == datetime(2026, 12, 1, tzinfo=UTC)
    assert period_ends("Monthly", datetime(2026, 12, 31, 23, 59, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)
    assert period_ends("Monthly", datetime(2026, 1, 31, tzinfo=UTC)) == datetime(2026, 2, 1, tzinfo=UTC)


@given(st.datetimes(datetime(2011, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)))
def test_month_ends_after_now_and_begins_before(now: datetime) -> None:
    ends = period_ends("Monthly", now)
    assert month_of(now) <= now < ends and ends.day == 1
    assert month_of(ends - timedelta(microseconds=1)) == month_of(now)


def test_count_of_the_month_is_believed_for_a_while() -> None:
    spent = Spent(month_of(NOW), NOW, seen=3, own=2)
    assert spent.posts == 5
    assert not spent.is_stale(NOW + LOOK_AGAIN)
    assert spent.is_stale(NOW + LOOK_AGAIN + timedelta(seconds=1))
    assert spent.is_stale(datetime(2026, 12, 1, tzinfo=UTC))
