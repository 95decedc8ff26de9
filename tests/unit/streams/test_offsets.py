"""The belt of the no-loss loop: an offset is never committed past a message that is not acknowledged."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intervaltree import IntervalTree  # type: ignore[import-untyped]

from streams.app import _CappedConsumer

pytestmark = pytest.mark.unit

TP: Any = "a partition"


def consumer(first: int, count: int, gaps: frozenset[int] = frozenset()) -> Any:
    """One that has taken ``count`` offsets from ``first`` on (less the gaps a compacted topic leaves), none acked."""
    made: Any = object.__new__(_CappedConsumer)
    made._acked = defaultdict(list)
    made._acked_index = defaultdict(set)
    made._gap = defaultdict(IntervalTree)
    made._committed_offset = defaultdict(lambda: None, {TP: first or None})
    offsets = [offset for offset in range(first, first + count) if offset not in gaps]
    made._unacked_messages = {_Message(TP, offset) for offset in offsets}
    for gap in gaps:
        made._gap[TP].addi(gap, gap + 1)
    return made


@dataclass(eq=False)
class _Message:
    tp: Any
    offset: int
    acked: bool = False


def acknowledge(made: Any, offset: int) -> None:
    """As Consumer.ack does."""
    made._acked[TP].append(offset)
    made._acked_index[TP].add(offset)
    made._unacked_messages = {one for one in made._unacked_messages if one.offset != offset}


@given(st.data(), st.integers(0, 1000), st.integers(1, 40))
def test_never_past_what_is_not_acknowledged_and_in_the_end_past_everything(
    data: st.DataObject, first: int, count: int
) -> None:
    made = consumer(first, count)
    newest = first
    for offset in data.draw(st.permutations(range(first, first + count))):
        acknowledge(made, offset)
        if data.draw(st.booleans()):
            newest = _commit(made, newest)
    assert _commit(made, newest) == first + count


@given(st.data(), st.integers(1, 1000), st.integers(2, 30))
def test_gaps_of_a_compacted_topic_are_no_reason_to_go_past_an_unacknowledged_one(
    data: st.DataObject, first: int, count: int
) -> None:
    inner = range(first + 1, first + count - 1)
    gaps = frozenset(data.draw(st.lists(st.sampled_from(inner), unique=True))) if inner else frozenset()
    made = consumer(first, count, gaps)
    newest = first
    for offset in data.draw(st.permutations([one for one in range(first, first + count) if one not in gaps])):
        acknowledge(made, offset)
        newest = _commit(made, newest)


def test_message_right_after_the_committed_offset_is_not_skipped() -> None:
    """Faust's own arithmetic allows a distance of one there."""
    made = consumer(31, 2)
    acknowledge(made, 32)
    assert made._new_offset(TP) is None
    acknowledge(made, 31)
    assert made._new_offset(TP) == 33


def test_other_partitions_do_not_hold_it_back() -> None:
    made = consumer(5, 1)
    acknowledge(made, 5)
    made._unacked_messages.add(_Message("another", 0))
    assert made._new_offset(TP) == 6


def _commit(made: Any, newest: int) -> int:
    offset = made._new_offset(TP)
    unacknowledged = [one.offset for one in made._unacked_messages]
    if offset is None or offset <= newest:
        return newest
    assert offset <= min(unacknowledged, default=offset), "committed past an unacknowledged message"
    made._committed_offset[TP] = offset
    return int(offset)
