"""Several relays: shares by weight, and what becomes of the mails of one that can't be used."""

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator

import pytest
import structlog.testing

from publishers.accounts import Grant
from publishers.base import Permanent, Receipt, Transient, Unknown, Untried
from publishers.smtp import routes
from publishers.smtp.channel import Smtp
from publishers.smtp.options import DomainLimit, SmtpOptions
from schemas.messages import Mail
from tests.contract.smtp.scripted import Act, Drop, Mute, Reply, Say421, Script, ScriptedServer, TakeAndDrop, at, usual
from tests.contract.smtp.sending import CONTENT, Reported, mails, over, relay, send, until

pytestmark = pytest.mark.contract


@pytest.fixture
def nowhere() -> int:
    """A port where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@contextlib.asynccontextmanager
async def two(first: Script = usual, second: Script = usual) -> AsyncIterator[tuple[ScriptedServer, ScriptedServer]]:
    async with ScriptedServer(first) as one, ScriptedServer(second) as other:
        yield one, other


def weighted(one: int, other: int, weights: tuple[int, int] = (1, 1), **more: object) -> SmtpOptions:
    a, b = weights
    return over({"one": relay(one, weight=a), "other": relay(other, weight=b)}, **more)


async def test_mails_are_shared_out_by_weight_over_single_ones_and_windows() -> None:
    async with two() as (one, other):
        smtp = Smtp(weighted(one.port, other.port, (3, 1)))
        for window in (1, 1, 1, 1, 16, 60, 40):
            reported = Reported()
            await smtp.publish_many(mails(window), reported)
            assert reported.receipts() == window
        assert (len(one.received), len(other.received)) == (90, 30)
        await smtp.aclose()


@pytest.mark.parametrize(
    "act", [Say421(), Reply(b"554 5.3.2 no"), Drop(), Reply(b"banana")], ids=["421", "554", "cut", "nonsense"]
)
async def test_relay_that_will_not_talk_is_set_aside_and_the_other_has_its_mails(act: Act) -> None:
    async with two(lambda _, verb, __: act if verb == "GREETING" else None) as (bad, good):
        smtp = Smtp(weighted(bad.port, good.port))
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                reported = Reported()
                await smtp.publish_many(mails(40), reported)
                assert reported.receipts() == 40
        assert bad.connections <= 10, "not knocked at again while it is set aside"
        assert [line["relay"] for line in logs if line["event"] == "email.relay_set_aside"] == ["one"]
        await smtp.aclose()


async def test_relay_where_nobody_listens_costs_no_mail(nowhere: int) -> None:
    async with ScriptedServer() as good:
        assert (await send(mails(40), weighted(nowhere, good.port))).receipts() == 40


async def test_relay_that_hangs_is_not_waited_for() -> None:
    async with two(lambda _, verb, __: Mute() if verb == "GREETING" else None) as (bad, good):
        smtp, reported = Smtp(weighted(bad.port, good.port, connect_timeout=30)), Reported()
        async with asyncio.timeout(4):
            await smtp.publish_many(mails(40), reported)
        assert reported.receipts() == len(good.received) == 40
        async with asyncio.timeout(2):
            await smtp.aclose()


async def test_relay_that_answers_later_than_the_deadline_is_found_out_and_set_aside() -> None:
    async with ScriptedServer(lambda _, verb, __: Mute() if verb == "GREETING" else None) as server:
        smtp, first, second = Smtp(over({"main": relay(server.port)}, connect_timeout=0.4)), Reported(), Reported()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await smtp.publish_many(mails(3), first)
        assert {type(outcome) for outcome in first.values()} == {Untried}
        assert server.connections == 3
        await until(lambda: not smtp._routes.all[0].ready(asyncio.get_running_loop().time()))
        async with asyncio.timeout(0.1):
            await smtp.publish_many(mails(3), second)
        assert {type(outcome) for outcome in second.values()} == {Untried}
        assert server.connections == 3
        await smtp.aclose()


async def test_relay_that_is_slow_to_greet_is_reached_although_the_first_send_gave_up() -> None:
    async with ScriptedServer() as server:
        smtp, reported = Smtp(over({"main": relay(server.port, connections=2)})), Reported()
        sending = asyncio.create_task(smtp.publish_many(mails(4), reported))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        again = Reported()
        await smtp.publish_many(mails(4), again)
        assert again.receipts() == 4
        assert server.connections <= 2, "the connections that were being opened are used"
        await smtp.aclose()


async def test_what_may_have_left_stays_unknown_and_only_the_untried_go_to_the_other() -> None:
    async with two(at(0, ".", Drop())) as (bad, good):
        messages = mails(40)
        smtp, reported = Smtp(weighted(bad.port, good.port)), Reported()
        await smtp.publish_many(messages, reported)
        unknown = {mail.recipient for mail in messages if isinstance(reported[mail.key], Unknown)}
        taken = {recipient for recipient, _ in good.received} | {recipient for recipient, _ in bad.received}
        assert unknown and not unknown & taken, "never twice"
        assert unknown | taken == {mail.recipient for mail in messages}
        assert reported.receipts() == 40 - len(unknown)
        await smtp.aclose()


async def test_relay_that_breaks_before_any_mail_is_decided_is_set_aside() -> None:
    async with two(lambda _, verb, __: Drop() if verb == "RCPT" else None) as (bad, good):
        smtp = Smtp(weighted(bad.port, good.port))
        for _ in range(3):
            reported = Reported()
            await smtp.publish_many(mails(30), reported)
            assert reported.receipts() == 30
        assert not smtp._routes.all[0].ready(asyncio.get_running_loop().time())
        await smtp.aclose()


@pytest.mark.parametrize("step", ["login", "mail"])
async def test_relay_that_refuses_us_is_told_loudly_and_the_other_has_its_mails(step: str) -> None:
    password = "secret" if step == "login" else None
    script = at(0, "MAIL", Reply(b"530 5.7.0 Authentication required")) if step == "mail" else usual
    async with ScriptedServer(script, password=password) as bad, ScriptedServer() as good:
        login = {"username": "hub", "password": "guess"} if step == "login" else {}
        relays = {"bad": relay(bad.port, **login), "good": relay(good.port)}
        with structlog.testing.capture_logs() as logs:
            assert (await send(mails(40), over(relays))).receipts() == 40
        (fault,) = [line for line in logs if line["event"] == "email.settings_fault"]
        assert (fault["relay"], fault["log_level"]) == ("bad", "error")
        assert "guess" not in str(logs)


async def test_expired_password_waits_for_a_new_one() -> None:
    async with ScriptedServer(password="new") as server:
        server.script = lambda _, verb, __: (
            Reply(b"432 4.7.12 A password transition is needed") if verb == "AUTH" else None
        )
        smtp, reported = Smtp(over({"main": relay(server.port, username="hub", password="old")})), Reported()
        await smtp.publish_many(mails(3), reported)
        assert {(type(outcome), outcome.code) for outcome in reported.values()} == {(Transient, "432")}
        await smtp.aclose()


async def test_all_away_leaves_all_untried_also_the_next_ones(nowhere: int) -> None:
    smtp = Smtp(weighted(nowhere, nowhere))
    for _ in range(2):
        reported = Reported()
        await smtp.publish_many(mails(20), reported)
        assert {type(outcome) for outcome in reported.values()} == {Untried}
        assert "can't be reached" in str(reported["0"])
    await smtp.aclose()


async def test_one_away_and_one_refusing_us_is_untried_for_one_comes_back_by_itself(nowhere: int) -> None:
    async with ScriptedServer(password="secret") as bad:
        login = relay(bad.port, username="hub", password="guess")
        reported = await send(mails(20), over({"bad": login, "away": relay(nowhere)}))
        assert {type(outcome) for outcome in reported.values()} == {Untried}


async def test_relay_comes_back_after_its_pause_and_the_spare_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "_AWAY_FIRST", 0.2)
    away = True

    def script(_: int, verb: str, __: str) -> Act | None:
        return Say421() if away and verb == "GREETING" else None

    async with two(script) as (main, spare):
        smtp, reported = Smtp(weighted(main.port, spare.port, (1, 0))), Reported()
        with structlog.testing.capture_logs() as logs:
            await smtp.publish_many(mails(20), reported)
            assert reported.receipts() == len(spare.received) == 20
            away = False
            await until(lambda: smtp._routes.all[0].ready(asyncio.get_running_loop().time()))
            before, main.most_open = main.connections, 0
            await smtp.publish_many(mails(20), reported := Reported())
        assert reported.receipts() == len(main.received) == 20
        assert main.connections == before + 1, "one at first"
        assert [line["event"] for line in logs] == ["email.relay_set_aside", "email.relay_back"]
        await smtp.aclose()


async def test_same_mail_is_sent_once_more_under_its_own_message_id_when_its_outcome_was_unclear() -> None:
    once = iter([TakeAndDrop()])
    async with ScriptedServer(lambda _, verb, __: next(once, None) if verb == "." else None) as server:
        smtp, mail = Smtp(over({"main": relay(server.port)})), mails(1)[0]
        with pytest.raises(Unknown):
            await smtp.publish(mail)
        assert isinstance(await smtp.publish(mail), Receipt)
        first, second = server.received
        assert first == second, "so that mail programs which deduplicate by it do"
        await smtp.aclose()


async def test_check_has_a_finding_for_each_relay(nowhere: int) -> None:
    async with ScriptedServer() as good, ScriptedServer(password="secret") as locked:
        relays = {
            "good": relay(good.port),
            "away": relay(nowhere),
            "locked": relay(locked.port, username="hub", password="guess"),
            "clear": relay(good.port, tls="starttls"),
        }
        smtp = Smtp(over(relays))
        found = {one.name.partition(" ")[0]: one for one in await smtp.check()}
        assert {name: one.ok for name, one in found.items()} == {
            "good": True, "away": False, "locked": False, "clear": False,
        }  # fmt: skip
        assert found["good"].mend is None and f"127.0.0.1:{good.port}" in found["good"].name
        assert "firewall" in (found["away"].mend or "")
        assert "username and password" in (found["locked"].mend or "")
        assert "tls" in (found["clear"].mend or "")
        assert "guess" not in str(found)
        assert not any(command.startswith("MAIL") for command in good.commands + locked.commands)
        await smtp.aclose()


@pytest.mark.parametrize("seed", range(10))
async def test_random_faults_of_two_relays_lose_nothing_and_repeat_nothing(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "_AWAY_FIRST", 0.02)
    monkeypatch.setattr(routes, "_AWAY_LONGEST", 0.1)
    chance = random.Random(seed)

    def script(_: int, verb: str, __: str) -> Act | None:
        roll = chance.random()
        if verb == "GREETING" and roll < 0.2:
            return chance.choice([Say421(), Drop(), Reply(b"554 5.3.2 no")])
        if verb in ("MAIL", "RCPT", "DATA", ".") and roll < 0.06:
            words = [
                b"450 4.7.1 too much mail from you",
                b"451 4.7.28 rate limited",
                b"550 5.1.1 no",
                b"452 4.3.1 full",
            ]
            return Reply(chance.choice(words))
        if verb in ("MAIL", "RCPT", ".") and roll > 0.985:
            return chance.choice([Drop(), Say421(), Drop(half=b"25")])
        return None

    async with two(script, script) as (one, other):
        limits = {"d0.example": DomainLimit(connections=1)}
        options = weighted(one.port, other.port, (chance.randint(0, 3), 1), domains=limits)
        smtp, reported = Smtp(options), Reported()
        messages = [
            Mail(str(n), "r@valmerande.example", f"v{n}@d{n % 7}.example", CONTENT)
            for n in range(chance.randint(1, 600))
        ]
        granted = [
            {name: chance.randint(0, 100) for name in ("one", "other")[: chance.randint(0, 2)]} for _ in range(4)
        ]
        grants = [Grant(given) for given in granted]
        async with asyncio.timeout(20):
            await asyncio.gather(*(smtp.publish_within(messages[n::4], reported, grants[n]) for n in range(4)))
        await smtp.aclose()
        assert len(reported) == len(messages)
        for name, server in (("one", one), ("other", other)):
            assert all(grant.left.get(name, 0) >= 0 for grant in grants)
            if all(name in given for given in granted):
                used = sum(given[name] - grant.left[name] for given, grant in zip(granted, grants, strict=True))
                assert len(server.received) <= used, "more than was granted"
        assert not one.violations + other.violations
        arrived = [recipient for recipient, _ in one.received + other.received]
        assert len(arrived) == len(set(arrived)), "a mail arrived twice"
        for mail in messages:
            outcome = reported[mail.key]
            assert isinstance(outcome, Unknown) or isinstance(outcome, Receipt) == (mail.recipient in arrived)
        for route in smtp._routes.all:
            assert route.seats.in_use == route._talking == 0
        for domain in smtp._domains._watched.values():
            assert domain.allowance.in_use == 0


async def test_mail_that_one_relay_lacks_something_for_goes_to_one_that_offers_it() -> None:
    plain, modern = ("SIZE 1000",), ("SIZE 100000", "8BITMIME", "SMTPUTF8")
    wide = "Subject: x\r\n\r\né\r\n".encode()
    needy = [
        Mail("utf8", "r@valmerande.example", "hélène@courriel.example", wide),
        Mail("8bit", "r@valmerande.example", "luc@courriel.example", wide),
        Mail("size", "r@valmerande.example", "anne@courriel.example", b"x" * 2000),
        Mail("none", "r@valmerande.example", "paul@courriel.example", b"x" * 200_000),
    ]
    async with ScriptedServer(extensions=plain) as one, ScriptedServer(extensions=modern) as other:
        smtp = Smtp(weighted(one.port, other.port, (9, 1)))
        for _ in range(3):
            await smtp.publish_many([*needy, *mails(20)], reported := Reported())
            assert isinstance(reported.pop("none"), Permanent), "no relay takes it"
            assert reported.receipts() == len(reported) == 23
        taken = {recipient for recipient, _ in other.received}
        assert {mail.recipient for mail in needy[:3]} <= taken
        await smtp.aclose()
    async with ScriptedServer(extensions=plain) as one:
        reported = await send(needy, over({"one": relay(one.port)}))
        assert {type(outcome) for outcome in reported.values()} == {Permanent}
