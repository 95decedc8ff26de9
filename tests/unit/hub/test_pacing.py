"""How much work is kept ahead: a moment's, as fast or slow as the workers are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.pacing import AHEAD_S, LEAST, READY, Pace

pytestmark = pytest.mark.unit

MOST = 48


def run(rate: float, *, seconds: float = 20.0, every_s: float = 0.05, pace: Pace | None = None, hands: int = 4) -> Pace:
    """A road with endless work, on which batches end at that rate while there are any."""
    found, now, under_way, ended = pace or Pace(MOST), 0.0, 0, 0.0
    under_way, now = found.under_way, found.at
    for _ in range(int(seconds / every_s)):
        now += every_s
        ended += rate * every_s
        done = min(under_way, int(ended))
        ended -= int(ended)
        under_way -= done
        found = found.seen(under_way, min(hands, under_way), now)
        room = max(0, found.depth - under_way)
        under_way += room
        found = found.offered(room)
    return found


def test_road_of_unknown_speed_begins_with_the_least() -> None:
    assert Pace(MOST).depth == LEAST
    assert Pace(4).depth == 4


@pytest.mark.parametrize("hands", [4, 16, 40])
def test_every_hand_has_work_though_each_batch_takes_long(hands: int) -> None:
    """A relay that takes seconds for a batch takes many at once: nobody's worker stands idle beside it."""
    assert run(2.0, hands=hands).depth == hands + READY


@pytest.mark.parametrize(("rate", "depth"), [(2.0, LEAST), (5.0, LEAST), (40.0, 16), (80.0, 32), (200.0, MOST)])
def test_depth_becomes_a_moments_work(rate: float, depth: int) -> None:
    assert run(rate).depth == pytest.approx(depth, abs=2)


def test_relay_that_becomes_slow_is_given_less_ahead_within_seconds() -> None:
    fast = run(160.0)
    assert fast.depth == MOST
    assert run(4.0, seconds=6, pace=fast).depth <= LEAST + 4


def test_relay_that_becomes_fast_is_given_more_within_seconds() -> None:
    assert run(160.0, seconds=3, pace=run(4.0)).depth >= 40


def test_little_work_says_nothing_of_the_speed() -> None:
    fast = run(80.0)
    idle = fast.seen(0, 0, fast.at + 0.5).offered(1)
    later = idle.seen(0, 0, idle.at + 60).offered(1).seen(0, 0, idle.at + 120)
    assert later.rate == idle.rate


@given(
    st.integers(1, 100),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200), st.floats(0, 100), st.integers(0, 100)), max_size=50),
)
def test_depth_is_always_between_its_bounds(most: int, looks: list[tuple[int, int, float, int]]) -> None:
    pace, now = Pace(most), 0.0
    for under_way, in_hand, later, offered in looks:
        now += later
        pace = pace.seen(under_way, min(in_hand, under_way), now).offered(offered)
        assert min(most, LEAST) <= pace.depth <= most
        assert pace.rate is None or pace.rate >= 0


def test_work_ahead_is_under_a_second() -> None:
    assert 0 < AHEAD_S < 1
