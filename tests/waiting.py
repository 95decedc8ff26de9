"""Waiting for a condition with a deadline: what tests do instead of sleeping."""

import asyncio
import time
from collections.abc import Callable

import psutil

STEP = 0.02


def until(condition: Callable[[], object], within: float = 20.0, what: str = "it") -> None:
    """Return once ``condition()`` is true. Raises AssertionError after ``within`` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {within:g} s"
        time.sleep(STEP)


async def eventually(condition: Callable[[], object], within: float = 20.0, what: str = "it") -> None:
    """``until``, letting other tasks run."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {within:g} s"
        await asyncio.sleep(STEP)


def is_gone(process: psutil.Process) -> bool:
    """Whether it has ended. A zombie has: not every container's init collects orphans."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
