"""Facts of a group in waves: each recorded once, and no delivery twice by one statement."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.receipts import waves
from schemas.deliveries import State
from store.deliveries import Record

pytestmark = pytest.mark.unit

AT = datetime(2026, 11, 24, tzinfo=UTC)
FACTS = st.lists(
    st.builds(Record, st.integers(1, 5), st.integers(1, 3), st.sampled_from([State.SENT, State.FAILED]), st.just(AT))
)


@given(FACTS)
def test_every_fact_is_in_one_wave(facts: list[Record]) -> None:
    found = [one for wave in waves(facts) for one in wave]
    assert sorted(map(repr, found)) == sorted(map(repr, facts))


@given(FACTS)
def test_no_wave_has_a_recipient_twice_and_each_is_in_their_order(facts: list[Record]) -> None:
    for wave in waves(facts):
        recipients = [one.recipient_id for one in wave]
        assert recipients == sorted(set(recipients))


@given(FACTS)
def test_facts_of_one_recipient_keep_their_order(facts: list[Record]) -> None:
    found = [one for wave in waves(facts) for one in wave]
    for recipient in range(1, 6):
        assert [one for one in found if one.recipient_id == recipient] == [
            one for one in facts if one.recipient_id == recipient
        ]
