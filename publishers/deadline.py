"""When the present send will be cut off: told by who waits for it, heeded by channels.

Nothing is begun afterwards: a worker that was stopped, and goes on, would do so before it hears that its time is over.
And what is cut off between its content and the answer is unclear, and an unclear mail is sent once more: who knows how
long a mail takes begins none that would not be answered before.
"""

import asyncio
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


def is_over() -> bool:
    """Whether the present send has been cut off, or is just about to hear of it: nothing is to be begun any more."""
    return asyncio.get_running_loop().time() >= _CUT.get()


def cut_off() -> float:
    """When the present send is cut off; infinite where nobody said."""
    return _CUT.get()
