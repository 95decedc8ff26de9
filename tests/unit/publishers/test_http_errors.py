from datetime import UTC, datetime, timedelta

import pytest

from publishers.base import Permanent, PublishError, Transient, Unknown, Untried
from publishers.http_errors import by_status, is_settings_fault, retry_after, until
from publishers.http_exchange import Exchange

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def test_every_status_means_something_and_what_proves_nothing_is_unknown() -> None:
    for status in range(100, 600):
        error = by_status(status, "why", code="c", retry_after=3)
        assert isinstance(error, PublishError) and (error.reason, error.code) == ("why", "c")
        if status < 300 or (status >= 500 and status not in (501, 503, 505)):
            assert type(error) is Unknown, status
        if isinstance(error, Transient):
            assert error.retry_after == 3
        if is_settings_fault(status):
            assert type(error) is Transient, status


@pytest.mark.parametrize("status", [400, 410, 413, 422, 451])
def test_refusal_of_the_message_is_permanent_and_spares_the_address(status: int) -> None:
    assert by_status(status, "why") == Permanent("why", address_dead=False)


def test_reply_that_will_not_come_depends_on_whether_anything_left() -> None:
    assert type(Exchange(begun=False).lost("cut")) is Untried
    assert type(Exchange(begun=True).lost("cut")) is Unknown


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Tue, 24 Nov 2026 08:01:00 GMT", 60.0),
        ("Tue, 24 Nov 2026 07:00:00 GMT", 0.0),
        ("9" * 400, None),
        ("1.5", None),
        ("²", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, expected: float | None) -> None:
    assert retry_after({"retry-after": value}, NOW) == expected


def test_no_header_asks_for_nothing() -> None:
    assert retry_after({}, NOW) is None


def test_moment_without_a_zone_is_in_utc() -> None:
    assert until((NOW + timedelta(seconds=5)).replace(tzinfo=None), NOW) == 5.0
