"""SMS by Twilio, over a fault server and over the sandbox, both with the error bodies of its documentation."""

import base64
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, parse_qsl

import httpx
import pytest
from structlog.testing import capture_logs

from publishers.base import Checks, Finds, LooksUp, Permanent, Receipt, Transient
from publishers.sms import twilio_receipts
from publishers.sms.twilio import SmsTwilio, TwilioGateway
from publishers.sms.twilio_errors import CODES
from schemas.deliveries import State
from schemas.messages import Text
from schemas.stop_words import stop_word
from schemas.webhooks import SmsInbound, SmsReceipt
from tests.contract.conftest import Sandbox, running_sandbox
from tests.contract.fault_server import FaultServer, Reply, Request, fault_server
from tests.contract.gateways import (
    ACCOUNT,
    DOOR,
    KEY,
    TOKEN,
    ContractOfGateways,
    ContractOfSandboxNumbers,
    SmsOverFaults,
    SmsOverSandbox,
    SmsPeer,
    twilio_options,
)
from tests.contract.suite import AT_MOST, PATIENCE, Trouble, outcome

pytestmark = pytest.mark.contract

SERVICE = "MG" + "2" * 32


def options_for(url: str, **more: Any) -> TwilioGateway:
    return TwilioGateway.model_validate(twilio_options(url, concurrency=5, **more))


def _error(code: int | str, status: int = 418, pause: str = "11") -> Reply:
    """The body that Twilio sends with an error."""
    content = {
        "code": int(code),
        "message": f"about {code}",
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return Reply(status, content, {"Retry-After": pause})


class TwilioPeer(SmsPeer):
    def __init__(self, url: str) -> None:
        self.url = url

    def open(self, *, timeout: float = AT_MOST, token: str | None = None, url: str | None = None) -> SmsTwilio:
        secret = f"sandbox-{token or 'secret'}"
        return SmsTwilio(options_for(url or self.url, timeout=timeout, api_secret=secret))


class OverFaults(TwilioPeer, SmsOverFaults):
    replies: ClassVar[Mapping[Trouble, Reply | bytes]] = {
        Trouble.REFUSE: _error(21610, 400),
        Trouble.THROTTLE: _error(20429, 429, "7"),
        Trouble.UNAVAILABLE: _error(20503, 503),
    }

    def __init__(self, server: FaultServer) -> None:
        super().__init__(server.url)
        self.server = server
        self.messages: list[dict[str, Any]] = []
        server.application = self.twilio

    def error(self, code: str, status: int) -> Reply:
        return _error(code, status)

    def twilio(self, request: Request) -> Reply:
        """A Twilio that keeps to its documentation, for whatever is not told otherwise."""
        keys = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        if keys != f"{KEY}:sandbox-secret":
            return _error(20003, 401)
        if request.path == f"/2010-04-01/Accounts/{ACCOUNT}.json":
            return Reply(200, {"sid": ACCOUNT, "status": "active", "friendly_name": "Valmerande"})
        assert request.path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
        if request.method == "GET":
            # a sloppy filter: the publisher must check
            return Reply(200, {"messages": list(reversed(self.messages))[: int(request.query["PageSize"][0])]})
        form = form_of(request)
        if len(form["Body"]) > 1600:
            return _error(21617, 400)
        return Reply(201, self.take(form))

    def take(self, form: dict[str, str], at: datetime | None = None) -> dict[str, Any]:
        """Keep a message, as the list then shows it."""
        taken = {
            "sid": f"SM{len(self.messages):032x}",
            "body": form["Body"],
            "to": form["To"],
            "from": form.get("From"),
            "direction": "outbound-api",
            "status": "queued",
            "date_created": format_datetime(at or datetime.now(UTC)),
            "date_sent": None,
        }
        self.messages.append(taken)
        return taken

    async def taken(self, message: Any) -> int:
        return sum(one["body"] == message.text for one in self.messages)


class OverSandbox(TwilioPeer, SmsOverSandbox):
    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(f"{sandbox.http}/twilio")
        self.sandbox = sandbox


class TestOverFaultServer(ContractOfGateways):
    """Whatever a server can do wrong."""


class TestOverSandbox(ContractOfSandboxNumbers):
    @pytest.fixture
    def peer(self, sandbox: Sandbox) -> OverSandbox:
        return OverSandbox(sandbox)

    async def test_search_finds_what_was_taken_without_an_answer(self, peer: OverSandbox, publisher: SmsTwilio) -> None:
        message, since = peer.message(), datetime.now(UTC)
        assert await publisher.find(message, since) is None
        await peer.will(Trouble.TAKE_AND_CUT)
        await outcome(publisher, message)
        found = await publisher.find(message, since)
        assert found is not None and found.reference

    async def test_check_proves_the_keys(self, peer: OverSandbox, publisher: SmsTwilio) -> None:
        [finding] = await publisher.check()
        assert finding.ok and finding.name == ACCOUNT
        wrong = peer.open(token="wrong")
        [finding] = await wrong.check()
        assert not finding.ok and finding.mend
        await wrong.aclose()


@pytest.fixture
def peer(faults: FaultServer) -> OverFaults:
    return OverFaults(faults)


def form_of(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.content.decode(), strict_parsing=True))


def test_it_can_be_searched_but_not_asked_by_key(publisher: SmsTwilio) -> None:
    assert isinstance(publisher, Finds) and isinstance(publisher, Checks)
    assert not isinstance(publisher, LooksUp)


async def test_request_is_what_twilio_documents(peer: OverFaults, publisher: SmsTwilio) -> None:
    await publisher.publish(Text("1f-2a.1", "VALMERANDE", "+33639980001", "Crue : évacuez"))
    [request] = peer.server.requests
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert form_of(request) == {
        "To": "+33639980001",
        "From": "VALMERANDE",
        "Body": "Crue : évacuez",
        "ValidityPeriod": "36000",
        "StatusCallback": f"{DOOR}?key=1f-2a.1",
    }


async def test_messaging_service_chooses_the_sender(peer: OverFaults) -> None:
    publisher = SmsTwilio(options_for(peer.url, messaging_service_sid=SERVICE))
    message = Text("a", "VALMERANDE", "+33639980001", "x")
    await publisher.publish(message)
    form = form_of(peer.server.requests[0])
    assert form["MessagingServiceSid"] == SERVICE and "From" not in form
    assert await publisher.find(message, datetime.now(UTC)) is not None, "whoever the sender was"
    await publisher.aclose()


async def test_validity_ends_with_the_announcement(peer: OverFaults, publisher: SmsTwilio) -> None:
    await publisher.publish(Text("a", "V", "+33639980001", "x", datetime.now(UTC) + timedelta(minutes=10)))
    assert 590 <= int(form_of(peer.server.requests[0])["ValidityPeriod"]) <= 600


@pytest.mark.parametrize("code", CODES)
async def test_every_code_of_the_table_is_told_with_its_reason(
    peer: OverFaults, publisher: SmsTwilio, code: str
) -> None:
    peer.server.next.append(_error(code))
    with capture_logs() as logs:
        error = await outcome(publisher, peer.message())
    verdict = CODES[code]
    assert (type(error), error.code, error.reason) == (verdict.error, code, verdict.reason)
    assert not isinstance(error, Transient) or error.retry_after == 11
    assert not isinstance(error, Permanent) or error.address_dead is verdict.address_dead
    assert ("sms.settings_fault" in {line["event"] for line in logs}) is verdict.settings_fault


def test_stop_and_an_unreachable_telephone_kill_no_address() -> None:
    dead = {code for code, verdict in CODES.items() if verdict.address_dead}
    assert dead == {"21211", "21614", "21635", "30005"}
    assert SmsTwilio.of_message == {"21408", "21608"}


async def test_search_ignores_other_words_numbers_senders_and_times(peer: OverFaults, publisher: SmsTwilio) -> None:
    message, now = Text("a", "VALMERANDE", "+33639980001", "Rue barrée"), datetime.now(UTC)
    form = {"To": message.recipient, "From": message.sender, "Body": message.text}
    peer.take(form | {"Body": "Rue rouverte"})
    peer.take(form | {"To": "+33639980002"})
    peer.take(form | {"From": "ORVELLE"})
    peer.take(form, now - timedelta(hours=1))
    assert await publisher.find(message, now) is None
    sid = peer.take(form | {"Body": f"{message.text} "})["sid"]
    assert await publisher.find(message, now) == Receipt(reference=sid)


async def test_so_many_messages_to_one_number_that_the_page_is_full_prove_nothing(
    peer: OverFaults, publisher: SmsTwilio
) -> None:
    message = Text("a", "VALMERANDE", "+33639980001", "Rue barrée")
    for _ in range(60):
        peer.take({"To": message.recipient, "From": message.sender, "Body": "x"})
    with pytest.raises(Transient, match="too many"):
        await publisher.find(message, datetime.now(UTC))


@pytest.mark.parametrize(
    "told", [_error(20500, 500), Reply(404), Trouble.GIBBERISH, Trouble.HALF_A_REPLY, Trouble.HANG]
)
async def test_search_that_fails_is_not_taken_for_never_seen(peer: OverFaults, told: Trouble | Reply) -> None:
    publisher = peer.open(timeout=PATIENCE)
    peer.server.next.append(told)
    with pytest.raises(Transient):
        await publisher.find(peer.message(), datetime.now(UTC))
    await publisher.aclose()


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        (Reply(200, {"status": "active"}), True),
        (Reply(200, {"status": "suspended"}), False),
        (Reply(200, {}), False),
        (_error(20404, 404), False),
        (Trouble.HALF_A_REPLY, False),
    ],
)
async def test_check_says_what_to_mend_and_sends_nothing(
    peer: OverFaults, publisher: SmsTwilio, answer: Reply | Trouble, ok: bool
) -> None:
    peer.server.next.append(answer)
    [finding] = await publisher.check()
    assert finding.ok is ok and (finding.mend is None) is ok
    assert peer.messages == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"account_sid": "AC1"}, "account_sid"),
        ({"api_key": ACCOUNT}, "api_key"),
        ({"api_secret": ""}, "api_secret"),
        ({"auth_token": ""}, "auth_token"),
        ({"messaging_service_sid": "service"}, "messaging_service_sid"),
        ({"status_callback": f"{DOOR}?a=b"}, "status_callback"),
        ({"tokne": "x"}, "tokne"),
    ],
)
def test_faulty_option_is_named(change: dict[str, Any], where: str) -> None:
    with pytest.raises(ValueError, match=where):
        options_for("https://api.twilio.com", **change)


def test_secrets_show_nowhere() -> None:
    written = repr(options_for("https://api.twilio.com"))
    assert "sandbox-secret" not in written and TOKEN not in written


@pytest.fixture
async def inlet() -> AsyncIterator[FaultServer]:
    async with fault_server(lambda _: Reply(204, b"")) as server:
        yield server


def _read(request: Request, door: str) -> SmsReceipt | SmsInbound:
    """What a callback says, once its signature is verified as our door does."""
    form = parse_qsl(request.content.decode(), keep_blank_values=True)
    query = "&".join(f"{name}={value[0]}" for name, value in request.query.items())
    url = f"{door}?{query}" if query else door
    twilio_receipts.verify(TOKEN, url, form, request.headers["x-twilio-signature"])
    return twilio_receipts.read(dict(form), parse_qs(query).get("key", [None])[0])


@pytest.mark.parametrize(
    ("number", "state", "error"),
    [
        ("+33639980001", State.DELIVERED, None),
        ("+33639980192", State.FAILED, "30005"),
        ("+33639980186", State.FAILED, "30003"),
    ],
)
async def test_callbacks_of_the_sandbox_are_signed_and_read(
    inlet: FaultServer, tmp_path: Path, number: str, state: State, error: str | None
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    door = f"{inlet.url}/webhooks/sms/twilio"
    with running_sandbox(
        tmp_path, "--twilio-auth-token-file", str(tmp_path / "token"), "--receipt-delay-ms", "0"
    ) as running:
        publisher = SmsTwilio(options_for(f"{running.http}/twilio", status_callback=door))
        accepted = await publisher.publish(Text("1f-2a.1", "+33639980555", number, "Rue barrée"))
        await inlet.reached()
        told = _read(inlet.requests[0], door)
        assert isinstance(told, SmsReceipt)
        assert (told.id, told.client_reference) == (accepted.reference, "1f-2a.1")
        assert (told.state, told.error, bool(told.reason)) == (state, error, error is not None)
        async with httpx.AsyncClient(base_url=running.http) as client:
            answer = await client.post(f"/sms/handset/{number}/reply", json={"text": "Stop svp"})
        assert answer.is_success, answer.text
        await inlet.reached(2)
        await publisher.aclose()
    said = _read(inlet.requests[1], door)
    assert isinstance(said, SmsInbound)
    assert (said.sender, said.to, stop_word(said.text)) == (number, "+33639980555", "out")
