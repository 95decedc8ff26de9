"""The door for what comes back: our signed envelope senders, and complaints that quote one."""

from collections.abc import AsyncIterator

import aiosmtplib
import pytest

from hub.addresses import Signer, key
from hub.settings import InletSettings
from schemas.deliveries import DeliveryId
from store.database import Pool, open_pool
from streams.inlet import Inlet

pytestmark = pytest.mark.integration

SIGNER = Signer(b"a secret of the tests, long enough")
DOMAIN = "bounces.valmerande.example"
KEY = key(DeliveryId(31, 42), 1)
OURS = SIGNER.envelope_sender(KEY, DOMAIN)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database)
    yield opened
    await opened.close()


@pytest.fixture
async def port(pool: Pool) -> AsyncIterator[int]:
    """Where the inlet listens."""
    inlet = Inlet(pool, InletSettings(port=0), SIGNER, DOMAIN)
    await inlet.start()
    yield inlet.port
    await inlet.stop()


async def kept(pool: Pool) -> list[tuple[str, str | None]]:
    async with pool.acquire() as connection:
        rows = await connection.fetch("SELECT kind, hint FROM receipt ORDER BY id")
    return [(row["kind"], row["hint"]) for row in rows]


async def hand_in(port: int, recipient: str, body: bytes) -> int:
    """What the inlet answers, in a number, to RCPT or to the end of DATA."""
    try:
        refused, _ = await aiosmtplib.send(
            body,
            sender="mailer-daemon@relais.example",
            recipients=[recipient],
            hostname="127.0.0.1",
            port=port,
            start_tls=False,
        )
    except aiosmtplib.SMTPRecipientsRefused as error:
        return error.recipients[0].code
    except aiosmtplib.SMTPResponseException as error:
        return error.code
    return 250 if not refused else 0


def complaint(returned: str) -> bytes:
    return (
        "From: fbl@boites.example\nSubject: complaint\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="b"\n\n'
        "--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\n\n"
        f"--b\nContent-Type: message/rfc822\n\n{returned}\nSubject: Travaux\n\n--b--\n"
    ).encode()


async def test_bounce_to_our_envelope_sender_is_kept_with_its_key(pool: Pool, port: int) -> None:
    assert await hand_in(port, OURS, b"Subject: failure notice\n\nNo.") == 250
    assert await kept(pool) == [("bounce", KEY)]


@pytest.mark.parametrize("recipient", [f"fbl@{DOMAIN}", f"FBL@{DOMAIN.upper()}"])
@pytest.mark.parametrize("line", ["Return-Path: <{}>", "X-Original-Sender: {}"])
async def test_complaint_that_quotes_our_envelope_sender_is_kept_with_its_key(
    pool: Pool, port: int, recipient: str, line: str
) -> None:
    assert await hand_in(port, recipient, complaint(line.format(OURS))) == 250
    assert await kept(pool) == [("bounce", KEY)]


@pytest.mark.parametrize(
    "returned",
    [
        f"Message-ID: <{KEY}@valmerande.example>",
        f"Return-Path: <b-{KEY}-aaaaaaaaaaaaaaaa@{DOMAIN}>",
        f"Return-Path: <{Signer(b'another secret, as long').envelope_sender(KEY, DOMAIN)}>",
        "Return-Path: <nobody@example.org>",
    ],
)
async def test_complaint_that_proves_nothing_is_refused_and_not_kept(pool: Pool, port: int, returned: str) -> None:
    assert await hand_in(port, f"fbl@{DOMAIN}", complaint(returned)) == 550
    assert await kept(pool) == []


@pytest.mark.parametrize(
    "recipient", [f"fbl@{DOMAIN}.evil.example", "fbl@other.example", f"postmaster@{DOMAIN}", f"b-{KEY}-x@{DOMAIN}"]
)
async def test_anybody_else_has_no_mailbox_here(pool: Pool, port: int, recipient: str) -> None:
    assert await hand_in(port, recipient, complaint(f"Return-Path: <{OURS}>")) == 550
    assert await kept(pool) == []
