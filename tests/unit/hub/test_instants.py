"""Local times, whatever the zone and the day: every one is an instant, two, or none with its neighbours."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.scheduling import Repeated, Skipped, instant

pytestmark = pytest.mark.unit

ZONES = st.sampled_from(
    [
        "Europe/Paris",
        "America/Martinique",
        "Indian/Reunion",
        "Pacific/Noumea",
        "America/Miquelon",
        "Australia/Lord_Howe",
    ]
)
LOCAL = st.datetimes(datetime(2024, 1, 1), datetime(2040, 1, 1))
HOURS_OF_CHANGE = st.builds(
    lambda year, month, day, minute: datetime(year, month, day, 1 + minute // 60, minute % 60),
    st.integers(2024, 2037),
    st.sampled_from([3, 4, 10, 11]),
    st.integers(1, 30),
    st.integers(0, 179),
)


@given(LOCAL | HOURS_OF_CHANGE, ZONES)
def test_every_local_time_is_read_back_from_its_instant(local: datetime, zone: str) -> None:
    there = ZoneInfo(zone)

    def read(moment: datetime) -> datetime:
        return moment.astimezone(there).replace(tzinfo=None, fold=0)

    found = instant(local, zone)
    match found:
        case Skipped(before, after):
            assert read(before) < local < read(after), "it does not exist; these do"
            assert before < after
        case Repeated(first, second):
            assert read(first) == read(second) == local.replace(fold=0)
            assert timedelta(0) < second - first <= timedelta(hours=1)
        case _:
            assert found.tzinfo is UTC and read(found) == local.replace(fold=0)


@given(LOCAL)
def test_zone_without_summer_time_has_neither_hour(local: datetime) -> None:
    assert instant(local, "Indian/Reunion") == (local - timedelta(hours=4)).replace(tzinfo=UTC)


@given(st.integers(2024, 2037), st.integers(0, 59))
def test_paris_skips_an_hour_in_spring_and_repeats_one_in_autumn(year: int, minute: int) -> None:
    def last_sunday(month: int) -> datetime:
        day = datetime(year, month, 31, 2, minute)
        return day - timedelta(days=(day.weekday() + 1) % 7)

    assert isinstance(instant(last_sunday(3), "Europe/Paris"), Skipped)
    assert isinstance(instant(last_sunday(10), "Europe/Paris"), Repeated)
