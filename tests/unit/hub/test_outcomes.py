"""From what a publisher said to what is recorded."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import outcomes
from hub.outcomes import Circumstances
from hub.retry import Policy
from publishers.base import Outcome, Permanent, Receipt, Transient, Unclear, Unknown, Untried
from schemas.deliveries import ENDS, State, fold, standing
from schemas.lanes import Lane
from store.batches import Member
from store.deliveries import Due, Record

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 4, 8, 0, tzinfo=UTC)
GIVEN = Circumstances(
    now=NOW, expires=NOW + timedelta(days=1), lane=Lane.ROUTINE, rule=Unclear.SEND_ONCE_MORE, can_look_up=False
)
ANY_OUTCOME: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Receipt, st.none() | st.text(max_size=5)),
    st.builds(Transient, st.just("later"), retry_after=st.none() | st.floats(0, 10_000)),
    st.builds(Permanent, st.just("no")),
    st.builds(Unknown, st.just("cut")),
)
ANY_STATE = st.sampled_from([State.QUEUED, State.SENDING, State.RETRYING, State.UNKNOWN])
ANYWHERE = st.builds(
    Circumstances,
    now=st.just(NOW),
    expires=st.timedeltas(timedelta(hours=-1), timedelta(days=2)).map(NOW.__add__),
    lane=st.sampled_from(Lane),
    rule=st.sampled_from(Unclear),
    can_look_up=st.booleans(),
    unknowns=st.integers(0, 5),
    luck=st.floats(0, 1, exclude_max=True),
)


def member(state: State = State.QUEUED, tries: int = 0, attempt: int = 1) -> Member:
    return Member(7, "a@courriel.example", "fr", standing(state, attempt), tries)


def recorded(outcome: Outcome, given: Circumstances = GIVEN, of: Member | None = None) -> Record:
    record = outcomes.record_of(of or member(), outcome, given)
    assert record is not None
    return record


def test_receipt_is_sent_with_the_reference_and_the_address() -> None:
    record = recorded(Receipt("id-1", "250", "https://social.example/1"))
    assert (record.state, record.reference, record.code, record.url) == (
        State.SENT,
        "id-1",
        "250",
        "https://social.example/1",
    )
    assert record.tried and record.due is None


def test_untried_is_nothing_at_all() -> None:
    assert outcomes.record_of(member(), Untried("no connection"), GIVEN) is None


def test_refused_for_good_is_failed_with_the_providers_words() -> None:
    record = recorded(Permanent("no such mailbox", code="550"))
    assert (record.state, record.code, record.reason, record.due) == (State.FAILED, "550", "no such mailbox", None)


def test_refused_for_now_waits_for_another_try() -> None:
    record = recorded(Transient("busy", code="451"))
    assert record.state is State.RETRYING
    assert record.due == Due("retry", NOW + timedelta(seconds=4))


def test_refused_for_now_too_late_expires_if_it_was_never_handed_over() -> None:
    soon = replace(GIVEN, expires=NOW + timedelta(seconds=1))
    assert recorded(Transient("busy"), soon).state is State.EXPIRED
    assert recorded(Transient("busy"), soon, member(State.UNKNOWN)).state is State.FAILED


def test_refused_for_now_too_often_fails() -> None:
    record = recorded(Transient("busy"), replace(GIVEN, policy=Policy(tries=3)), member(State.RETRYING, tries=2))
    assert record.state is State.FAILED
    assert record.reason is not None and record.reason.startswith("busy; ")


@pytest.mark.parametrize(
    ("rule", "earlier", "lane", "kind", "minutes"),
    [
        (Unclear.SEND_ONCE_MORE, 0, Lane.ROUTINE, "retry", 0),
        (Unclear.SEND_ONCE_MORE, 1, Lane.ROUTINE, "resolve", 10),
        (Unclear.SEND_AGAIN, 3, Lane.ROUTINE, "retry", 0),
        (Unclear.WAIT, 0, Lane.ROUTINE, "resolve", 10),
        (Unclear.WAIT, 0, Lane.URGENT, "resolve", 1),
    ],
)
def test_unclear_outcome_waits_as_its_channel_says(
    rule: Unclear, earlier: int, lane: Lane, kind: str, minutes: int
) -> None:
    record = recorded(Unknown("cut"), replace(GIVEN, rule=rule, unknowns=earlier, lane=lane))
    assert record.state is State.UNKNOWN and record.due is not None
    assert record.due.kind == kind
    if minutes:
        assert record.due.at == NOW + timedelta(minutes=minutes)


@given(ANY_OUTCOME, ANY_STATE, ANYWHERE)
def test_every_outcome_ends_the_delivery_or_says_what_it_waits_for(
    outcome: Outcome, state: State, given: Circumstances
) -> None:
    before = member(state)
    record = recorded(outcome, given, before)
    after = State(fold([before.standing, standing(record.state, record.attempt)]) % 16)
    assert (after in ENDS) != (record.due is not None)


@given(ANY_STATE, ANYWHERE)
def test_interrupted_goes_out_again_at_once_or_says_what_it_waits_for(state: State, given: Circumstances) -> None:
    record, at_once = outcomes.interrupted(member(state), given)
    assert record.state is State.UNKNOWN and record.tried
    assert at_once == (record.due is None)
    if given.rule is Unclear.WAIT:
        assert not at_once, "never blindly"


@given(st.sampled_from([State.EXPIRED, State.WITHDRAWN, State.SUPPRESSED]), ANY_STATE)
def test_what_is_not_sent_has_ended_whatever_it_was(end: State, state: State) -> None:
    before = member(state)
    record = outcomes.not_sent(before, end, "withdrawn", NOW)
    after = State(fold([before.standing, standing(record.state, record.attempt)]) % 16)
    assert after is (State.FAILED if state is State.UNKNOWN else end)
    assert not record.tried


def test_officer_is_asked_until_the_announcement_expires() -> None:
    assert outcomes.ask_officer(member(State.UNKNOWN), GIVEN).due == Due("officer", GIVEN.expires)


@given(ANY_OUTCOME, st.integers(1, 999))
def test_record_is_of_the_attempt_that_was_made(outcome: Outcome, attempt: int) -> None:
    assert recorded(outcome, of=member(attempt=attempt)).attempt == attempt
