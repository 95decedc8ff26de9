"""The sampler: samples of a busy process, by step, for whoever asks."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.sampled import EVERY_S, Sampler, ask

pytestmark = pytest.mark.unit


@pytest.fixture
def _signals_given_back() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGPROF, signal.SIGVTALRM)}
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_signals_given_back")
async def test_busy_process_is_sampled_by_its_processor_time(tmp_path: Path) -> None:
    file = tmp_path / "core.json"
    Sampler(file).start()
    began = time.process_time()
    while time.process_time() - began < 20 * EVERY_S:
        sum(range(1000))
    steps, places = await ask(file, os.getpid())
    assert steps.total() == places.total() > 0
    again, _ = await ask(file, os.getpid())
    assert again.total() >= steps.total()


async def test_process_that_was_only_just_started_has_no_samples_and_is_not_disturbed(tmp_path: Path) -> None:
    assert await ask(tmp_path / "nothing.json", os.getpid()) == (Counter(), Counter())
