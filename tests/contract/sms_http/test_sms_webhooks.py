"""Receipts and replies as the sandbox signs them, read by our own verification."""

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from publishers.sms.json_gateway import HttpGateway, SmsHttp
from schemas.deliveries import State
from schemas.messages import Text
from schemas.stop_words import stop_word
from schemas.webhooks import BadSignature, SmsInbound, SmsReceipt, parse, verify
from tests.contract.conftest import Sandbox, running_sandbox
from tests.contract.fault_server import FaultServer, Reply, Request, fault_server

pytestmark = pytest.mark.contract

SECRET = "whsec_" + base64.b64encode(b"shared with the gateway alone").decode()


@pytest.fixture
async def inlet() -> AsyncIterator[FaultServer]:
    async with fault_server(lambda _: Reply(204, b"")) as server:
        yield server


@pytest.fixture
async def gateway(inlet: FaultServer, tmp_path: Path) -> AsyncIterator[Sandbox]:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    webhook = ("--sms-webhook", f"{inlet.url}/webhooks/sms", "--sms-webhook-secret-file", str(secret))
    with running_sandbox(tmp_path, *webhook, "--receipt-delay-ms", "0") as running:
        yield running


@pytest.fixture
async def publisher(gateway: Sandbox) -> AsyncIterator[SmsHttp]:
    options = {"url": gateway.http, "token": "token-of-valmerande", "webhook_secret": SECRET}
    opened = SmsHttp(HttpGateway.model_validate(options))
    yield opened
    await opened.aclose()


def _told(request: Request) -> SmsReceipt | SmsInbound:
    assert verify(request.headers, request.content, [SECRET], datetime.now(UTC))
    return parse(request.content)


@pytest.mark.parametrize(
    ("number", "state", "error"),
    [
        ("+33639980001", State.DELIVERED, None),
        ("+33639980192", State.FAILED, "unknown_subscriber"),
        ("+33639980186", State.FAILED, "absent_subscriber"),
    ],
)
async def test_receipt_is_ours_and_proves_a_state(
    inlet: FaultServer, publisher: SmsHttp, number: str, state: State, error: str | None
) -> None:
    accepted = await publisher.publish(Text("a-1.1", "VALMERANDE", number, "Rue barrée"))
    await inlet.reached()
    told = _told(inlet.requests[0])
    assert isinstance(told, SmsReceipt)
    assert (told.id, told.client_reference) == (accepted.reference, "a-1.1")
    assert (told.state, told.error) == (state, error)


async def test_receipt_that_was_not_acknowledged_comes_again_under_the_same_id(
    inlet: FaultServer, publisher: SmsHttp
) -> None:
    inlet.next.append(Reply(503, b""))
    await publisher.publish(Text("a-1.1", "VALMERANDE", "+33639980001", "Rue barrée"))
    await inlet.reached(2)
    first, second = (verify(r.headers, r.content, [SECRET], datetime.now(UTC)) for r in inlet.requests)
    assert first == second


async def test_receipt_signed_for_somebody_else_is_refused(inlet: FaultServer, publisher: SmsHttp) -> None:
    await publisher.publish(Text("a-1.1", "VALMERANDE", "+33639980001", "Rue barrée"))
    await inlet.reached()
    [request] = inlet.requests
    with pytest.raises(BadSignature):
        verify(request.headers, request.content, ["whsec_" + "QUJD" * 8], datetime.now(UTC))
    with pytest.raises(BadSignature):
        verify(request.headers, request.content.replace(b"delivered", b"rejected!"), [SECRET], datetime.now(UTC))


async def test_reply_of_a_handset_is_read_and_understood(
    inlet: FaultServer, gateway: Sandbox, publisher: SmsHttp
) -> None:
    await publisher.publish(Text("a-1.1", "VALMERANDE", "+33639980001", "Rue barrée"))
    await inlet.reached()
    async with httpx.AsyncClient(base_url=gateway.http) as client:
        answer = await client.post("/sms/handset/+33639980001/reply", json={"text": "Stop svp"})
    assert answer.is_success, answer.text
    await inlet.reached(2)
    told = _told(inlet.requests[1])
    assert isinstance(told, SmsInbound)
    assert (told.sender, told.to, stop_word(told.text)) == ("+33639980001", "VALMERANDE", "out")
