"""What an officer's local time means, and the event that a notice becomes."""

from datetime import UTC, datetime, timedelta

import pytest

from hub.scheduling import TOPIC, URGENT_TOPIC, Repeated, Skipped, event_of, instant, key_of, message_of
from schemas.cloudevents import decode
from store.notices import Notice

pytestmark = pytest.mark.unit

PARIS = "Europe/Paris"


def notice(**more: object) -> Notice:
    fields: dict[str, object] = {
        "id": 3,
        "authority_id": 1,
        "authority": "96001",
        "content": {"authority": "96001", "matter": "Marché", "revision": 2},
        "urgent": False,
        "local_time": "2026-11-26T18:30",
        "due_at": datetime(2026, 11, 26, 17, 30, tzinfo=UTC),
        "tolerance": timedelta(minutes=30),
        "state": "scheduled",
    }
    return Notice(**(fields | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        (datetime(2026, 11, 26, 18, 30), datetime(2026, 11, 26, 17, 30, tzinfo=UTC)),
        (datetime(2026, 7, 14, 11, 0), datetime(2026, 7, 14, 9, 0, tzinfo=UTC)),
        (datetime(2027, 3, 28, 1, 59, 59), datetime(2027, 3, 28, 0, 59, 59, tzinfo=UTC)),
        (datetime(2027, 3, 28, 3, 0), datetime(2027, 3, 28, 1, 0, tzinfo=UTC)),
    ],
)
def test_local_time_is_read_in_the_zone_of_the_authority(local: datetime, utc: datetime) -> None:
    assert instant(local, PARIS) == utc


def test_skipped_hour_is_told_with_the_nearest_times_that_exist() -> None:
    assert instant(datetime(2027, 3, 28, 2, 30), PARIS) == Skipped(
        before=datetime(2027, 3, 28, 0, 30, tzinfo=UTC),  # 01:30
        after=datetime(2027, 3, 28, 1, 30, tzinfo=UTC),  # 03:30
    )


def test_skipped_half_hour_is_told_too() -> None:
    assert instant(datetime(2026, 10, 4, 2, 15), "Australia/Lord_Howe") == Skipped(
        before=datetime(2026, 10, 3, 15, 15, tzinfo=UTC),  # 01:45 at +10:30
        after=datetime(2026, 10, 3, 15, 45, tzinfo=UTC),  # 02:45 at +11
    )


@pytest.mark.parametrize("day", [datetime(2026, 10, 25), datetime(2027, 10, 31)])
def test_repeated_hour_is_told_with_both_instants(day: datetime) -> None:
    midnight = day.replace(tzinfo=UTC)
    assert instant(day.replace(hour=2, minute=30), PARIS) == Repeated(
        first=midnight + timedelta(minutes=30), second=midnight + timedelta(minutes=90)
    )


@pytest.mark.parametrize("hour", [1, 3])
def test_hours_beside_a_repeated_one_come_once(hour: int) -> None:
    assert isinstance(instant(datetime(2026, 10, 25, hour, 30), PARIS), datetime)


def test_time_with_an_offset_is_no_local_time() -> None:
    with pytest.raises(ValueError, match="no offset"):
        instant(datetime(2026, 11, 26, 18, 30, tzinfo=UTC), PARIS)


def test_event_of_a_notice_is_the_same_whichever_clock_makes_it() -> None:
    assert event_of(notice()) == event_of(notice(state="emitted"))
    assert event_of(notice()).id == "notice-3-2-2026-11-26T18:30"


def test_event_of_a_notice_is_as_old_as_its_time_is_past() -> None:
    assert event_of(notice()).time == datetime(2026, 11, 26, 17, 30, tzinfo=UTC)


def test_message_of_a_notice_is_an_event_like_any_other() -> None:
    message = message_of(event_of(notice()), urgent=False, key=key_of(notice().content))
    assert message.key == "96001:Marché".encode()
    assert decode(message.value, message.headers).data == notice().content


@pytest.mark.parametrize(("urgent", "topic"), [(True, URGENT_TOPIC), (False, TOPIC)])
def test_urgent_notice_takes_the_urgent_topic(urgent: bool, topic: str) -> None:
    assert message_of(event_of(notice()), urgent=urgent, key="k").topic == topic
