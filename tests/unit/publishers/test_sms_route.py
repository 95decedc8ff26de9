from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publishers.sms.route import FIRST_PAUSE, LONGEST_ASKED, LONGEST_PAUSE, PATIENCE, Health, order

pytestmark = pytest.mark.unit

names = st.text(st.sampled_from("abcdefgh"), min_size=1, max_size=4)
weights = st.dictionaries(names, st.integers(0, 100), min_size=1, max_size=6)


@given(st.text(max_size=30), weights)
def test_order_names_every_gateway_once_and_depends_on_the_key_alone(key: str, given_weights: dict[str, int]) -> None:
    found = order(key, given_weights)
    assert sorted(found) == sorted(given_weights)
    assert order(key, dict(reversed(given_weights.items()))) == found


@given(st.text(max_size=30), weights, st.data())
def test_taking_a_gateway_away_moves_its_own_keys_only(
    key: str, given_weights: dict[str, int], data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(sorted(given_weights)))
    left = {name: weight for name, weight in given_weights.items() if name != gone}
    assert order(key, left) == [name for name in order(key, given_weights) if name != gone]


@given(st.text(max_size=30), weights)
def test_those_of_weight_nought_come_last(key: str, given_weights: dict[str, int]) -> None:
    found = [given_weights[name] > 0 for name in order(key, given_weights)]
    assert found == sorted(found, reverse=True)


def test_each_gateway_is_first_for_its_share_of_the_keys() -> None:
    first = Counter(order(f"{number:x}-2a.1", {"main": 9, "second": 3, "spare": 0})[0] for number in range(8000))
    assert first["spare"] == 0
    assert 0.72 < first["main"] / 8000 < 0.78


def test_failures_in_a_row_shut_it_for_pauses_that_double_up_to_a_minute() -> None:
    health, now, pauses = Health(), 0.0, []
    for _ in range(PATIENCE - 1):
        assert not health.bad(now) and health.takes(now)
    for _ in range(8):
        assert health.bad(now)
        assert not health.takes(now)
        pauses.append(health.pause)
        now = health.opens_at
        assert health.takes(now), "the probe"
        health.begin()
        assert not health.takes(now), "one message at a time finds out"
        health.end()
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE


def test_probe_that_succeeds_opens_it_and_forgets_the_pauses() -> None:
    health = Health()
    for _ in range(PATIENCE):
        health.bad(0.0)
    health.begin()
    assert health.good()
    health.end()
    assert health.takes(0.0) and not health.good()
    assert not health.bad(1.0), "the count begins again"


def test_success_between_failures_keeps_it_open() -> None:
    health = Health()
    for _ in range(10):
        assert not health.bad(0.0)
        health.good()


def test_late_answers_to_what_was_given_before_do_not_lengthen_the_pause() -> None:
    health = Health()
    assert [health.bad(0.0) for _ in range(10)] == [False, False, True, *[False] * 7]
    assert health.pause == FIRST_PAUSE


@pytest.mark.parametrize(("asked", "shut_for"), [(7.0, 7.0), (86_400.0, LONGEST_ASKED)])
def test_gateway_that_asks_for_a_pause_gets_it_at_once_but_not_for_ever(asked: float, shut_for: float) -> None:
    health = Health()
    assert health.bad(100.0, asked)
    assert not health.takes(100.0 + shut_for - 0.1) and health.takes(100.0 + shut_for)
