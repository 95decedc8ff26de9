"""The mail channel against a server that misbehaves at each step of the protocol (scripted.py)."""

import asyncio
import random
from dataclasses import replace

import pytest

from publishers.base import Permanent, Receipt, Transient, Unknown, Untried
from publishers.smtp.channel import Smtp
from schemas.messages import Mail
from tests.contract.smtp.scripted import (
    Act,
    Drop,
    Lenient,
    Mute,
    Reply,
    Say421,
    ScriptedServer,
    at,
    unstuffed,
)
from tests.contract.smtp.sending import CONTENT, Reported, mails, options, send, until

pytestmark = pytest.mark.contract

CHUNKS = pytest.mark.parametrize("chunk", [0, 1, 7, 60])
PIPELINING = pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "lockstep"])


async def outcomes(server: ScriptedServer, count: int = 8, **more: object) -> str:
    """Send ``count`` mails over one connection; the kinds of their outcomes. What arrived must agree."""
    messages = mails(count)
    reported = await send(messages, options(server.port, connections=1, **more))
    assert not server.violations
    arrived = [recipient for recipient, _ in server.received]
    assert len(arrived) == len(set(arrived)), "a mail arrived twice"
    for mail in messages:
        outcome = reported[mail.key]
        if isinstance(outcome, Receipt):
            assert mail.recipient in arrived
        elif not isinstance(outcome, Unknown):
            assert mail.recipient not in arrived
    assert all(unstuffed(content) == CONTENT for _, content in server.received)
    return reported.kinds(messages)


@PIPELINING
@CHUNKS
async def test_mails_arrive_as_they_were_written(chunk: int, pipelining: bool) -> None:
    async with ScriptedServer(chunk=chunk, pipelining=pipelining) as server:
        assert await outcomes(server) == "Re Re Re Re Re Re Re Re"
        assert server.quits == server.connections == 1


@PIPELINING
@CHUNKS
async def test_ready_mails_arrive_beside_those_that_were_looked_through(chunk: int, pipelining: bool) -> None:
    plain = CONTENT.replace(b"\r\n.", b"\r\n,").replace(b"\r\n..", b"\r\n,.")
    messages = [replace(one, content=plain, ready=True) if int(one.key) % 2 else one for one in mails(8)]
    async with ScriptedServer(chunk=chunk, pipelining=pipelining) as server:
        assert (await send(messages, options(server.port, connections=1))).kinds(messages) == " ".join(["Re"] * 8)
        assert not server.violations
        arrived = {recipient: unstuffed(content) for recipient, content in server.received}
    assert arrived == {one.recipient: one.content for one in messages}


REFUSALS = [
    (3, "RCPT", b"550-5.1.1 no\r\n550 5.1.1 such user", "Pe"),
    (0, "RCPT", b"450 4.2.0 greylisted", "Tr"),
    (7, "RCPT", b"550 no", "Pe"),
    (3, "MAIL", b"451 4.3.0 later", "Tr"),
    (3, "DATA", b"554 5.7.1 no", "Pe"),
    (3, "DATA", b"451 4.7.1 no", "Tr"),
    (3, ".", b"552 5.3.4 too big", "Pe"),
    (7, ".", b"452 4.3.1 no room", "Tr"),
]


@PIPELINING
@CHUNKS
@pytest.mark.parametrize(("index", "verb", "reply", "kind"), REFUSALS)
async def test_a_refusal_concerns_one_mail_and_the_others_go_on(
    index: int, verb: str, reply: bytes, kind: str, chunk: int, pipelining: bool
) -> None:
    script = at(index, verb, Reply(reply))
    async with ScriptedServer(script, chunk=chunk, pipelining=pipelining) as server:
        expected = ["Re"] * 8
        expected[index] = kind
        assert await outcomes(server) == " ".join(expected)
        assert server.connections == 1


@PIPELINING
async def test_every_recipient_refused(pipelining: bool) -> None:
    def script(index: int, verb: str, argument: str) -> Act | None:
        return Reply(b"550 5.1.1 no") if verb == "RCPT" else None

    async with ScriptedServer(script, pipelining=pipelining) as server:
        assert await outcomes(server) == "Pe Pe Pe Pe Pe Pe Pe Pe"
        assert server.connections == 1


@CHUNKS
async def test_server_that_lets_data_through_for_nobody_gets_no_content(chunk: int) -> None:
    def script(index: int, verb: str, argument: str) -> Act | None:
        if index == 3 and verb == "RCPT":
            return Reply(b"550 5.1.1 no")
        return Lenient() if index == 3 and verb == "DATA" else None

    async with ScriptedServer(script, chunk=chunk) as server:
        assert await outcomes(server) == "Re Re Re Pe Re Re Re Re"


@PIPELINING
@CHUNKS
@pytest.mark.parametrize(
    ("verb", "act", "kind"),
    [
        ("BODY", Drop(), "??"),
        (".", Drop(), "??"),
        (".", Drop(half=b"250 2.0.0 O"), "??"),
        (".", Reply(b"banana"), "??"),
        (".", Mute(), "??"),
        (".", Say421(), "Tr"),
    ],
    ids=["cut in content", "cut after content", "half a reply", "no reply at all", "hangs", "421"],
)
async def test_connection_lost_at_the_content(verb: str, act: Act, kind: str, chunk: int, pipelining: bool) -> None:
    """The mail is Unknown (421 is a reply: Transient), and the following ones take another connection."""
    once = iter([act])

    def script(index: int, step: str, argument: str) -> Act | None:
        return next(once, None) if index == 3 and step == verb else None

    async with ScriptedServer(script, chunk=chunk, pipelining=pipelining) as server:
        kinds = await outcomes(server, reply_timeout=0.3)
        assert kinds == f"Re Re Re {kind} Re Re Re Re"
        assert server.connections == 2


@PIPELINING
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("act", [Drop(), Say421(), Mute(), Reply(b"banana"), Reply(b"199 what")], ids=repr)
async def test_connection_lost_at_the_envelope_costs_nothing(verb: str, act: Act, pipelining: bool) -> None:
    """Nothing of the mail was handed over, so another connection carries it, and the caller hears nothing."""
    once = iter([act])

    def script(index: int, step: str, argument: str) -> Act | None:
        return next(once, None) if index == 0 and step == verb else None

    async with ScriptedServer(script, pipelining=pipelining) as server:
        assert await outcomes(server, 4, reply_timeout=0.3) == "Re Re Re Re"
        assert server.connections == 2


async def test_mail_whose_envelope_breaks_every_connection_comes_back_later_and_is_not_the_servers_fault() -> None:
    def script(index: int, verb: str, argument: str) -> Act | None:
        return Drop() if verb == "RCPT" and "voisin1@" in argument else None

    async with ScriptedServer(script) as server:
        messages = mails(5)
        reported = await send(messages, options(server.port, connections=1))
        assert type(reported["1"]) is Transient, "it was tried: others are not held up by it"
        assert reported.receipts() >= 3  # the mail before it may be cut off with it
        assert server.connections <= 6


async def test_relay_is_not_set_aside_for_a_mail_that_breaks_every_connection() -> None:
    def script(index: int, verb: str, argument: str) -> Act | None:
        return Drop() if verb == "RCPT" and "voisin0@" in argument else None

    async with ScriptedServer(script) as server:
        smtp, reported = Smtp(options(server.port)), Reported()
        await smtp.publish_many(mails(1), reported)
        assert type(reported["0"]) is Transient
        again = Reported()
        await smtp.publish_many(mails(9)[1:], again)
        assert again.receipts() == 8
        await smtp.aclose()


async def test_refusal_known_before_the_connection_was_lost_is_kept() -> None:
    steps: dict[str, Act] = {"RCPT": Reply(b"550 5.1.1 no"), "DATA": Drop()}

    def script(index: int, verb: str, argument: str) -> Act | None:
        return steps.pop(verb, None) if index == 3 else None

    async with ScriptedServer(script) as server:
        assert await outcomes(server) == "Re Re Re Pe Re Re Re Re"


@PIPELINING
async def test_content_is_never_mistaken_for_its_end(pipelining: bool) -> None:
    contents = [b".first\r\n", b"no end", b"a\r\n.", b"\r\n.\r\n", b".", b"x\r\n.\r\n.\r\n\r\n..\r\n"]
    messages = [Mail(str(n), "a@v.example", f"r{n}@x.example", content) for n, content in enumerate(contents)]
    async with ScriptedServer(pipelining=pipelining) as server:
        reported = await send(messages, options(server.port, connections=1))
        assert reported.receipts() == len(contents)
        for content, (_, arrived) in zip(contents, server.received, strict=True):
            assert unstuffed(arrived) in (content, content + b"\r\n")


@pytest.mark.parametrize("seed", range(12))
async def test_random_faults_lose_nothing_and_repeat_nothing(seed: int) -> None:
    chance = random.Random(seed)
    breaks: list[Act] = [Drop(), Say421(), Drop(half=b"25")]

    def script(index: int, verb: str, argument: str) -> Act | None:
        roll = chance.random()
        if verb in ("MAIL", "RCPT", "DATA", ".") and roll < 0.06:
            return Reply(chance.choice([b"450 4 later", b"550 5 no", b"550-a\r\n550 b"]))
        if verb == "DATA" and roll < 0.1:
            return Lenient()
        if verb in ("RCPT", ".", "BODY") and roll > 0.995:
            return breaks[seed % 3]
        return None

    async with ScriptedServer(script, chunk=[0, 5, 40][seed % 3], pipelining=seed % 4 != 3, seed=seed) as server:
        messages = mails(400)
        reported = await send(messages, options(server.port, connections=5))
        assert not server.violations
        arrived = [recipient for recipient, _ in server.received]
        assert len(arrived) == len(set(arrived))
        for mail in messages:
            outcome = reported[mail.key]
            assert isinstance(outcome, Unknown) or isinstance(outcome, Receipt) == (mail.recipient in arrived)
        assert reported.receipts() > 250


async def test_one_hanging_connection_does_not_hold_the_others() -> None:
    def script(index: int, verb: str, argument: str) -> Act | None:
        return Mute() if verb == "RCPT" and "voisin0@" in argument else None

    async with ScriptedServer(script) as server:
        smtp, reported = Smtp(options(server.port, connections=4)), Reported()
        sending = asyncio.create_task(smtp.publish_many(mails(60), reported))
        await until(lambda: reported.receipts() == 59)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert isinstance(reported["0"], Untried)
        await smtp.aclose()


async def test_cancelling_reports_what_is_unknown_and_what_was_never_tried() -> None:
    """The hub's deadline: one mail was written and not answered, the next only announced, the rest waits."""
    written = asyncio.Event()

    def script(index: int, verb: str, argument: str) -> Act | None:
        if (index, verb) != (3, "."):
            return None
        written.set()
        return Mute()

    async with ScriptedServer(script) as server:
        smtp, reported, messages = Smtp(options(server.port, connections=1)), Reported(), mails(8)
        sending = asyncio.create_task(smtp.publish_many(messages, reported))
        await written.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert reported.kinds(messages) == "Re Re Re ?? Ut Ut Ut Ut"
        await smtp.aclose()


async def test_closing_finishes_the_mails_under_way_and_leaves_the_others() -> None:
    gate = asyncio.Event()

    async with ScriptedServer() as server:
        smtp, reported, messages = Smtp(options(server.port, connections=2)), Reported(), mails(5000)

        def report(key: str, outcome: object) -> None:
            reported(key, outcome)  # type: ignore[arg-type]
            gate.set()

        sending = asyncio.create_task(smtp.publish_many(messages, report))
        await gate.wait()
        await smtp.aclose()
        await sending
        assert len(reported) == 5000
        assert not any(isinstance(outcome, Unknown) for outcome in reported.values())
        assert reported.receipts() == len(server.received) < 5000
        assert server.quits == server.connections
        await smtp.aclose()
        with pytest.raises(Untried):
            await smtp.publish(messages[0])


async def test_closing_does_not_wait_for_a_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("publishers.smtp.channel._GRACE", 0.1)
    async with ScriptedServer(at(0, ".", Mute())) as server:
        smtp, reported = Smtp(options(server.port, connections=1)), Reported()
        sending = asyncio.create_task(smtp.publish_many(mails(3), reported))
        await until(lambda: "DATA" in server.commands)
        async with asyncio.timeout(2):
            await smtp.aclose()
            await sending
        assert len(reported) == 3
        assert isinstance(reported["2"], Untried)


async def test_nothing_is_written_of_mails_that_can_not_be_sent() -> None:
    good = mails(1)[0]
    bad = [
        Mail("crlf", good.sender, "a@x.example>\r\nRCPT TO:<b@x.example", CONTENT),
        Mail("sender", "a@x.example>\r\nDATA", "a@x.example", CONTENT),
        Mail("space", good.sender, "a b@x.example", CONTENT),
        Mail("nul", good.sender, "a\0@x.example", CONTENT),
        Mail("empty", good.sender, "", CONTENT),
        Mail("utf8", good.sender, "élodie@x.example", CONTENT),
        Mail("lone lf", good.sender, "a@x.example", b"Subject: x\r\n\r\n\n.\r\nMAIL FROM:<evil@x.example>\r\n"),
        Mail("lone cr", good.sender, "a@x.example", b"Subject: x\r\n\r\n\r.\r\r\n"),
        Mail("large", good.sender, "a@x.example", b"x" * 10_240_001),
    ]
    async with ScriptedServer() as server:
        reported = await send([*bad, good], options(server.port))
        assert {key for key, outcome in reported.items() if isinstance(outcome, Permanent)} == {m.key for m in bad}
        assert not any(outcome.address_dead for outcome in reported.values() if isinstance(outcome, Permanent))
        assert [recipient for recipient, _ in server.received] == [good.recipient]
        assert sum(command.startswith("MAIL") for command in server.commands) == 1


async def test_letters_beyond_ascii_go_out_where_the_server_takes_them() -> None:
    mail = Mail("0", "a@v.example", "élodie@x.example", "Subject: x\r\n\r\né\r\n".encode())
    async with ScriptedServer(extensions=("8BITMIME", "SMTPUTF8")) as server:
        assert (await send([mail], options(server.port))).receipts() == 1
        assert "MAIL FROM:<a@v.example> BODY=8BITMIME SMTPUTF8" in server.commands
        assert server.received[0][0] == mail.recipient
    async with ScriptedServer(extensions=("SMTPUTF8",)) as server:
        assert isinstance((await send([mail], options(server.port)))["0"], Permanent)


async def test_refusal_carries_words_and_the_providers_code() -> None:
    script = at(0, "RCPT", Reply(b"550-5.1.1 No such\r\n550 5.1.1 mailbox here"))
    async with ScriptedServer(script) as server:
        smtp = Smtp(options(server.port))
        with pytest.raises(Permanent) as refused:
            await smtp.publish(mails(1)[0])
        assert refused.value.code == "550 5.1.1"
        assert refused.value.address_dead
        assert refused.value.reason == ("the mailbox does not exist; the server said: 5.1.1 No such mailbox here")
        with pytest.raises(Transient):
            server.script = at(0, "RCPT", Reply(b"451 4.7.1 Greylisted"))
            await smtp.aclose()
            smtp = Smtp(options(server.port))
            await smtp.publish(mails(1)[0])
        await smtp.aclose()
