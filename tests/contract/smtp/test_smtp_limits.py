"""Relays take no more than the hub granted, and are left alone when they ask for it, by every worker."""

import asyncio

import pytest

from publishers.accounts import Grant, Limited, Rate, Rationed, Shuts
from publishers.base import NotYet, Receipt, Untried
from publishers.rest import Rests
from publishers.smtp.channel import Smtp
from publishers.smtp.options import DomainLimit
from tests.contract.smtp.scripted import Drop, Reply, ScriptedServer
from tests.contract.smtp.sending import Reported, mails, options, over, relay

pytestmark = pytest.mark.contract

QUIET = Reply(b"450 4.7.1 Error: too much mail from 192.0.2.1, try again in 40 seconds")


async def sent(smtp: Smtp, count: int, grant: Grant | None = None) -> Reported:
    reported = Reported()
    async with asyncio.timeout(20):
        await smtp.publish_within(mails(count), reported, grant)
    assert len(reported) == count
    return reported


async def test_its_rates_are_those_of_relays_and_of_domains() -> None:
    relays = {"main": relay(25, per_second=10), "spare": relay(26, weight=0)}
    smtp = Smtp(over(relays, domains={"free.example": DomainLimit(per_minute=60)}))
    assert smtp.rates == {"main": Rate(10, 20), "@free.example": Rate(1, 10)}
    assert isinstance(smtp, Limited) and isinstance(smtp, Rationed) and isinstance(smtp, Rests)
    assert isinstance(smtp, Shuts) and smtp.shut() == {"main": False, "spare": False}
    assert smtp.weights() == {"main": 1}
    await smtp.aclose()


async def test_only_relay_stops_where_its_grant_ends_and_the_rest_is_untried() -> None:
    async with ScriptedServer() as server:
        smtp = Smtp(options(server.port, per_second=1))
        grant = Grant({"main": 7})
        reported = await sent(smtp, 30, grant)
        assert reported.receipts() == len(server.received) == 7 and grant.left == {"main": 0}
        assert sum(isinstance(one, Untried) for one in reported.values()) == 23
        assert (await sent(smtp, 5)).receipts() == 5, "without a grant there is no limit"
        await smtp.aclose()


@pytest.mark.parametrize("grants", [{"one": 5, "two": 50}, {"one": 5}, {"one": 0, "two": 40}])
async def test_what_one_relay_was_not_granted_the_other_takes(grants: dict[str, int]) -> None:
    async with ScriptedServer() as one, ScriptedServer() as two:
        smtp = Smtp(over({"one": relay(one.port, weight=5), "two": relay(two.port)}))
        reported = await sent(smtp, 40, Grant(grants))
        assert reported.receipts() == 40
        assert len(one.received) == grants["one"] and len(two.received) == 40 - grants["one"]
        await smtp.aclose()


async def test_relay_that_is_away_leaves_its_grant_unused_and_the_other_keeps_to_its_own() -> None:
    async with (
        ScriptedServer(lambda _, verb, __: Drop() if verb == "GREETING" else None) as away,
        ScriptedServer() as two,
    ):
        smtp = Smtp(over({"one": relay(away.port), "two": relay(two.port)}))
        grant = Grant({"one": 20, "two": 30})
        reported = await sent(smtp, 40, grant)
        assert reported.receipts() == len(two.received) == 30
        assert grant.left == {"one": 20, "two": 0}
        assert smtp.weights() == {"two": 1} and smtp.shut() == {"one": True, "two": False}
        await smtp.aclose()


async def test_connection_that_breaks_gives_back_what_it_had_not_sent() -> None:
    once = iter([Drop()])
    script = lambda _, verb, __: next(once, None) if verb == "MAIL" else None  # noqa: E731
    async with ScriptedServer(script) as server:
        smtp = Smtp(options(server.port, connections=1))
        grant = Grant({"main": 20})
        reported = await sent(smtp, 20, grant)
        assert reported.receipts() == len(server.received) == 20 and grant.left == {"main": 0}
        await smtp.aclose()


async def test_relay_that_asks_for_a_pause_is_left_alone_and_others_hear_of_it() -> None:
    once = iter([QUIET])
    script = lambda _, verb, __: next(once, None) if verb == "MAIL" else None  # noqa: E731
    async with ScriptedServer(script) as server:
        smtp, other = Smtp(options(server.port, connections=1)), Smtp(options(server.port))
        first = await sent(smtp, 40)
        assert first.receipts() < 40, "what was not on its way stays here"
        [news] = smtp.rest.news()
        assert news.account == "main" and 39 < news.seconds <= 40
        said = len(server.commands)
        other.rest.learn(news.account, news.seconds)
        for one in (smtp, other):
            outcomes = (await sent(one, 5)).values()
            assert all(type(outcome) is NotYet and 35 < (outcome.retry_after or 0) <= 40 for outcome in outcomes)
            assert one.weights() == {} and one.shut() == {"main": True}
        assert len(server.commands) == said, "not a word"
        for one in (smtp, other):
            await one.aclose()


async def test_other_relay_takes_over_from_one_that_asks_for_a_pause() -> None:
    async with ScriptedServer(lambda _, verb, __: QUIET if verb == "MAIL" else None) as one, ScriptedServer() as two:
        smtp = Smtp(over({"one": relay(one.port, connections=1), "two": relay(two.port, weight=0)}))
        await sent(smtp, 10)
        reported = await sent(smtp, 10)
        assert reported.receipts() == 10 and all(isinstance(outcome, Receipt) for outcome in reported.values())
        await smtp.aclose()


async def test_domain_that_complained_to_another_worker_is_left_in_peace_here_too() -> None:
    async with ScriptedServer() as server:
        smtp = Smtp(options(server.port))
        smtp.rest.learn("@example.org", 30)
        reported = await sent(smtp, 5)
        assert server.received == []
        assert {getattr(outcome, "code", None) for outcome in reported.values()} == {"domain_pause"}
        await smtp.aclose()
