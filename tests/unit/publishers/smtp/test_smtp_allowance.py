"""How many at a time: halved when asked for less, one more while all goes well."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publishers.smtp.allowance import Allowance, Seats

pytestmark = pytest.mark.unit


def used(most: int, in_use: int) -> Allowance:
    allowance = Allowance(most)
    for _ in range(in_use):
        allowance.use()
    return allowance


def test_asked_for_less_it_halves_what_was_really_in_use() -> None:
    allowance = used(10, 6)
    assert allowance.slow_down(100.0)
    assert (allowance.allowed, allowance.in_use, allowance.free) == (3, 6, False)


def test_answers_to_what_was_on_its_way_do_not_halve_again() -> None:
    allowance = used(10, 10)
    assert [allowance.slow_down(100.0 + n / 10) for n in range(10)] == [True] + [False] * 9
    assert allowance.allowed == 5
    assert allowance.slow_down(101.5)


def test_grows_by_one_and_only_after_a_while_without_complaints() -> None:
    allowance = used(10, 4)
    allowance.slow_down(100.0)
    for _ in range(200):
        allowance.well(105.0)
    assert allowance.allowed == 2, "too early"
    for _ in range(40):
        allowance.well(111.0)
    assert allowance.allowed == 4


@given(st.integers(1, 50), st.lists(st.tuples(st.sampled_from(["well", "slow", "use", "release"]), st.floats(0, 30))))
def test_allowed_stays_between_one_and_the_most(most: int, steps: list[tuple[str, float]]) -> None:
    allowance, now = Allowance(most), 0.0
    for step, pause in steps:
        now += pause
        match step:
            case "well":
                allowance.well(now)
            case "slow":
                allowance.slow_down(now)
            case "use" if allowance.free:
                allowance.use()
            case "release" if allowance.in_use:
                allowance.release()
        assert 1 <= allowance.allowed <= most


async def test_seats_are_given_in_turn_and_those_who_left_the_queue_are_passed_over() -> None:
    seats, order = Seats(1), []

    async def sit(name: str) -> None:
        async with seats:
            order.append(name)
            await asyncio.sleep(0)

    await seats.__aenter__()
    waiting = [asyncio.create_task(sit(name)) for name in "abc"]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.sleep(0)
    await seats.__aexit__()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert order == ["a", "c"] and seats.in_use == 0


async def test_seat_granted_to_somebody_who_is_cancelled_goes_to_the_next() -> None:
    seats, sat = Seats(1), asyncio.Event()

    async def sit(then: asyncio.Event | None) -> None:
        async with seats:
            if then:
                then.set()

    await seats.__aenter__()
    first, second = asyncio.create_task(sit(None)), asyncio.create_task(sit(sat))
    await asyncio.sleep(0)
    await seats.__aexit__()  # granted to the first, which is cancelled before it can sit down
    first.cancel()
    async with asyncio.timeout(1):
        await sat.wait()
        await second
    assert seats.in_use == 0


async def test_more_allowed_lets_more_in() -> None:
    seats = Seats(10)
    for _ in range(2):
        await seats.__aenter__()
    seats.slow_down(0.0)
    await seats.__aexit__()
    assert (seats.allowed, seats.in_use) == (1, 1)
    third = asyncio.create_task(seats.__aenter__())
    await asyncio.sleep(0)
    assert not third.done()
    for _ in range(20):
        seats.well(20.0)
    await third
    assert seats.in_use == 2
