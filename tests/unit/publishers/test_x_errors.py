from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from publishers.base import PublishError
from publishers.x.client import Reply
from publishers.x.errors import ENTRIES, Means, Problem, is_fresh, recognise, refusal

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def snowflake(made: datetime) -> str:
    return str((int(made.timestamp() * 1000) - 1_288_834_974_657) << 22)


def test_every_entry_can_be_reached_by_all_that_it_names() -> None:
    for entry in ENTRIES:
        for number in entry.numbers:
            assert recognise(400, Problem.model_validate({"errors": [{"code": number}]})) is entry
        for kind in entry.kinds:
            assert recognise(400, Problem(type=f"https://api.x.com/2/problems/{kind}")) is entry
        for phrase in entry.says:
            assert recognise(400, Problem(detail=phrase.capitalize())) is entry
        if entry.status is not None:
            assert recognise(entry.status, Problem()) is entry
        assert entry.numbers or entry.kinds or entry.says or entry.status, "nothing would be known by it"


def test_only_what_the_account_must_mend_is_a_fault_of_the_settings() -> None:
    for entry in ENTRIES:
        problem = {"errors": [{"code": min(entry.numbers)}]} if entry.numbers else {"detail": (*entry.says, "")[0]}
        if not entry.numbers and not entry.says:
            continue
        body = Problem.model_validate(problem).model_dump_json().encode()
        with capture_logs() as logs:
            refusal(Reply(418, {}, body), "valmerande", NOW)
        assert bool(logs) is (entry.means is Means.SETTINGS), entry.code


@given(st.integers(300, 599), st.binary(max_size=60))
def test_any_answer_becomes_an_error_with_words(status: int, content: bytes) -> None:
    with capture_logs():
        error = refusal(Reply(status, {}, content), "valmerande", NOW)
    assert isinstance(error, PublishError) and error.reason and error.code


@pytest.mark.parametrize("wait", [0, 30, 59])
def test_post_made_a_moment_ago_is_fresh(wait: int) -> None:
    assert is_fresh(snowflake(NOW - timedelta(seconds=wait)), NOW)


@pytest.mark.parametrize("reference", [None, "", "abc", "20", snowflake(NOW - timedelta(seconds=61))])
def test_older_post_is_not(reference: str | None) -> None:
    assert not is_fresh(reference, NOW)


def test_number_that_no_clock_reaches_is_not_fresh() -> None:
    assert not is_fresh("9" * 40, NOW)
