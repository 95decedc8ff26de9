"""What the mail provider can be told to do to a connection: be slow, leave, reset, half close, hang, lie."""

import asyncio
import time
from typing import Any

import aiosmtplib
import httpx
import pytest
from flufl.bounce import all_failures

from tests.contract.sandbox.conftest import Inlet, Start
from tests.contract.sandbox.process import SandboxProcess, until
from tests.contract.sandbox.test_sandbox_smtp import SENDER, outcomes, send

pytestmark = pytest.mark.contract

HELLO = b"EHLO test.example\r\n"
ENVELOPE = f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<alice@valmerande.example>\r\nDATA\r\n".encode()
CONTENT = b"Message-ID: <1@x>\r\n\r\nText\r\n.\r\n"


def ask(sandbox: SandboxProcess, kind: str, **more: Any) -> None:
    """Ask for a fault of the mail provider."""
    asked = {"provider": "email", "kind": kind, **more}
    answer = httpx.post(f"{sandbox.http}/sandbox/faults", json=asked)
    assert answer.status_code == 201, answer.text


async def at_data(sandbox: SandboxProcess) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection whose DATA was let through."""
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.smtp_port)
    writer.write(HELLO + ENVELOPE)
    await asyncio.wait_for(reader.readuntil(b"354 Go on, end with a lone dot\r\n"), 10)
    return reader, writer


async def test_slow_server_says_each_reply_after_its_pause_in_order(start: Start) -> None:
    sandbox = start()
    ask(sandbox, "slow", ms=100)
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.smtp_port)
    began = time.monotonic()
    writer.write(HELLO + ENVELOPE + CONTENT + b"QUIT\r\n")
    said = [line for line in (await asyncio.wait_for(reader.read(), 10)).splitlines() if line[3:4] == b" "]
    writer.close()
    assert [line[:3] for line in said] == [b"220", b"250", b"250", b"250", b"354", b"250", b"221"]
    assert time.monotonic() - began >= 6 * 0.1  # goodbye comes with the one before
    assert outcomes(sandbox) == ["accepted"]


async def test_slow_server_journals_before_it_answers(start: Start) -> None:
    sandbox = start()
    reader, writer = await at_data(sandbox)
    ask(sandbox, "slow", ms=60_000)
    writer.write(CONTENT)
    await until(lambda: outcomes(sandbox) == ["accepted"])
    assert await asyncio.to_thread(sandbox.stop) == 0
    assert b"250 2.0.0 Accepted as 1" in await asyncio.wait_for(reader.read(), 10)
    writer.close()


async def test_slow_server_has_its_other_faults_too_and_is_quick_again_when_told(start: Start) -> None:
    sandbox = start()
    ask(sandbox, "slow", ms=20)
    ask(sandbox, "refuse", count=1)
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
        await send(sandbox, "alice@valmerande.example")
    ask(sandbox, "slow", ms=60_000)
    httpx.delete(f"{sandbox.http}/sandbox/faults")
    assert "Accepted" in await send(sandbox, "alice@valmerande.example")


async def test_leaving_server_answers_the_content_with_421_and_closes(start: Start) -> None:
    sandbox = start()
    ask(sandbox, "leave", count=1)
    reader, writer = await at_data(sandbox)
    writer.write(CONTENT)
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"421 4.3.2")
    writer.close()
    await send(sandbox, "alice@valmerande.example")
    assert outcomes(sandbox) == ["deferred", "accepted"]


async def test_resetting_server_has_not_taken_the_mail(start: Start) -> None:
    sandbox = start()
    ask(sandbox, "reset", count=1)
    reader, writer = await at_data(sandbox)
    assert outcomes(sandbox) == ["deferred"], "noted before it happens"
    writer.write(CONTENT)
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await send(sandbox, "alice@valmerande.example")
    assert outcomes(sandbox) == ["deferred", "accepted"]


async def test_half_closing_server_says_nothing_more_and_takes_what_still_comes(start: Start) -> None:
    sandbox = start()
    ask(sandbox, "half_close", count=1)
    reader, writer = await at_data(sandbox)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.write(CONTENT)
    await until(lambda: outcomes(sandbox) == ["dropped"])
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    [line] = sandbox.journal("email")
    assert (line["message_id"], line["rule"], line["code"]) == ("<1@x>", "fault", None)


async def test_half_closing_server_notes_content_that_never_came_whole(start: Start) -> None:
    sandbox = start()
    ask(sandbox, "half_close", count=1)
    _, writer = await at_data(sandbox)
    writer.write(CONTENT[:-3])
    writer.close()
    await until(lambda: outcomes(sandbox) == ["deferred"])
    counts = httpx.get(f"{sandbox.http}/sandbox/counts").json()["email"]
    assert (counts["accepted"], counts["dropped"]) == (0, 0)


async def test_server_that_hangs_at_the_end_of_the_content_has_taken_the_mail(start: Start) -> None:
    sandbox = start()
    ask(sandbox, "hang_at_end", count=1)
    with pytest.raises((aiosmtplib.SMTPTimeoutError, TimeoutError)):
        await send(sandbox, "alice@valmerande.example", timeout=0.3)
    await send(sandbox, "alice@valmerande.example")
    assert outcomes(sandbox) == ["dropped", "accepted"]
    counts = httpx.get(f"{sandbox.http}/sandbox/counts").json()["email"]
    assert (counts["repeated_after_drop"], counts["duplicates"]) == (1, 0)


async def test_lying_server_says_yes_and_sends_the_mail_back(start: Start, inlet: Inlet) -> None:
    sandbox = start("--inlet-smtp", f"127.0.0.1:{inlet.port}", "--bounce-delay-ms", "50")
    ask(sandbox, "lie", count=1)
    assert "Accepted as 1" in await send(sandbox, "alice@valmerande.example")
    await send(sandbox, "bob@valmerande.example", "2")
    await until(lambda: bool(inlet.mails))
    [(_, recipients, message)] = inlet.mails
    assert recipients == [SENDER]
    temporary, permanent = all_failures(message)
    assert not temporary and permanent == {b"alice@valmerande.example"}
    assert [line["rule"] for line in sandbox.journal("email")] == ["fault", None]


async def test_bounce_of_a_lying_server_survives_a_restart(start: Start, inlet: Inlet) -> None:
    inlet.refusing = True
    options = ("--inlet-smtp", f"127.0.0.1:{inlet.port}", "--bounce-delay-ms", "0")
    sandbox = start(*options)
    ask(sandbox, "lie", count=1)
    await send(sandbox, "alice@valmerande.example")
    sandbox.kill()
    inlet.refusing = False
    again = start(*options)
    await until(lambda: len(again.journal("acknowledged")) == 1)
    assert len(inlet.mails) == 1


async def test_one_request_in_so_many_meets_the_fault(start: Start) -> None:
    sandbox = start()
    ask(sandbox, "error", every=3, count=2)
    for number in range(7):
        try:
            await send(sandbox, "alice@valmerande.example", str(number))
        except aiosmtplib.SMTPDataError as error:
            assert error.code == 451
    assert outcomes(sandbox) == ["accepted", "accepted", "deferred"] * 2 + ["accepted"]


async def test_address_that_cuts_closes_the_connection_at_its_rcpt_every_time(start: Start) -> None:
    sandbox = start()
    for _ in range(2):
        with pytest.raises(aiosmtplib.SMTPServerDisconnected):
            await send(sandbox, "cut.alice@valmerande.example")
    assert outcomes(sandbox) == ["deferred", "deferred"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"provider": "sms", "kind": "reset"}, "kind must be one of throttle"),
        ({"provider": "email", "kind": "slow"}, "ms must be"),
        ({"provider": "email", "kind": "error", "ms": 5}, "ms must be"),
        ({"provider": "email", "kind": "slow", "ms": 5, "count": 3}, "neither count nor every"),
        ({"provider": "email", "kind": "error", "every": 0}, "every must be"),
    ],
)
async def test_fault_that_makes_no_sense_is_refused_in_words(start: Start, asked: dict[str, Any], words: str) -> None:
    answer = httpx.post(f"{start().http}/sandbox/faults", json=asked)
    assert answer.status_code == 400 and words in answer.json()["error"]
