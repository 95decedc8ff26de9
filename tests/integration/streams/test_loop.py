"""The no-loss loop on a real broker: a message is committed only once it has been dealt with."""

import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.streams.broker import committed, new_topic, send
from tests.integration.streams.looping import Loop, running
from tests.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

VALUES = [f"m{number}" for number in range(200)]
WITHIN = 60.0


async def loop_over(kafka: str, folder: Path) -> Loop:
    topic = await new_topic(kafka)
    await send(kafka, topic, [value.encode() for value in VALUES])
    return Loop(kafka, f"group-{topic}", topic, str(folder))


def log(loop: Loop) -> str:
    return (Path(loop.folder) / "log").read_text()[-3000:]


async def test_worker_killed_in_the_middle_of_a_batch_loses_nothing(kafka: str, tmp_path: Path) -> None:
    loop = await loop_over(kafka, tmp_path)
    for die_at in ("m27", "m133"):
        with running(replace(loop, die_at=die_at)) as process:
            assert process.wait(WITHIN) == -signal.SIGKILL, log(loop)
        done = set(loop.dealt_with)
        assert die_at not in done
        offset = await committed(kafka, loop.group, loop.topic)
        assert set(VALUES[:offset]) <= done, "committed past a message that nobody has dealt with"
    with running(loop) as process:
        until(lambda: set(loop.dealt_with) == set(VALUES), WITHIN, "dealing with all")
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN) == 0, log(loop)
    assert await committed(kafka, loop.group, loop.topic) == len(VALUES)
    assert max(Counter(loop.dealt_with).values()) <= 3, "at most once a process"


async def test_batch_comes_again_until_the_database_is_back(kafka: str, tmp_path: Path) -> None:
    loop = replace(await loop_over(kafka, tmp_path), away=3)
    with running(loop) as process:
        until(lambda: len(loop.calls) >= 3, WITHIN, "asking again")
        assert await committed(kafka, loop.group, loop.topic) == 0
        until(lambda: set(loop.dealt_with) == set(VALUES), WITHIN, "dealing with all")
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN) == 0, log(loop)
    first = loop.calls[0]
    assert loop.calls[:4] == [first] * 4, "the same batch, not the next"
    assert loop.dealt_with == VALUES, "each once, in order"


async def test_unlisted_exception_ends_the_worker_and_commits_nothing_of_its_batch(kafka: str, tmp_path: Path) -> None:
    loop = await loop_over(kafka, tmp_path)
    with running(replace(loop, fails="m50")) as process:
        assert process.wait(WITHIN) not in (0, -signal.SIGKILL), log(loop)
    offset = await committed(kafka, loop.group, loop.topic)
    assert offset <= 50
    assert set(VALUES[:offset]) <= set(loop.dealt_with)
    with running(loop) as process:
        until(lambda: set(loop.dealt_with) == set(VALUES), WITHIN, "dealing with all after the mend")


async def test_worker_that_is_asked_to_stop_repeats_nothing_afterwards(kafka: str, tmp_path: Path) -> None:
    loop = await loop_over(kafka, tmp_path)
    with running(loop) as process:
        until(lambda: loop.dealt_with, WITHIN, "beginning")
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN) == 0, log(loop)
    with running(loop) as process:
        until(lambda: set(loop.dealt_with) == set(VALUES), WITHIN, "dealing with the rest")
    assert loop.dealt_with == VALUES


async def test_worker_whose_topic_the_broker_does_not_know_yet_ends_to_join_anew(kafka: str, tmp_path: Path) -> None:
    topic = f"late.{tmp_path.name}.{os.getpid()}"
    loop = Loop(kafka, f"group-{topic}", topic, str(tmp_path))
    with running(loop) as process:
        assert process.wait(WITHIN) not in (0, -signal.SIGKILL), log(loop)
    assert "topics_left_to_nobody" in log(loop)
    await new_topic(kafka, name=topic)
    await send(kafka, topic, [value.encode() for value in VALUES])
    with running(loop):
        until(lambda: set(loop.dealt_with) == set(VALUES), WITHIN, "dealing with all once the topic is there")
