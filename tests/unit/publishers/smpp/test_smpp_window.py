import asyncio

import pytest

from publishers.smpp.window import Window

pytestmark = pytest.mark.unit


async def test_no_more_turns_than_the_window_until_one_is_given_back() -> None:
    window = Window(2, None)
    await window.turn()
    await window.turn()
    third = asyncio.create_task(window.turn())
    await asyncio.sleep(0)
    assert not third.done()
    window.done()
    async with asyncio.timeout(5):
        await third


async def test_throttling_halves_it_once_a_round_and_answers_let_it_grow_again() -> None:
    window = Window(16, None)
    turns = [await window.turn() for _ in range(8)]
    for turn in turns:
        window.throttled(turn)
    assert window.size == 8, "the eight were under way together"
    for _ in range(200):
        window.accepted()
    assert window.size == 16 and window.pause == 0


async def test_pause_doubles_with_each_round_and_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window(4, None)
    clock = asyncio.get_running_loop().time() + 1000
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal clock
        pauses.append(seconds)
        clock += seconds

    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: clock)
    monkeypatch.setattr("publishers.smpp.window.asyncio.sleep", sleep)
    for _ in range(7):
        turn = await window.turn()
        window.throttled(turn)
        window.done()
    assert [round(pause, 3) for pause in pauses] == [0.25, 0.5, 1, 2, 4, 4]
    assert window.size == 1


async def test_rate_spaces_the_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window(100, 50)
    clock = 5000.0

    async def sleep(seconds: float) -> None:
        nonlocal clock
        clock += seconds

    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: clock)
    monkeypatch.setattr("publishers.smpp.window.asyncio.sleep", sleep)
    turns = [await window.turn() for _ in range(51)]
    assert turns[-1] - turns[0] == pytest.approx(1.0)


async def test_cancelled_waiter_leaves_its_place_to_the_next() -> None:
    window = Window(1, None)
    await window.turn()
    first, second = (asyncio.create_task(window.turn()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    window.done()
    async with asyncio.timeout(5):
        await second
    with pytest.raises(asyncio.CancelledError):
        await first
