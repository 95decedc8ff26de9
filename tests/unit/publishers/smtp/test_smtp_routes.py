"""Whose turn it is among the relays."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publishers.base import Untried
from publishers.smtp.options import Relay, SmtpOptions
from publishers.smtp.replies import SmtpSettingsError
from publishers.smtp.routes import Routes

pytestmark = pytest.mark.unit


def routes(**weights: int) -> Routes:
    return Routes(SmtpOptions(relays={name: Relay(host="relay.example", weight=n) for name, n in weights.items()}))


def shares(of: Routes, count: int, **more: Any) -> dict[str, int]:
    return {route.name: share for route, share in of.share(count, **more).items()}


@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=5).filter(any),
    st.lists(st.integers(0, 60), min_size=1, max_size=9),
)
def test_every_mail_has_a_relay_and_shares_follow_the_weights_over_batches_of_any_size(
    weights: list[int], batches: list[int]
) -> None:
    async def share_out() -> None:
        mine = routes(**{f"r{n}": weight for n, weight in enumerate(weights)})
        got = dict.fromkeys((route.name for route in mine.all), 0)
        for count in batches:
            found = shares(mine, count)
            assert sum(found.values()) == count
            for name, share in found.items():
                got[name] += share
        for route in mine.all:
            due = sum(batches) * route.relay.weight / sum(weights)
            assert abs(got[route.name] - due) <= len(weights), "never far from its due"

    asyncio.run(share_out())


async def test_single_mails_are_shared_too() -> None:
    mine = routes(a=3, b=1)
    turns = "".join(next(name for name, share in shares(mine, 1).items() if share) for _ in range(8))
    assert turns.count("a") == 6 and "aaaa" not in turns


async def test_relay_that_is_set_aside_has_no_share_and_a_spare_only_serves_when_no_other_can() -> None:
    mine = routes(a=1, b=1, spare=0)
    a, b, spare = mine.all
    assert shares(mine, 10) == {"a": 5, "b": 5}
    a.failed(Untried("away"), seated=False)
    assert shares(mine, 10) == {"b": 10}
    assert mine.why_none() is None
    b.failed(Untried("away"), seated=False)
    assert shares(mine, 10) == {"spare": 10}
    spare.failed(SmtpSettingsError("wrong password", code="535"), seated=False)
    assert shares(mine, 10) == {}
    assert mine.why_none() == Untried("away"), "some will come back by themselves"


async def test_all_refusing_us_is_a_fault_of_the_settings() -> None:
    mine = routes(a=1)
    error = SmtpSettingsError("wrong password", code="535")
    mine.all[0].failed(error, seated=False)
    assert mine.why_none() is error


async def test_set_aside_longer_each_time_up_to_a_limit_until_it_has_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    (route,), now, pauses = routes(a=1).all, 1000.0, []
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    for _ in range(12):
        route.failed(Untried("away"), seated=False)
        pauses.append(route._until - now)
        assert not route.ready(now) and route.seats.allowed == 1
        now = route._until
    assert all(2**n * 0.75 <= pauses[n] <= 2**n * 1.25 for n in range(6))
    assert 120 * 0.75 <= pauses[-1] <= 120 * 1.25
    assert len(set(pauses)) == len(pauses), "spread"
    route.worked()
    route.failed(Untried("away"), seated=False)
    assert route._until - now <= 1.25


async def test_failure_beside_others_still_being_opened_says_nothing_yet() -> None:
    (route,) = routes(a=1).all
    for _ in range(2):
        await route.seats.__aenter__()
    route.failed(Untried("421 too many connections"))
    assert route.ready(asyncio.get_running_loop().time()) and route.seats.allowed == 10
    await route.seats.__aexit__()
    route.failed(Untried("421 too many connections"))
    assert not route.ready(asyncio.get_running_loop().time()), "the last of them"


async def test_failure_beside_open_connections_is_a_limit_and_not_an_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    (route,) = routes(a=1).all
    for _ in range(8):
        await route.seats.__aenter__()

    async def opened() -> tuple[object, bool]:
        return object(), False

    monkeypatch.setattr(route.connections, "take", opened)
    await route.take()
    route.failed(Untried("421 too many connections"))
    assert route.ready(asyncio.get_running_loop().time())
    assert route.seats.allowed == 4


async def test_several_domains_complaining_through_one_relay_mean_the_relay() -> None:
    (route,) = routes(a=1).all
    for _ in range(8):
        await route.seats.__aenter__()
    for domain in ("one.example", "two.example", "one.example"):
        route.domain_asks(domain, "slow down")
    assert route.seats.allowed == 10
    route.domain_asks("three.example", "slow down")
    assert route.seats.allowed == 4
