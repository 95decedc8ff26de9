"""A relay, or a domain, that asks for less gets less; the others go on."""

import asyncio
from collections import Counter

import pytest
import structlog.testing

from publishers.base import Outcome, Receipt, Transient, Untried
from publishers.smtp import allowance
from publishers.smtp.channel import Smtp
from publishers.smtp.options import DomainLimit
from schemas.messages import Mail
from tests.contract.smtp.scripted import Act, Reply, Say421, ScriptedServer
from tests.contract.smtp.sending import CONTENT, Reported, mails, options, over, relay, send

pytestmark = pytest.mark.contract


def to(domain: str, count: int) -> list[Mail]:
    return [Mail(f"{domain} {n}", "r@valmerande.example", f"v{n}@{domain}", CONTENT) for n in range(count)]


def transient(outcome: Outcome) -> Transient:
    assert isinstance(outcome, Transient) and not isinstance(outcome, Untried), repr(outcome)
    return outcome


def seats(smtp: Smtp) -> allowance.Seats:
    return smtp._routes.all[0].seats


async def test_relay_that_takes_three_connections_gets_all_mails_over_three() -> None:
    async with ScriptedServer() as server:

        def script(_: int, verb: str, __: str) -> Act | None:
            return Say421() if verb == "GREETING" and server.open_now > 3 else None

        server.script = script
        smtp = Smtp(options(server.port, connections=10))
        with structlog.testing.capture_logs() as logs:
            await smtp.publish_many(mails(200), first := Reported())
        assert first.receipts() == 200
        assert seats(smtp).allowed <= 5
        assert not any(line["event"] == "email.relay_set_aside" for line in logs)
        assert any(line["event"] == "email.relay_slowed" for line in logs)
        await smtp.publish_many(mails(200), second := Reported())
        assert second.receipts() == 200
        await smtp.aclose()


@pytest.mark.parametrize(
    "reply",
    [
        b"450 4.7.1 Error: too much mail from 192.0.2.1",
        b"452 4.3.1 Insufficient system storage",
        b"451 4.7.0 Too many connections, try again in 40 seconds",
    ],
)
async def test_relay_that_asks_for_less_gets_half_as_many_connections_and_the_mail_a_time(reply: bytes) -> None:
    once = iter([Reply(reply)])

    async with ScriptedServer(lambda n, verb, _: next(once, None) if n == 2 and verb == "MAIL" else None) as server:
        smtp, reported = Smtp(options(server.port, connections=8)), Reported()
        await smtp.publish_many(mails(400), reported)
        (late,) = [transient(outcome) for outcome in reported.values() if not isinstance(outcome, Receipt)]
        assert late.retry_after == 40 if b"40" in reply else 10 <= (late.retry_after or 0) <= 20
        assert seats(smtp).allowed <= 4
        before = server.most_open = server.open_now
        await smtp.publish_many(mails(400), again := Reported())
        assert again.receipts() == 400 and server.most_open <= max(before, 4)
        await smtp.aclose()


async def test_connections_grow_again_one_by_one_while_all_goes_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "_CALM", 0.0)
    async with ScriptedServer() as server:
        smtp = Smtp(options(server.port, connections=6))
        seats(smtp).start_anew()
        for grown in (2, 3, 4):
            await smtp.publish_many(mails(20), Reported())
            assert seats(smtp).allowed == grown
        await smtp.aclose()


def complaining(domain: str, reply: bytes) -> ScriptedServer:
    script = lambda _, verb, argument: Reply(reply) if verb == "RCPT" and f"@{domain}>" in argument else None  # noqa: E731
    return ScriptedServer(script)


async def test_domain_that_complains_is_left_in_peace_while_others_go_on() -> None:
    async with complaining("orange.example", b"450 4.7.0 Too many mails, slow down") as server:
        smtp, reported = Smtp(options(server.port, connections=2)), Reported()
        await smtp.publish_many([*to("orange.example", 60), *to("free.example", 60)], reported)
        held = [transient(reported[mail.key]) for mail in to("orange.example", 60)]
        assert all(
            reported[mail.key] == Receipt(reported[mail.key].reference, "250") for mail in to("free.example", 60)
        )  # type: ignore[union-attr]
        asked = sum("@orange.example" in command for command in server.commands)
        assert asked <= 4, "no more than was on its way"
        assert Counter(error.code for error in held)["domain_pause"] == 60 - asked
        waits = [error.retry_after or 0 for error in held]
        assert min(waits) > 20 and len(set(waits)) > 30, "each comes back at a moment of its own"
        assert seats(smtp).allowed == 2, "the relay is not to blame"
        await smtp.publish_many(to("orange.example", 20), later := Reported())
        assert {transient(outcome).code for outcome in later.values()} == {"domain_pause"}
        assert sum("@orange.example" in command for command in server.commands) == asked
        await smtp.aclose()


@pytest.mark.parametrize(
    "words", [b"451 4.7.28 rate limited: v0@orange.example", b"450 4.7.1 <v0@orange.example>: too many connections"]
)
async def test_logs_carry_no_address(words: bytes) -> None:
    async with complaining("orange.example", words) as server:
        with structlog.testing.capture_logs() as logs:
            await send(to("orange.example", 3), options(server.port, connections=1))
        assert logs and "@" not in str(logs) and "<address>" in str(logs)


async def test_pause_that_a_domain_asks_for_is_kept() -> None:
    async with complaining("orange.example", b"450 4.7.0 Too many mails, try again in 7 seconds") as server:
        smtp, reported = Smtp(options(server.port, connections=1)), Reported()
        await smtp.publish_many(to("orange.example", 3), reported)
        waits = [transient(reported[mail.key]).retry_after or 0 for mail in to("orange.example", 3)]
        assert waits[0] == 7 and all(6 < wait < 11 for wait in waits)
        await smtp.aclose()


async def test_domain_gets_no_more_at_a_time_than_the_settings_say_over_all_relays() -> None:
    under_way: Counter[str] = Counter()
    most: Counter[str] = Counter()

    def script(_: int, verb: str, argument: str) -> Act | None:
        domain = argument.partition("@")[2].rstrip(">")
        if verb == "RCPT":
            under_way[domain] += 1
            most[domain] = max(most[domain], under_way[domain])
        return None

    async with ScriptedServer(script) as one, ScriptedServer(script) as other:
        limits = {"free.example": DomainLimit(connections=2), "orange.example": DomainLimit(connections=1)}
        smtp = Smtp(over({"one": relay(one.port), "other": relay(other.port)}, domains=limits))
        domains = ("free.example", "orange.example", "autre.example")
        messages = [mail for group in zip(*(to(domain, 60) for domain in domains), strict=True) for mail in group]
        done = Reported()

        def report(key: str, outcome: Outcome) -> None:
            under_way[key.partition(" ")[0]] -= 1
            done(key, outcome)

        async with asyncio.timeout(20):
            await asyncio.gather(*(smtp.publish_many(messages[n::3], report) for n in range(3)))
        assert done.receipts() == 180
        assert (most["free.example"], most["orange.example"]) == (2, 1) and most["autre.example"] > 2
        await smtp.aclose()


async def test_closing_leaves_mails_that_wait_for_their_domain() -> None:
    async with ScriptedServer() as server:
        limits = {"free.example": DomainLimit(connections=1)}
        smtp, reported = Smtp(options(server.port, domains=limits)), Reported()
        sending = asyncio.create_task(smtp.publish_many(to("free.example", 2000), reported))
        while not server.received:
            await asyncio.sleep(0.001)
        await smtp.aclose()
        await sending
        assert len(reported) == 2000
        assert {type(outcome) for outcome in reported.values()} == {Receipt, Untried}
        assert reported.receipts() == len(server.received)
