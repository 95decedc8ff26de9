import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from structlog.testing import capture_logs

from publishers.base import LooksUp, Permanent, PublishesMany, Receipt, Transient, Unknown, Untried
from publishers.sms.json_gateway import CODES, HttpGateway, SmsHttp
from schemas.messages import Post, Text
from tests.contract.conftest import Sandbox
from tests.contract.fault_server import FaultServer, Reply, Request
from tests.contract.gateways import (
    ContractOfGateways,
    ContractOfLookUps,
    ContractOfSandboxNumbers,
    SmsOverFaults,
    SmsOverSandbox,
    SmsPeer,
    http_options,
)
from tests.contract.suite import (
    AT_MOST,
    PATIENCE,
    Reports,
    Trouble,
    outcome,
)

pytestmark = pytest.mark.contract


def _refusal(status: int, code: str, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, {"error": {"code": code, "message": f"about {code}"}}, headers or {})


class HttpPeer(SmsPeer):
    def __init__(self, url: str) -> None:
        self.url = url

    def open(self, *, timeout: float = AT_MOST, token: str | None = None, url: str | None = None) -> SmsHttp:
        options = http_options(url or self.url, timeout=timeout, concurrency=5, **({"token": token} if token else {}))
        return SmsHttp(HttpGateway.model_validate(options))


class OverFaults(HttpPeer, SmsOverFaults):
    replies: ClassVar[Mapping[Trouble, Reply | bytes]] = {
        Trouble.REFUSE: _refusal(400, "invalid_number"),
        Trouble.THROTTLE: _refusal(429, "throttled", {"Retry-After": "7"}),
        Trouble.UNAVAILABLE: _refusal(503, "unavailable"),
    }

    def __init__(self, server: FaultServer) -> None:
        super().__init__(server.url)
        self.server = server
        self.taken_keys: list[str] = []
        server.application = self.gateway

    def error(self, code: str, status: int) -> Reply:
        return _refusal(status, code)

    def gateway(self, request: Request) -> Reply:
        """A gateway that keeps the contract, for whatever is not told otherwise."""
        if request.headers["authorization"] != "Bearer token-of-valmerande":
            return _refusal(401, "invalid_token")
        if request.method == "GET":
            [reference] = request.query["client_reference"]
            known = [
                {"id": f"id-{key}", "client_reference": key, "to": "+33639980001", "status": "accepted"}
                for key in self.taken_keys
                if key.startswith(reference)  # a sloppy gateway: the publisher must check
            ]
            return Reply(200, {"messages": known})
        assert request.json["receipt"] is True
        if len(request.json["text"]) > 1530:
            return _refusal(413, "too_long")
        self.taken_keys.append(request.json["client_reference"])
        return Reply(202, {"id": f"id-{len(self.taken_keys)}", "segments": 1, "encoding": "GSM-7"})

    async def taken(self, message: Any) -> int:
        return self.taken_keys.count(message.key)


class OverSandbox(HttpPeer, SmsOverSandbox):
    broken = Transient  # by the gateway's own code for it

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox.http)
        self.sandbox = sandbox


class TestOverFaultServer(ContractOfGateways):
    """Whatever a server can do wrong."""


class TestOverSandbox(ContractOfSandboxNumbers, ContractOfLookUps):
    @pytest.fixture
    def peer(self, sandbox: Sandbox) -> OverSandbox:
        return OverSandbox(sandbox)


@pytest.fixture
def peer(faults: FaultServer) -> OverFaults:
    return OverFaults(faults)


def test_it_has_the_faster_way_and_can_be_asked(publisher: SmsHttp) -> None:
    assert isinstance(publisher, PublishesMany) and isinstance(publisher, LooksUp)


async def test_request_is_what_the_gateway_documents(peer: OverFaults, publisher: SmsHttp) -> None:
    await publisher.publish(Text("a-1.1", "VALMERANDE", "+33639980001", "Crue : évacuez"))
    [request] = peer.server.requests
    assert (request.method, request.path) == ("POST", "/sms/messages")
    assert request.json == {
        "to": "+33639980001",
        "from": "VALMERANDE",
        "text": "Crue : évacuez",
        "client_reference": "a-1.1",
        "receipt": True,
    }


async def test_validity_ends_with_the_announcement(peer: OverFaults, publisher: SmsHttp) -> None:
    expires = datetime.now(UTC) + timedelta(minutes=10)
    await publisher.publish(Text("a-1.1", "VALMERANDE", "+33639980001", "x", expires))
    assert 590 <= peer.server.requests[0].json["validity_seconds"] <= 600


@pytest.mark.parametrize("code", CODES)
async def test_every_code_of_the_table_is_told_with_its_reason(peer: OverFaults, publisher: SmsHttp, code: str) -> None:
    peer.server.next.append(_refusal(418, code, {"Retry-After": "11"}))
    error = await outcome(publisher, peer.message())
    assert (type(error), error.code, error.reason) == (CODES[code].error, code, CODES[code].reason)
    assert isinstance(error, Permanent) or (isinstance(error, Transient) and error.retry_after == 11)


async def test_only_a_number_that_does_not_exist_kills_the_address() -> None:
    assert {code for code, verdict in CODES.items() if verdict.address_dead} == {"invalid_number"}


async def test_looking_up_ignores_other_keys_and_other_numbers(peer: OverFaults, publisher: SmsHttp) -> None:
    peer.taken_keys += ["a-1.10", "a-1.1"]
    assert await publisher.look_up("a-1.1", "+33639980001") == Receipt(reference="id-a-1.1")
    assert await publisher.look_up("a-1.1", "+33639980002") is None
    assert await publisher.look_up("a-1.2", "+33639980001") is None


@pytest.mark.parametrize(
    "told", [_refusal(500, "internal_error"), Reply(404), Trouble.GIBBERISH, Trouble.HALF_A_REPLY, Trouble.HANG]
)
async def test_look_up_that_fails_is_not_taken_for_never_seen(peer: OverFaults, told: Trouble | Reply) -> None:
    publisher = peer.open(timeout=PATIENCE)
    peer.server.next.append(told)
    with pytest.raises(Transient):
        await publisher.look_up("a-1.1", "+33639980001")
    await publisher.aclose()


async def test_many_are_reported_once_each_with_their_own_outcome(peer: OverFaults, publisher: SmsHttp) -> None:
    await peer.will(Trouble.REFUSE)
    await peer.will(Trouble.THROTTLE)
    messages, reports = [peer.message() for _ in range(40)], Reports()
    await publisher.publish_many(messages, reports)
    assert set(reports) == {message.key for message in messages}
    assert sorted(kind.__name__ for kind in reports.types()) == ["Permanent", *["Receipt"] * 38, "Transient"]


async def test_no_more_at_once_than_the_account_takes(peer: OverFaults, publisher: SmsHttp) -> None:
    for _ in range(5):
        await peer.will(Trouble.HANG)
    messages, reports = [peer.message() for _ in range(12)], Reports()
    sending = asyncio.create_task(publisher.publish_many(messages, reports))
    await peer.server.reached(5)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert [type(reports[message.key]) for message in messages] == [Unknown] * 5 + [Untried] * 7
    assert len(peer.server.requests) == 5


async def test_cancelling_before_anything_started_leaves_all_untried(peer: OverFaults, publisher: SmsHttp) -> None:
    messages, reports = [peer.message() for _ in range(8)], Reports()
    sending = asyncio.create_task(publisher.publish_many(messages, reports))
    await asyncio.sleep(0)  # the workers exist, and none has run
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert reports.types() == [Untried] * 8
    assert peer.server.requests == []


async def test_closing_while_many_are_sent_reports_them_all(peer: OverFaults, publisher: SmsHttp) -> None:
    for _ in range(5):
        await peer.will(Trouble.HANG)
    messages, reports = [peer.message() for _ in range(12)], Reports()
    sending = asyncio.create_task(publisher.publish_many(messages, reports))
    await peer.server.reached(5)
    await publisher.aclose()
    async with asyncio.timeout(AT_MOST / 2):
        await sending
    assert [type(reports[message.key]) for message in messages] == [Unknown] * 5 + [Untried] * 7


async def test_message_of_another_family_is_a_defect_told_for_it_alone(peer: OverFaults, publisher: SmsHttp) -> None:
    reports = Reports()
    with capture_logs():
        await publisher.publish_many([Post("p", "mairie", "x", "fr"), peer.message()], reports)
    assert reports.types() == [Transient, Receipt]


async def test_no_messages_is_nothing_to_do(peer: OverFaults, publisher: SmsHttp) -> None:
    await publisher.publish_many([], Reports())
    assert peer.server.requests == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"url": "gateway"}, "url"),
        ({"token": ""}, "token"),
        ({"webhook_secret": "short"}, "webhook_secret"),
        ({"webhook_secret": " "}, "webhook_secret"),
        ({"webhook_secret": "whsec_****"}, "webhook_secret"),
        ({"timeout": 0}, "timeout"),
        ({"concurrency": 0}, "concurrency"),
        ({"tokne": "x"}, "tokne"),
    ],
)
def test_faulty_option_is_named(change: dict[str, Any], where: str) -> None:
    good = {"url": "https://sms.example/v1/", "token": "t", "webhook_secret": "x" * 24}
    with pytest.raises(ValueError, match=where):
        HttpGateway.model_validate(good | change)


def test_two_webhook_secrets_while_one_is_replaced() -> None:
    options = HttpGateway.model_validate(
        {"url": "https://e.example", "token": "t", "webhook_secret": f"{'x' * 24} {'y' * 24}"}
    )
    assert options.webhook_secrets == ("x" * 24, "y" * 24)
    assert "x" * 24 not in repr(options)
