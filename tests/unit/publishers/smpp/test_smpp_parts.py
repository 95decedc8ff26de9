import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publishers.smpp.marks import Part, mark, message_reference, part_of_mark, part_of_reference
from publishers.smpp.parts import Parts, combine
from publishers.smpp.receipts import FINAL, Told

pytestmark = pytest.mark.unit


def told(number: int, total: int, status: str = "delivered", *, group: str = "7f", key: str | None = None) -> Told:
    return Told(f"id-{group}-{number}", status, "33639980001", sender="V", key=key, part=Part(group, total, number))


@given(st.text(min_size=1), st.integers(1, 16).flatmap(lambda total: st.tuples(st.just(total), st.integers(1, total))))
def test_marks_name_the_part_they_were_made_for(key: str, place: tuple[int, int]) -> None:
    total, number = place
    part = part_of_reference(message_reference(key, total, number))
    assert (part is None) is (total == 1)
    if part is not None:
        assert (part.total, part.number) == place and part_of_mark(mark(key, total, number)) == (key, Part(key, *place))


@settings(deadline=None)
@given(st.lists(st.sampled_from(sorted(FINAL)), min_size=2, max_size=8), st.randoms())
def test_whole_is_told_once_with_the_last_part_in_whatever_order(statuses: list[str], chance: object) -> None:
    receipts = [told(number, len(statuses), status) for number, status in enumerate(statuses, 1)]
    shuffled = list(receipts)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    parts = Parts()
    answers = [parts.add(receipt) for receipt in shuffled]
    assert answers[:-1] == [None] * (len(statuses) - 1)
    assert answers[-1] is not None
    whole, ids = answers[-1]
    assert ids == tuple(receipt.id for receipt in receipts)
    assert (whole.status == "delivered") is (set(statuses) == {"delivered"})


def test_repeats_and_states_on_the_way_change_nothing() -> None:
    parts = Parts()
    for receipt in (told(1, 2), told(1, 2), told(2, 2, "buffered"), told(2, 2, "unknown")):
        assert parts.add(receipt) is None
    assert parts.add(told(2, 2)) is not None


def test_parts_of_different_messages_and_numbers_are_kept_apart() -> None:
    parts = Parts()
    assert parts.add(told(1, 2, group="aa")) is parts.add(told(2, 2, group="bb")) is None
    assert parts.add(told(2, 3, group="aa")) is None


def test_where_our_key_comes_back_the_first_failed_part_is_enough() -> None:
    parts = Parts()
    assert parts.add(told(1, 3, "delivered", group="k", key="k")) is None
    answer = parts.add(told(2, 3, "undelivered", group="k", key="k"))
    assert answer is not None and answer[0].status == "undelivered" and answer[0].key == "k"


def test_single_message_is_no_part() -> None:
    assert Parts().add(Told("id", "delivered", "33639980001")) is None


def test_memory_is_bounded_and_the_oldest_is_given_up() -> None:
    parts = Parts(at_most=3)
    for group in range(4):
        parts.add(told(1, 2, group=str(group)))
    assert parts.add(told(2, 2, group="0")) is None
    assert parts.add(told(2, 2, group="3")) is not None


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["delivered", "delivered"], "delivered"),
        (["delivered", "buffered"], "buffered"),
        (["buffered", "expired"], "expired"),
        (["unknown", "delivered"], "unknown"),
        *((list(pair), "undelivered") for pair in itertools.permutations(["undelivered", "delivered", "buffered"])),
    ],
)
def test_worst_part_speaks_for_the_whole(statuses: list[str], expected: str) -> None:
    assert combine([told(1, 2, status) for status in statuses]).status == expected
