"""When a message that was not accepted is tried again."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.retry import GiveUp, Policy, TryAgain, decide

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 4, 8, 0, tzinfo=UTC)
FAR = NOW + timedelta(days=365)
POLICY = Policy()
TRIES = st.integers(0, POLICY.tries - 1)
LUCK = st.floats(0, 1, exclude_max=True)


def pause(tries: int, luck: float = 0.5, retry_after: float | None = None, policy: Policy = POLICY) -> timedelta:
    decision = decide(policy, tries=tries, now=NOW, expires=FAR, luck=luck, retry_after=retry_after)
    assert isinstance(decision, TryAgain)
    return decision.at - NOW


@pytest.mark.parametrize(("tries", "seconds"), [(1, 4), (2, 12), (3, 36), (4, 108), (5, 324), (6, 972), (7, 1800)])
def test_pauses_grow_threefold_up_to_half_an_hour(tries: int, seconds: int) -> None:
    assert pause(tries) == timedelta(seconds=seconds)


@given(TRIES, LUCK)
def test_pause_is_never_negative_and_never_longer_than_the_longest(tries: int, luck: float) -> None:
    assert POLICY.first * 0.8 <= pause(tries, luck) <= POLICY.longest * 1.2


@given(TRIES, TRIES, LUCK)
def test_more_tries_never_shorten_the_pause(one: int, other: int, luck: float) -> None:
    assert pause(min(one, other), luck) <= pause(max(one, other), luck)


@given(TRIES, LUCK)
def test_those_refused_together_come_back_apart_by_a_fifth_at_most(tries: int, luck: float) -> None:
    middle = pause(tries)
    assert abs(pause(tries, luck) - middle) <= middle * 0.2 + timedelta(microseconds=1)


@given(TRIES, LUCK, st.floats(0, 86_400))
def test_provider_that_asks_for_a_pause_is_never_asked_before(tries: int, luck: float, asked: float) -> None:
    waited = pause(tries, luck, retry_after=asked)
    assert waited >= timedelta(seconds=asked)
    assert waited <= max(POLICY.longest * 1.2, timedelta(seconds=asked) * 1.2 + timedelta(microseconds=1))


@given(TRIES, LUCK, st.timedeltas(timedelta(0), timedelta(days=3)))
def test_nothing_is_tried_again_at_or_after_the_expiry(tries: int, luck: float, left: timedelta) -> None:
    decision = decide(POLICY, tries=tries, now=NOW, expires=NOW + left, luck=luck)
    if isinstance(decision, TryAgain):
        assert NOW < decision.at < NOW + left
    else:
        assert decision.expired and pause(tries, luck) >= left


@pytest.mark.parametrize("asked", [1e12, 1e300, float("inf")])
def test_provider_that_asks_for_an_eternity_is_understood(asked: float) -> None:
    assert decide(POLICY, tries=1, now=NOW, expires=NOW + timedelta(days=30), luck=0.9, retry_after=asked) == GiveUp(
        "the announcement expires before the next try", expired=True
    )


def test_expired_already_is_given_up() -> None:
    assert decide(POLICY, tries=1, now=NOW, expires=NOW - timedelta(days=1), luck=0) == GiveUp(
        "the announcement expires before the next try", expired=True
    )


@given(st.integers(1, 300), LUCK)
def test_after_so_many_tries_it_is_given_up_and_is_not_called_expired(tries: int, luck: float) -> None:
    decision = decide(Policy(tries=5), tries=tries, now=NOW, expires=FAR, luck=luck)
    assert isinstance(decision, GiveUp) == (tries >= 5)
    if isinstance(decision, GiveUp):
        assert not decision.expired and str(tries) in decision.reason


def test_same_values_give_the_same_decision() -> None:
    assert pause(3, 0.25) == pause(3, 0.25)
