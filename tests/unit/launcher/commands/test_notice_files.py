"""An officer's notice as a file, and the local time at which it goes out."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from hub.drafting import completed
from launcher.faults import Fault
from launcher.notice_files import local_time, moments_of, read_notice, written_time

pytestmark = pytest.mark.unit

PARIS = "Europe/Paris"
DUE = datetime(2026, 11, 26, 17, 30, tzinfo=UTC)


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    toml, json = tmp_path / "a.toml", tmp_path / "a.json"
    toml.write_text('matter = "Marché"\n[headline]\nfr = "Au marché"\n', encoding="utf-8")
    json.write_text('{"matter": "Marché", "headline": {"fr": "Au marché"}}', encoding="utf-8")
    assert read_notice(toml) == read_notice(json)


@pytest.mark.parametrize("text", ["matter = Marché", '{"matter": ', '{"a": 1, "a": 2}', "", " \n"])
def test_file_that_is_neither_is_told_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notice.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Fault, match=r"notice\.toml"):
        read_notice(path)


@pytest.mark.parametrize("text", ["2026-11-26 18:30", "2026-11-26T18:30", "2026-11-26 18:30:00"])
def test_local_time_is_read(text: str) -> None:
    assert local_time(text) == datetime(2026, 11, 26, 18, 30)


@pytest.mark.parametrize("text", ["tomorrow", "2026-11-26", "2026-11-26T18:30+01:00", "2026-02-30 10:00", "18:30"])
def test_what_is_no_local_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="2026-11-26 18:30"):
        local_time(text)


def test_skipped_time_is_refused_with_the_times_that_exist() -> None:
    with pytest.raises(Fault) as refused:
        moments_of(datetime(2027, 3, 28, 2, 30), PARIS)
    assert "does not exist" in refused.value.what
    assert "2027-03-28 01:30" in refused.value.mend
    assert "2027-03-28 03:30" in refused.value.mend


def test_repeated_time_has_two_moments_that_are_written_differently() -> None:
    first, second = moments_of(datetime(2026, 10, 25, 2, 30), PARIS)
    assert written_time(first, PARIS, twice=True) == "2026-10-25T02:30+02:00"
    assert written_time(second, PARIS, twice=True) == "2026-10-25T02:30+01:00"


def test_left_out_fields_are_filled_in_sensibly() -> None:
    written, faults = completed({"headline": {"fr": "Marché fermé"}}, PARIS, DUE)
    assert faults == ()
    assert written["matter"] == "Marché fermé (2026-11-26)"
    assert written["revision"] == 1
    assert written["onset"] == "2026-11-26T18:30:00+01:00"


def test_long_headline_still_makes_a_matter() -> None:
    written, _ = completed({"headline": {"fr": "x" * 600}}, PARIS, DUE)
    assert len(written["matter"]) == 200
    assert written["matter"].endswith("(2026-11-26)")


def test_what_the_officer_wrote_wins() -> None:
    written, _ = completed({"matter": "M", "revision": 4, "onset": "2026-12-01T10:00:00+01:00"}, PARIS, DUE)
    assert (written["matter"], written["revision"], written["onset"]) == ("M", 4, "2026-12-01T10:00:00+01:00")


@pytest.mark.parametrize("value", ["2026-12-01 10:00", datetime(2026, 12, 1, 10)])
def test_local_times_of_the_file_get_the_offset_of_their_zone(value: object) -> None:
    written, faults = completed({"expires": value}, PARIS, DUE)
    assert faults == ()
    assert written["expires"] == "2026-12-01T10:00:00+01:00"


@pytest.mark.parametrize("value", ["2027-03-28 02:30", "2026-10-25 02:30"])
def test_local_time_of_the_file_that_is_skipped_or_repeated_is_a_fault(value: str) -> None:
    _, (fault,) = completed({"expires": value}, PARIS, DUE)
    assert fault.where == "expires"
    assert "+02:00" in fault.mend and "+01:00" in fault.mend
