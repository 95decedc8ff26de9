"""SMS by OVHcloud, over a fault server and over the sandbox, which verifies our signatures itself."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from structlog.testing import capture_logs

from publishers.base import Checks, LooksUp, Permanent, Receipt, Transient, Unknown, Untried
from publishers.sms import ovh_receipts
from publishers.sms.ovh import OvhGateway, SmsOvh, signature
from publishers.sms.ovh_errors import CODES
from schemas.deliveries import State
from schemas.messages import Text
from tests.contract.conftest import Sandbox, running_sandbox
from tests.contract.fault_server import FaultServer, Reply, Request, fault_server
from tests.contract.gateways import (
    SERVICE,
    ContractOfGateways,
    ContractOfLookUps,
    ContractOfSandboxNumbers,
    SmsOverFaults,
    SmsOverSandbox,
    SmsPeer,
    ovh_options,
)
from tests.contract.suite import AT_MOST, PATIENCE, Trouble, outcome

pytestmark = pytest.mark.contract


def options_for(url: str, **more: Any) -> OvhGateway:
    return OvhGateway.model_validate(ovh_options(url, concurrency=5, **more))


class OvhPeer(SmsPeer):
    def __init__(self, url: str) -> None:
        self.url = url

    def open(self, *, timeout: float = AT_MOST, token: str | None = None, url: str | None = None) -> SmsOvh:
        return SmsOvh(options_for(url or self.url, timeout=timeout, consumer_key=f"sandbox-{token or 'consumer'}"))


class OverFaults(OvhPeer, SmsOverFaults):
    replies: ClassVar[Mapping[Trouble, Reply | bytes]] = {
        Trouble.REFUSE: Reply(
            200, {"ids": [], "invalidReceivers": ["+33639980300"], "validReceivers": [], "totalCreditsRemoved": 0}
        ),
        Trouble.THROTTLE: Reply(
            429, {"class": "Client::TooManyRequests", "message": "Too many requests"}, {"Retry-After": "7"}
        ),
        Trouble.UNAVAILABLE: Reply(503, {"class": "Server::ServiceUnavailable", "message": "Service unavailable"}),
    }

    def __init__(self, server: FaultServer) -> None:
        super().__init__(f"{server.url}/1.0")
        self.server = server
        self.tags: list[str] = []
        self.waiting: dict[int, str] = {}
        server.application = self.ovh
        server.meets = lambda request: request.path != "/1.0/auth/time"

    def error(self, code: str, status: int) -> Reply:
        return _error(code, status)

    @property
    def jobs(self) -> list[Request]:
        """The requests that send."""
        return [request for request in self.server.requests if request.method == "POST"]

    def ovh(self, request: Request) -> Reply:
        """An OVHcloud that keeps to its documentation, for whatever is not told otherwise."""
        path = request.path.removeprefix("/1.0")
        if path == "/auth/time":
            return Reply(200, int(time.time()) + 7200)
        if request.headers["x-ovh-consumer"] != "sandbox-consumer":
            code = "INVALID_CREDENTIAL" if request.headers["x-ovh-consumer"].endswith("expired") else "NOT_CREDENTIAL"
            return Reply(403, {"errorCode": code, "httpCode": "403 Forbidden", "message": "no"})
        place = path.removeprefix(f"/sms/{SERVICE}").strip("/").split("/")
        if request.method == "POST":
            return self._send(request)
        if place == ["jobs"]:
            return Reply(200, list(self.waiting))
        if place[0] == "jobs":
            receiver = self.waiting.get(int(place[1]))
            return Reply(200, {"id": int(place[1]), "receiver": receiver}) if receiver else Reply(404, {"message": "x"})
        if place == ["outgoing"]:
            # a sloppy filter: the publisher must check
            return Reply(200, [n for n, tag in enumerate(self.tags, 1) if tag.startswith(request.query["tag"][0])])
        if place[0] == "outgoing":
            tag = self.tags[int(place[1]) - 1]
            return Reply(200, {"id": int(place[1]), "receiver": "+33639980300", "tag": tag, "ptt": 4})
        return Reply(200, {"name": SERVICE, "status": "enable", "creditsLeft": 12})

    def _send(self, request: Request) -> Reply:
        if len(request.json["message"]) > 918:
            return Reply(400, {"class": "Client::BadRequest", "message": "The message is too long"})
        self.tags.append(request.json["tag"])
        receivers = request.json["receivers"]
        content = {"ids": [len(self.tags)], "invalidReceivers": [], "validReceivers": receivers}
        return Reply(200, content | {"totalCreditsRemoved": 1})

    async def taken(self, message: Any) -> int:
        return self.tags.count(message.key)


class OverSandbox(OvhPeer, SmsOverSandbox):
    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(f"{sandbox.http}/ovh/1.0")
        self.sandbox = sandbox


class TestOverFaultServer(ContractOfGateways):
    """Whatever a server can do wrong."""


class TestOverSandbox(ContractOfSandboxNumbers, ContractOfLookUps):
    @pytest.fixture
    def peer(self, sandbox: Sandbox) -> OverSandbox:
        return OverSandbox(sandbox)

    async def test_check_tells_the_credits(self, publisher: SmsOvh) -> None:
        [finding] = await publisher.check()
        assert finding.ok and finding.name == SERVICE and "1000 credits" in finding.says

    @pytest.mark.parametrize(
        ("keys", "code"),
        [
            ({"application_key": "nobody-knows-it"}, "INVALID_KEY"),
            ({"application_secret": "another-secret"}, "INVALID_SIGNATURE"),
            ({"consumer_key": "another-consumer"}, "NOT_CREDENTIAL"),
            ({"consumer_key": "sandbox-expired"}, "INVALID_CREDENTIAL"),
        ],
    )
    async def test_each_key_that_is_wrong_is_told_as_itself(
        self, peer: OverSandbox, keys: dict[str, str], code: str
    ) -> None:
        publisher = SmsOvh(options_for(peer.url, **keys))
        with capture_logs() as logs:
            error = await outcome(publisher, peer.message())
        assert (type(error), error.code) == (Transient, code)
        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["sms.settings_fault"]
        assert next(iter(keys.values())) not in repr(logs) + repr(error)
        [finding] = await publisher.check()
        assert not finding.ok and finding.mend
        await publisher.aclose()


@pytest.fixture
def peer(faults: FaultServer) -> OverFaults:
    return OverFaults(faults)


def _error(code: str, status: int = 418) -> Reply:
    """The body that OVHcloud sends for a code of the table."""
    if code.startswith(("Client::", "Server::")):
        kind, _, field = code.partition(" ")
        return Reply(status, {"class": kind, "message": f"about the {field or 'call'}"}, {"Retry-After": "11"})
    content = {"errorCode": code, "httpCode": "403 Forbidden", "message": "This call is not for you"}
    return Reply(status, content, {"Retry-After": "11"})


def test_it_can_be_asked_and_checked(publisher: SmsOvh) -> None:
    assert isinstance(publisher, LooksUp) and isinstance(publisher, Checks)


def test_signature_is_that_of_the_documentation() -> None:
    """The example of OVHcloud's "First steps with the API"."""
    options = options_for(
        "https://eu.api.ovh.com/1.0",
        application_secret="EXEgWIz07P0HYwtQDs7cNIqCiQaWSuHF",
        consumer_key="MtSwSrPpNjqfVSmJhLbPyr2i45lSwPU1",
    )
    made = signature(options, "GET", "https://eu.api.ovh.com/1.0/domains/", b"", 1366560945)
    assert made == "$1$d3705e8afb27a0d2970a322b96550abfc67bb798"


async def test_request_is_what_ovhcloud_documents(peer: OverFaults, publisher: SmsOvh) -> None:
    await publisher.publish(Text("1f-2a.1", "VALMERANDE", "+33639980001", "Crue : évacuez"))
    [request] = peer.jobs
    assert (request.method, request.path) == ("POST", f"/1.0/sms/{SERVICE}/jobs")
    assert request.json == {
        "receivers": ["+33639980001"],
        "message": "Crue : évacuez",
        "sender": "VALMERANDE",
        "charset": "UTF-8",
        "coding": "7bit",
        "noStopClause": True,
        "priority": "high",
        "tag": "1f-2a.1",
        "validityPeriod": 2880,
    }
    moment = int(request.headers["x-ovh-timestamp"])
    assert abs(moment - (time.time() + 7200)) < 10, "OVHcloud's clock, not ours"
    wanted = signature(options_for(peer.url), "POST", f"{peer.url}/sms/{SERVICE}/jobs", request.content, moment)
    assert request.headers["x-ovh-signature"] == wanted


async def test_settings_of_the_account_go_along(peer: OverFaults) -> None:
    publisher = SmsOvh(options_for(peer.url, short_code=True, stop_clause=True, priority="medium"))
    await publisher.publish(Text("a", "VALMERANDE", "+33639980001", "Ça déborde 🚨"))
    await publisher.aclose()
    sent = peer.jobs[0].json
    assert sent["senderForResponse"] is True and "sender" not in sent
    assert (sent["noStopClause"], sent["priority"], sent["coding"]) == (False, "medium", "8bit")


@pytest.mark.parametrize(("left", "minutes"), [(timedelta(minutes=10), 9), (timedelta(seconds=20), 1)])
async def test_validity_ends_with_the_announcement(
    peer: OverFaults, publisher: SmsOvh, left: timedelta, minutes: int
) -> None:
    await publisher.publish(Text("a", "V", "+33639980001", "x", datetime.now(UTC) + left))
    assert peer.jobs[0].json["validityPeriod"] == minutes


async def test_clock_is_read_once_for_many_and_again_when_it_was_wrong(peer: OverFaults, publisher: SmsOvh) -> None:
    def read() -> int:
        return sum(request.path.endswith("/auth/time") for request in peer.server.requests)

    for _ in range(3):
        await publisher.publish(peer.message())
    assert read() == 1
    peer.server.next.append(_error("QUERY_TIME_OUT", 400))
    assert type(await outcome(publisher, peer.message())) is Transient
    await publisher.publish(peer.message())
    assert read() == 2


@pytest.mark.parametrize("answer", [Reply(500, b""), Reply(200, b"noon"), Trouble.HANG, Trouble.GIBBERISH])
async def test_without_the_clock_nothing_is_sent(peer: OverFaults, answer: Reply | Trouble) -> None:
    publisher = peer.open(timeout=PATIENCE)
    peer.server.meets = lambda _: True
    peer.server.next.append(answer)
    assert type(await outcome(publisher, peer.message())) is Untried
    assert peer.jobs == []
    await publisher.aclose()


@pytest.mark.parametrize("code", [code for code in CODES if code != "invalidReceivers"])
async def test_every_code_of_the_table_is_told_with_its_reason(peer: OverFaults, publisher: SmsOvh, code: str) -> None:
    peer.server.next.append(_error(code))
    with capture_logs() as logs:
        error = await outcome(publisher, peer.message())
    verdict = CODES[code]
    assert (type(error), error.code, error.reason) == (verdict.error, code, verdict.reason)
    assert not isinstance(error, Transient) or error.retry_after == 11
    assert ("sms.settings_fault" in {line["event"] for line in logs}) is verdict.settings_fault


async def test_refused_number_may_still_live(peer: OverFaults, publisher: SmsOvh) -> None:
    await peer.will(Trouble.REFUSE)
    error = await outcome(publisher, peer.message())
    assert isinstance(error, Permanent) and error.code == "invalidReceivers" and not error.address_dead
    assert not any(verdict.address_dead for verdict in CODES.values())


async def test_answer_that_names_nobody_is_unknown(peer: OverFaults, publisher: SmsOvh) -> None:
    peer.server.next.append(Reply(200, {"ids": [], "invalidReceivers": [], "validReceivers": []}))
    assert type(await outcome(publisher, peer.message())) is Unknown


async def test_looking_up_ignores_other_tags_and_other_numbers(peer: OverFaults, publisher: SmsOvh) -> None:
    peer.tags += ["a-1.10", "a-1.1"]
    assert await publisher.look_up("a-1.1", "+33639980300") == Receipt(reference="2")
    assert await publisher.look_up("a-1.1", "+33639980301") is None
    assert await publisher.look_up("a-1.2", "+33639980300") is None


@pytest.mark.parametrize("written", ["+33639980300", "0033639980300"])
async def test_while_a_message_for_the_number_waits_nobody_can_say(
    peer: OverFaults, publisher: SmsOvh, written: str
) -> None:
    peer.waiting = {7: "+33639980399", 8: written}
    with pytest.raises(Transient, match="just being sent"):
        await publisher.look_up("a-1.1", "+33639980300")
    assert await publisher.look_up("a-1.1", "+33639980377") is None
    peer.waiting = dict.fromkeys(range(30), "+33639980399")
    with pytest.raises(Transient, match="too many"):
        await publisher.look_up("a-1.1", "+33639980300")


async def test_job_that_is_gone_when_it_is_read_may_have_been_this_one(peer: OverFaults, publisher: SmsOvh) -> None:
    peer.waiting = {7: ""}
    with pytest.raises(Transient):
        await publisher.look_up("a-1.1", "+33639980300")


@pytest.mark.parametrize(
    "told", [_error("NEW", 500), Reply(404), Trouble.GIBBERISH, Trouble.HALF_A_REPLY, Trouble.HANG]
)
async def test_look_up_that_fails_is_not_taken_for_never_seen(peer: OverFaults, told: Trouble | Reply) -> None:
    publisher = peer.open(timeout=PATIENCE)
    peer.server.next.append(told)
    with pytest.raises(Transient):
        await publisher.look_up("a-1.1", "+33639980300")
    await publisher.aclose()


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        (Reply(200, {"status": "enable", "creditsLeft": 3}), True),
        (Reply(200, {"status": "enable", "creditsLeft": 0}), False),
        (Reply(200, {"status": "disable", "creditsLeft": 3}), False),
        (Reply(200, {}), False),
        (Reply(404, {"class": "Client::NotFound", "message": "no such service"}), False),
        (Trouble.HALF_A_REPLY, False),
    ],
)
async def test_check_says_what_to_mend_and_sends_nothing(
    peer: OverFaults, publisher: SmsOvh, answer: Reply | Trouble, ok: bool
) -> None:
    peer.server.next.append(answer)
    [finding] = await publisher.check()
    assert finding.ok is ok and (finding.mend is None) is ok
    assert peer.jobs == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"service_name": "sms/1"}, "service_name"),
        ({"application_key": ""}, "application_key"),
        ({"consumer_key": ""}, "consumer_key"),
        ({"receipt_token": "short"}, "receipt_token"),
        ({"receipt_token": "a/token/that/is/long/enough"}, "receipt_token"),
        ({"priority": "urgent"}, "priority"),
        ({"tokne": "x"}, "tokne"),
    ],
)
def test_faulty_option_is_named(change: dict[str, Any], where: str) -> None:
    with pytest.raises(ValueError, match=where):
        options_for("https://eu.api.ovh.com/1.0", **change)


def test_secrets_show_nowhere() -> None:
    written = repr(options_for("https://eu.api.ovh.com/1.0"))
    for secret in ("sandbox-secret", "sandbox-consumer", "t" * 32):
        assert secret not in written


@pytest.mark.parametrize(
    ("number", "state", "error"),
    [
        ("+33639980001", State.DELIVERED, "ptt 4"),
        ("+33639980192", State.FAILED, "ptt 23"),
        ("+33639980186", State.FAILED, "ptt 24"),
    ],
)
async def test_callback_of_the_sandbox_is_read(tmp_path: Path, number: str, state: State, error: str) -> None:
    async with fault_server(lambda _: Reply(200, b"")) as inlet:
        callback = ("--ovh-callback", f"{inlet.url}/webhooks/sms/ovh/{'t' * 32}", "--receipt-delay-ms", "0")
        with running_sandbox(tmp_path, *callback) as running:
            publisher = SmsOvh(options_for(f"{running.http}/ovh/1.0"))
            accepted = await publisher.publish(Text("a-1.1", "VALMERANDE", number, "Rue barrée"))
            await inlet.reached()
            await publisher.aclose()
    [request] = inlet.requests
    assert (request.method, request.path) == ("GET", f"/webhooks/sms/ovh/{'t' * 32}")
    told = ovh_receipts.read({name: values[0] for name, values in request.query.items()})
    assert (told.id, told.state, told.error) == (accepted.reference, state, error)
    assert told.reason
