"""When the present send will be cut off: told by who waits for it, heeded by channels whose answers take a while.

What is cut off between its content and the answer is unclear, and an unclear mail is sent once more. Who knows how
long a mail takes begins none that would not be answered before.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf

_CUT: ContextVar[float] = ContextVar("send_is_cut_off_at", default=inf)


@contextmanager
def cut_off_at(moment: float) -> Iterator[None]:
    """For sends of the block: they end then, by the event loop's clock, whatever is under way."""
    before = _CUT.set(moment)
    try:
        yield
    finally:
        _CUT.reset(before)


def cut_off() -> float:
    """When the present send is cut off; infinite where nobody said."""
    return _CUT.get()
