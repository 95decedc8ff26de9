"""When a mailbox that takes nothing is given up."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from hub.outcomes import Circumstances, record_of
from hub.suppression import FAULTS, OVER, WITHIN, is_given_up
from publishers.base import Outcome, Permanent, Receipt, Transient, Unclear, Unknown
from schemas.lanes import Lane
from store.batches import Member
from store.suppressions import Faults

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)


def at(*days: float) -> tuple[datetime, ...]:
    return tuple(sorted(NOW - timedelta(days=day) for day in days))


@pytest.mark.parametrize(
    ("days", "delivered", "given_up"),
    [
        ([9, 7, 5, 3, 1], None, True),
        ([9, 7, 5, 3], None, False),
        ([6, 5, 4, 3, 1], None, False),
        ([40, 35, 5, 3, 1], None, False),
        ([29, 7, 5, 3, 1], None, True),
        ([9, 7, 5, 3, 1], 6, False),
        ([9, 7, 5, 3, 1], 10, True),
        ([], None, False),
    ],
)
def test_five_in_a_month_over_a_week_with_none_delivered_between(
    days: list[float], delivered: float | None, given_up: bool
) -> None:
    arrived = None if delivered is None else NOW - timedelta(days=delivered)
    assert is_given_up(Faults(at(*days), arrived), NOW) is given_up


@given_any(st.lists(st.floats(0, 90), max_size=12), st.none() | st.floats(0, 90))
def test_nobody_is_given_up_for_less(days: list[float], delivered: float | None) -> None:
    arrived = None if delivered is None else NOW - timedelta(days=delivered)
    if is_given_up(Faults(at(*days), arrived), NOW):
        recent = [one for one in at(*days) if one > NOW - WITHIN and (arrived is None or one > arrived)]
        assert len(recent) >= FAULTS and max(recent) - min(recent) >= OVER


@pytest.mark.parametrize(
    ("outcome", "dead"),
    [
        (Permanent("no mailbox", address_dead=True), True),
        (Permanent("refused"), False),
        (Transient("later"), False),
        (Unknown("cut"), False),
        (Receipt(), False),
    ],
)
def test_only_a_permanent_refusal_says_that_an_address_is_dead(outcome: Outcome, dead: bool) -> None:
    member = Member(1, "zoe@courriel.example", "fr", 16, 0)
    given = Circumstances(NOW, NOW + timedelta(days=1), Lane.ROUTINE, Unclear.SEND_ONCE_MORE, can_look_up=False)
    record = record_of(member, outcome, given)
    assert record is not None and record.address_dead is dead
