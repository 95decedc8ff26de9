"""The fold of a delivery's facts: order, repetition and delay don't matter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.deliveries import DeliveryId, State, attempt_of, fold, standing, state_of

pytestmark = pytest.mark.unit

STANDINGS = st.builds(standing, st.sampled_from(State), st.integers(1, 999))


@given(st.lists(STANDINGS))
def test_neither_order_nor_repetition_changes_the_fold(facts: list[int]) -> None:
    assert fold(facts) == fold([*reversed(facts), *facts])
    assert fold(facts) == fold(sorted(facts))


@given(st.lists(STANDINGS, min_size=1), STANDINGS)
def test_another_fact_never_lowers_the_fold(facts: list[int], late: int) -> None:
    assert fold([*facts, late]) >= fold(facts)


@given(st.sampled_from(State), st.integers(1, 999))
def test_a_standing_tells_its_state_and_attempt(state: State, attempt: int) -> None:
    assert state_of(standing(state, attempt)) is state
    assert attempt_of(standing(state, attempt)) == attempt


@given(st.integers(1, 999), STANDINGS)
def test_delivered_outranks_every_later_attempt(attempt: int, other: int) -> None:
    assert state_of(fold([standing(State.DELIVERED, attempt), other])) is State.DELIVERED


def test_a_new_attempt_outranks_the_failure_before_it() -> None:
    assert state_of(fold([standing(State.FAILED, 1), standing(State.QUEUED, 2)])) is State.QUEUED


def test_without_facts_a_delivery_is_queued() -> None:
    assert state_of(fold([])) is State.QUEUED


@pytest.mark.parametrize("attempt", [0, -1, 1000])
def test_an_attempt_out_of_range_is_refused(attempt: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        standing(State.SENT, attempt)


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_a_public_id_reads_back(order: int, recipient: int) -> None:
    assert DeliveryId.parse(DeliveryId(order, recipient).public) == DeliveryId(order, recipient)


@pytest.mark.parametrize(
    "text", ["", "1", "-", "1-", "-1", "01-1", "1-G", "A-1", "1-1-1", "0x1-1", f"{2**63:x}-1", " 1-1"]
)
def test_what_is_no_public_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a delivery id"):
        DeliveryId.parse(text)
