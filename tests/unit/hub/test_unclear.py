"""What each channel's rule does with an outcome that nobody knows."""

from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.unclear import RESOLVE_AFTER, RESOLVE_URGENT_AFTER, Next, Step, after_unknown, on_its_turn
from publishers.base import Unclear
from schemas.lanes import Lane

pytestmark = pytest.mark.unit

RULES, LANES = st.sampled_from(Unclear), st.sampled_from(Lane)
TIMES = st.integers(1, 50)


@pytest.mark.parametrize(
    ("rule", "times", "lane", "expected"),
    [
        (Unclear.SEND_AGAIN, 1, Lane.ROUTINE, Next(Step.SEND)),
        (Unclear.SEND_AGAIN, 9, Lane.URGENT, Next(Step.SEND)),
        (Unclear.SEND_ONCE_MORE, 1, Lane.BULK, Next(Step.SEND)),
        (Unclear.SEND_ONCE_MORE, 2, Lane.BULK, Next(Step.WAIT, RESOLVE_AFTER)),
        (Unclear.SEND_ONCE_MORE, 2, Lane.URGENT, Next(Step.WAIT, RESOLVE_URGENT_AFTER)),
        (Unclear.WAIT, 1, Lane.ROUTINE, Next(Step.WAIT, RESOLVE_AFTER)),
        (Unclear.WAIT, 1, Lane.URGENT, Next(Step.WAIT, RESOLVE_URGENT_AFTER)),
        (Unclear.LOOK_UP, 1, Lane.ROUTINE, Next(Step.WAIT, RESOLVE_AFTER)),
    ],
)
def test_step_after_an_unclear_outcome(rule: Unclear, times: int, lane: Lane, expected: Next) -> None:
    assert after_unknown(rule, times=times, lane=lane, can_look_up=False) == expected


@pytest.mark.parametrize(
    ("rule", "times", "lane", "expected"),
    [
        (Unclear.SEND_AGAIN, 1, Lane.ROUTINE, Step.SEND),
        (Unclear.SEND_AGAIN, 9, Lane.ROUTINE, Step.SEND),
        (Unclear.SEND_ONCE_MORE, 1, Lane.ROUTINE, Step.SEND),
        (Unclear.SEND_ONCE_MORE, 2, Lane.ROUTINE, Step.OFFICER),
        (Unclear.WAIT, 1, Lane.ROUTINE, Step.OFFICER),
        (Unclear.WAIT, 1, Lane.BULK, Step.OFFICER),
        (Unclear.WAIT, 1, Lane.URGENT, Step.SEND),
        (Unclear.WAIT, 2, Lane.URGENT, Step.OFFICER),
        (Unclear.LOOK_UP, 1, Lane.URGENT, Step.OFFICER),
    ],
)
def test_step_once_its_turn_has_come_again(rule: Unclear, times: int, lane: Lane, expected: Step) -> None:
    assert on_its_turn(rule, times=times, lane=lane, can_look_up=False) is expected


@pytest.mark.parametrize(("rule", "lane"), list(product((Unclear.WAIT, Unclear.LOOK_UP), Lane)))
def test_provider_that_can_be_asked_is_asked_before_anything_else(rule: Unclear, lane: Lane) -> None:
    following = after_unknown(rule, times=1, lane=lane, can_look_up=True)
    assert following.step is Step.LOOK_UP and following.wait > timedelta(0)
    assert on_its_turn(rule, times=1, lane=lane, can_look_up=True) is Step.LOOK_UP


@given(RULES, TIMES, LANES, st.booleans())
def test_whatever_waits_has_an_end(rule: Unclear, times: int, lane: Lane, can_look_up: bool) -> None:
    following = after_unknown(rule, times=times, lane=lane, can_look_up=can_look_up)
    assert following.step is Step.SEND or timedelta(0) < following.wait <= RESOLVE_AFTER


@given(RULES, TIMES, LANES, st.booleans())
def test_urgent_never_waits_longer(rule: Unclear, times: int, lane: Lane, can_look_up: bool) -> None:
    urgent = after_unknown(rule, times=times, lane=Lane.URGENT, can_look_up=can_look_up)
    assert urgent.wait <= after_unknown(rule, times=times, lane=lane, can_look_up=can_look_up).wait


@given(RULES, st.integers(2, 50), LANES)
def test_only_a_provider_that_deduplicates_is_sent_the_same_a_third_time(rule: Unclear, times: int, lane: Lane) -> None:
    steps = {
        after_unknown(rule, times=times, lane=lane, can_look_up=False).step,
        on_its_turn(rule, times=times, lane=lane, can_look_up=False),
    }
    assert (Step.SEND in steps) == (rule is Unclear.SEND_AGAIN)
