"""The mail provider, spoken to by aiosmtplib and by hand."""

import asyncio
import json
import subprocess
import sys
from email.message import EmailMessage, Message
from email.parser import HeaderParser
from pathlib import Path

import aiosmtplib
import httpx
import pytest

from tests.contract.sandbox.conftest import Inlet, Start
from tests.contract.sandbox.process import SandboxProcess, until

pytestmark = pytest.mark.contract

SENDER = "avis+v1@valmerande.example"


def mail(identity: str = "1", text: str = "Déviation par le quai.") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Mairie de Valmerande <mairie@valmerande.example>"
    message["Subject"] = "Rue des Tisserands barrée"
    message["Message-ID"] = f"<{identity}@valmerande.example>"
    message.set_content(text)
    return message


async def send(sandbox: SandboxProcess, recipient: str, identity: str = "1", **options: float) -> str:
    """Send one mail on a connection of its own and return the answer to its content."""
    async with aiosmtplib.SMTP(
        hostname="127.0.0.1", port=sandbox.smtp_port, start_tls=False, timeout=options.get("timeout", 10)
    ) as smtp:
        _, answer = await smtp.send_message(mail(identity), sender=SENDER, recipients=[recipient])
        return answer


async def dialogue(sandbox: SandboxProcess, *sent: bytes) -> bytes:
    """Write everything at once after EHLO, then QUIT; return all that came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.smtp_port)
    writer.write(b"".join((b"EHLO test.example\r\n", *sent, b"QUIT\r\n")))
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


def outcomes(sandbox: SandboxProcess) -> list[str]:
    return [line["outcome"] for line in sandbox.journal("email")]


async def test_accepted_mail_is_journalled_with_its_envelope_and_subject(start: Start) -> None:
    sandbox = start()
    assert "Accepted as 1" in await send(sandbox, "alice@valmerande.example")
    [line] = sandbox.journal("email")
    assert line["outcome"] == "accepted" and line["n"] == 1
    assert (line["sender"], line["recipient"]) == (SENDER, "alice@valmerande.example")
    assert line["message_id"] == "<1@valmerande.example>"
    assert line["subject"] == "Rue des Tisserands barrée"
    content = (sandbox.home / "journal" / "email.content").read_bytes()
    assert (len(content) == line["size"] and b"Rue des" in content) or b"=?utf-8?" in content


async def test_announces_the_extensions_it_has(start: Start) -> None:
    sandbox = start()
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=sandbox.smtp_port, start_tls=False) as smtp:
        await smtp.ehlo()
        for extension in ("pipelining", "size", "8bitmime", "smtputf8", "enhancedstatuscodes"):
            assert smtp.supports_extension(extension)


async def test_killing_it_after_the_250_destroys_no_evidence_and_a_restart_goes_on_counting(start: Start) -> None:
    sandbox = start()
    for number in range(20):
        await send(sandbox, f"u{number}@valmerande.example", str(number))
    sandbox.kill()
    assert [line["n"] for line in sandbox.journal("email")] == list(range(1, 21))
    again = start()
    assert "Accepted as 21" in await send(again, "u0@valmerande.example", "0")
    counts = httpx.get(f"{again.http}/sandbox/counts").json()["email"]
    assert (counts["accepted"], counts["distinct"], counts["duplicates"]) == (21, 20, 1)


async def test_an_unfinished_last_line_is_cut_off_at_start(start: Start) -> None:
    sandbox = start()
    await send(sandbox, "alice@valmerande.example")
    sandbox.kill()
    with (sandbox.home / "journal" / "email.jsonl").open("ab") as file:
        file.write(b'{"at":"2026-')
    again = start()
    await send(again, "alice@valmerande.example", "2")
    assert [line["n"] for line in again.journal("email")] == [1, 2]


async def test_pipelined_groups_are_answered_in_order(start: Start) -> None:
    sandbox = start()
    group = b"MAIL FROM:<%b> SIZE=20\r\nRCPT TO:<u%d@valmerande.example>\r\nDATA\r\n"
    answer = await dialogue(
        sandbox,
        group % (SENDER.encode(), 1),
        b"Message-ID: <1@x>\r\n\r\nA\r\n.\r\n",
        group % (SENDER.encode(), 2),
        b"Message-ID: <2@x>\r\n\r\nB\r\n.\r\n",
    )
    codes = [line[:3] for line in answer.splitlines() if line[3:4] == b" "]
    assert codes == [b"220", b"250", *[b"250", b"250", b"354", b"250"] * 2, b"221"]
    assert [line["message_id"] for line in sandbox.journal("email")] == ["<1@x>", "<2@x>"]


async def test_content_keeps_its_dots_and_ends_only_at_a_whole_crlf_dot_crlf(start: Start) -> None:
    sandbox = start()
    content = b".\x2eone\r\n..\r\n\n.\nMAIL FROM:<x@x.example>\r\nend\r\n"
    await dialogue(sandbox, b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n", content, b".\r\n")
    kept = (sandbox.home / "journal" / "email.content").read_bytes()
    assert kept == b".one\r\n.\r\n\n.\nMAIL FROM:<x@x.example>\r\nend\r\n"
    assert outcomes(sandbox) == ["accepted"]


async def test_each_recipient_of_a_mail_is_a_line(start: Start) -> None:
    sandbox = start()
    await dialogue(
        sandbox,
        b"MAIL FROM:<>\r\nRCPT TO:<a@x.example>\r\nRCPT TO:<refuse.b@x.example>\r\nRCPT TO:<c@x.example>\r\nDATA\r\n",
        b"\r\nText\r\n.\r\n",
    )
    lines = [(line["recipient"], line["outcome"], line.get("n")) for line in sandbox.journal("email")]
    assert lines == [
        ("refuse.b@x.example", "refused", None),
        ("a@x.example", "accepted", 1),
        ("c@x.example", "accepted", 2),
    ]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"RCPT TO:<a@x.example>\r\n", b"503"),
        (b"MAIL FROM:<a@x.example>\r\nDATA\r\n", b"554"),
        (b"MAIL FROM:<a@x.example> SIZE=99999999\r\n", b"552"),
        (b"MAIL FROM:<a@x.example> RET=HDRS\r\n", b"555"),
        (b"MAIL FROM:a@x.example\r\n", b"501"),
        ("MAIL FROM:<é@x.example>\r\n".encode(), b"553"),
        ("MAIL FROM:<é@x.example> SMTPUTF8\r\n".encode(), b"250"),
        (b"STARTTLS\r\n", b"502"),
    ],
)
async def test_wrong_commands_get_their_code(start: Start, sent: bytes, code: bytes) -> None:
    answer = await dialogue(start(), sent)
    assert answer.splitlines()[-2][:3] == code


@pytest.mark.parametrize(
    ("recipient", "code"),
    [
        ("refuse.alice@valmerande.example", 550),
        ("bounce-hard.alice@valmerande.example", 550),
        ("anybody@refuse.example", 550),
        ("full.alice@valmerande.example", 452),
        ("greylist.alice@valmerande.example", 451),
    ],
)
async def test_an_address_is_turned_away_at_rcpt(start: Start, recipient: str, code: int) -> None:
    sandbox = start()
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as caught:
        await send(sandbox, recipient)
    assert caught.value.recipients[0].code == code
    assert outcomes(sandbox) == ["refused" if code == 550 else "deferred"]


async def test_content_of_a_spam_address_is_refused(start: Start) -> None:
    sandbox = start()
    with pytest.raises(aiosmtplib.SMTPDataError) as caught:
        await send(sandbox, "spam.alice@valmerande.example")
    assert caught.value.code == 554
    assert outcomes(sandbox) == ["refused"]


async def test_a_number_in_the_address_says_how_often_even_over_a_restart(start: Start) -> None:
    sandbox = start()
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
        await send(sandbox, "later2.alice@valmerande.example")
    sandbox.kill()
    again = start()
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
        await send(again, "later2.alice@valmerande.example")
    await send(again, "later2.alice@valmerande.example")
    assert outcomes(again) == ["deferred", "deferred", "accepted"]


async def test_throttle_says_421_and_closes_once(start: Start) -> None:
    sandbox = start()
    answer = await dialogue(sandbox, b"MAIL FROM:<a@x.example>\r\nRCPT TO:<throttle.b@x.example>\r\nDATA\r\nNOOP\r\n")
    assert answer.splitlines()[-1].startswith(b"421")
    await send(sandbox, "throttle.b@x.example")
    assert outcomes(sandbox) == ["deferred", "accepted"]


async def test_dropped_content_is_kept_but_never_answered_and_its_repetition_is_told_apart(start: Start) -> None:
    sandbox = start()
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await send(sandbox, "dropdata.alice@valmerande.example")
    await send(sandbox, "dropdata.alice@valmerande.example")
    lines = sandbox.journal("email")
    assert [(line["outcome"], line["n"]) for line in lines] == [("dropped", 1), ("accepted", 2)]
    counts = httpx.get(f"{sandbox.http}/sandbox/counts").json()["email"]
    assert (counts["duplicates"], counts["repeated_after_drop"], counts["distinct"]) == (0, 1, 1)


@pytest.mark.parametrize("name", ["hang1", "hangdata1"])
async def test_a_hanging_address_leaves_the_client_to_its_deadline(start: Start, name: str) -> None:
    sandbox = start()
    with pytest.raises((aiosmtplib.SMTPTimeoutError, TimeoutError)):
        await send(sandbox, f"{name}.alice@valmerande.example", timeout=0.3)
    await send(sandbox, f"{name}.alice@valmerande.example")
    assert outcomes(sandbox) == ["deferred", "accepted"]


async def test_late_bounce_is_a_delivery_status_notification_to_the_envelope_sender(start: Start, inlet: Inlet) -> None:
    sandbox = start("--inlet-smtp", f"127.0.0.1:{inlet.port}", "--bounce-delay-ms", "50")
    await send(sandbox, "late-bounce.alice@valmerande.example")
    await until(lambda: bool(inlet.mails))
    [(sender, recipients, message)] = inlet.mails
    assert sender in ("", "<>") and recipients == [SENDER]  # the null sender, as aiosmtpd may write it
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    _, status, original = message.iter_parts()
    blocks = status.get_payload()
    assert isinstance(blocks, list)
    fields = {name: value for block in blocks if isinstance(block, Message) for name, value in block.items()}
    assert fields["Final-Recipient"] == "rfc822; late-bounce.alice@valmerande.example"
    assert (fields["Action"], fields["Status"]) == ("failed", "5.1.1")
    assert HeaderParser().parsestr(original.get_content())["Message-ID"] == "<1@valmerande.example>"


async def test_the_bounce_is_understood_by_flufl_bounce(start: Start, inlet: Inlet) -> None:
    from flufl.bounce import all_failures

    sandbox = start("--inlet-smtp", f"127.0.0.1:{inlet.port}", "--bounce-delay-ms", "0", "--no-bodies")
    await send(sandbox, "late-bounce.alice@valmerande.example")
    await until(lambda: bool(inlet.mails))
    temporary, permanent = all_failures(inlet.mails[0][2])
    assert not temporary and permanent == {b"late-bounce.alice@valmerande.example"}


async def test_out_of_office_is_an_automatic_reply_and_no_failure(start: Start, inlet: Inlet) -> None:
    sandbox = start("--inlet-smtp", f"127.0.0.1:{inlet.port}", "--bounce-delay-ms", "0")
    await send(sandbox, "ooo.alice@valmerande.example")
    await until(lambda: bool(inlet.mails))
    sender, recipients, message = inlet.mails[0]
    assert sender in ("", "<>") and recipients == [SENDER]  # the null sender, as aiosmtpd may write it
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["In-Reply-To"] == "<1@valmerande.example>"


async def test_bounces_not_taken_by_the_inlet_are_sent_after_a_restart_and_then_no_more(
    start: Start, inlet: Inlet
) -> None:
    inlet.refusing = True
    options = ("--inlet-smtp", f"127.0.0.1:{inlet.port}", "--bounce-delay-ms", "0")
    sandbox = start(*options)
    await send(sandbox, "late-bounce.alice@valmerande.example")
    sandbox.kill()
    inlet.refusing = False
    again = start(*options)
    await until(lambda: len(again.journal("acknowledged")) == 1)
    again.kill()
    third = start(*options)
    assert httpx.get(f"{third.http}/sandbox/counts").json()["courier"] == {"pending": 0, "acknowledged": 1}
    assert len(inlet.mails) == 1


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("throttle", aiosmtplib.SMTPRecipientsRefused),
        ("refuse", aiosmtplib.SMTPRecipientsRefused),
        ("error", aiosmtplib.SMTPDataError),
        ("drop", aiosmtplib.SMTPServerDisconnected),
        ("hang", TimeoutError),
    ],
)
async def test_a_fault_asked_for_shows_as_often_as_asked(start: Start, kind: str, error: type[Exception]) -> None:
    sandbox = start()
    asked = {"provider": "email", "kind": kind, "count": 2}
    assert httpx.post(f"{sandbox.http}/sandbox/faults", json=asked).status_code == 201
    for _ in range(2):
        with pytest.raises((error, aiosmtplib.SMTPTimeoutError, aiosmtplib.SMTPServerDisconnected)):
            await send(sandbox, "alice@valmerande.example", timeout=0.5)
    await send(sandbox, "alice@valmerande.example")
    lines = sandbox.journal("email")
    assert [line["rule"] for line in lines] == ["fault", "fault", None]
    assert httpx.get(f"{sandbox.http}/sandbox/faults").json() == []


async def test_sigterm_answers_for_what_is_journalled_before_it_closes(start: Start) -> None:
    sandbox = start("--latency-ms", "60000")
    sending = asyncio.create_task(send(sandbox, "alice@valmerande.example"))
    await until(lambda: outcomes(sandbox) == ["accepted"])
    assert await asyncio.to_thread(sandbox.stop) == 0
    assert "Accepted as 1" in await sending


async def test_no_bodies_keeps_no_content(start: Start) -> None:
    sandbox = start("--no-bodies")
    await send(sandbox, "alice@valmerande.example")
    assert sandbox.journal("email")[0]["content_at"] is None
    assert (sandbox.home / "journal" / "email.content").stat().st_size == 0


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sandbox", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


async def test_a_second_one_on_the_same_home_says_so_and_ends(start: Start) -> None:
    sandbox = start()
    second = run("--home", str(sandbox.home))
    assert second.returncode == 1 and "another sandbox already uses" in second.stderr


async def test_a_port_that_is_taken_is_named(start: Start, tmp_path: Path) -> None:
    sandbox = start()
    second = run("--home", str(tmp_path / "other"), "--smtp-port", str(sandbox.smtp_port))
    assert second.returncode == 1 and str(sandbox.smtp_port) in second.stderr


def test_a_webhook_without_its_secret_is_a_fault_of_options(tmp_path: Path) -> None:
    told = run("--home", str(tmp_path), "--sms-webhook", "http://127.0.0.1:1/hook")
    assert told.returncode == 2 and "--sms-webhook-secret-file" in told.stderr


async def test_the_ready_line_is_all_that_it_prints(start: Start) -> None:
    sandbox = start()
    assert sandbox.process.stdout is not None
    sandbox.process.terminate()
    assert await asyncio.to_thread(sandbox.process.stdout.read) == b""
    assert json.dumps(sandbox.http).startswith('"http://127.0.0.1:')
