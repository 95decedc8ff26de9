"""Spread and percentile: what several measurements are told by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.spread import Spread, percentile

pytestmark = pytest.mark.unit

FIGURES = st.lists(st.floats(min_value=0, max_value=1e9), min_size=1, max_size=50)


def test_spread_of_three_rounds_is_their_lowest_middle_and_highest() -> None:
    assert Spread.of([12.0, 3.0, 7.0]) == Spread(3.0, 7.0, 12.0)


def test_median_of_an_even_number_is_between_the_two_in_the_middle() -> None:
    assert Spread.of([1.0, 2.0, 4.0, 100.0]).median == 3.0


@given(FIGURES)
def test_spread_does_not_depend_on_the_order_of_the_rounds(values: list[float]) -> None:
    found = Spread.of(values)
    assert found == Spread.of(values[::-1])
    assert found.low <= found.median <= found.high


def test_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 201)]
    assert percentile(values, 0.5) == 100.0
    assert percentile(values, 0.99) == 198.0
    assert percentile(values, 1) == 200.0
    assert percentile([5.0], 0.01) == 5.0


@given(FIGURES, st.floats(min_value=0.01, max_value=1))
def test_at_least_that_share_is_not_above_the_percentile(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.01])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="no share"):
        percentile([1.0], share)


def test_nothing_measured_has_neither() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        Spread.of([])
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 0.5)
