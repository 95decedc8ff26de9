"""What was taken is dealt with whole, again and again while the database is away."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from store.database import AWAY
from streams.loop import until_done

pytestmark = pytest.mark.unit


class Handler:
    """Raises or returns what it is told, call after call."""

    def __init__(self, *answers: int | BaseException) -> None:
        self.answers = list(answers)
        self.batches: list[Sequence[Any]] = []

    async def __call__(self, events: Sequence[Any]) -> int:
        self.batches.append(events)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr("streams.loop.asyncio.sleep", sleep)
    return found


async def test_batch_that_is_dealt_with_is_handled_once() -> None:
    handler = Handler(2)
    assert await until_done(handler, ["a", "b"], "agent") == 2, "as many met a defect"
    assert handler.batches == [["a", "b"]]


@pytest.mark.parametrize(
    "error", [OSError(), TimeoutError(), asyncpg.InterfaceError("closed"), asyncpg.DeadlockDetectedError()]
)
async def test_same_batch_comes_again_while_the_database_is_away(error: BaseException) -> None:
    assert isinstance(error, AWAY)
    handler = Handler(error, error, 0)
    await until_done(handler, ["a"], "agent")
    assert handler.batches == [["a"]] * 3


async def test_pauses_grow_and_stay_short(pauses: list[float]) -> None:
    await until_done(Handler(*[OSError()] * 10, 0), ["a"], "agent")
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.1, 2.0)


@pytest.mark.parametrize("error", [ValueError(), KeyError(), asyncpg.UndefinedTableError()])
async def test_anything_else_escapes(error: Exception) -> None:
    with pytest.raises(type(error)):
        await until_done(Handler(error), ["a"], "agent")
