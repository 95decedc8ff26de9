import base64
import itertools
import json
import ssl
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from publishers.base import Checks, Deletes, Edits, LooksUp, Permanent, Receipt, Transient, Unclear, Unknown, Untried
from publishers.webhook.channel import SETTINGS_FAULTS, Webhook, WebhookOptions
from publishers.webhook.ssrf import Resolve, system
from schemas.messages import Call
from schemas.webhooks import BadSignature, verify
from tests.contract.conftest import Sandbox
from tests.contract.fault_server import FaultServer, Reply, Request, fault_server
from tests.contract.peers import PeerInSandbox, PeerOnFaultServer
from tests.contract.suite import (
    AT_MOST,
    ContractOfBrokenReplies,
    ContractOfCuts,
    Peer,
    Trouble,
    outcome,
)

pytestmark = pytest.mark.contract

SECRET = "whsec_c2FuZGJveCBsaXN0ZW5lciBzZWNyZXQh"
NAME = "hook.valmerande.example"

_numbers = itertools.count(1)


def secret(word: str) -> str:
    return "whsec_" + base64.b64encode(word.encode() * 24).decode()


def endpoint(url: str, **more: Any) -> dict[str, Any]:
    return {"url": url, "secret": SECRET, "networks": ["127.0.0.0/8"], "allow_plain": True} | more


def opened(timeout: float = AT_MOST, resolve: Resolve = system, **accounts: dict[str, Any]) -> Webhook:
    options = WebhookOptions.model_validate({"accounts": accounts, "timeout": timeout})
    return Webhook(options, resolve=resolve)


def call(account: str = "siren", body: bytes = b'{"specversion":"1.0"}') -> Call:
    return Call(f"order-{next(_numbers)}-{uuid.uuid4().hex}.1", account, body)


class WebhookPeer(Peer):
    deduplicates = True
    too_long = "é" * 70_000

    def __init__(self, url: str) -> None:
        self.url = url

    def open(self, *, timeout: float = AT_MOST, token: str | None = None, url: str | None = None) -> Webhook:
        where = f"{url or self.url}/listener/siren"
        return opened(timeout, siren=endpoint(where, secret=secret(token) if token else SECRET))

    def message(self, text: str | None = None) -> Call:
        return call(body=json.dumps({"specversion": "1.0", "data": text or "Rue barrée"}).encode())


class OverFaults(PeerOnFaultServer, WebhookPeer):
    replies: ClassVar[Mapping[Trouble, Reply | bytes]] = {
        Trouble.REFUSE: Reply(422, {"error": "no such street"}),
        Trouble.THROTTLE: Reply(429, b"", {"Retry-After": "7"}),
        Trouble.UNAVAILABLE: Reply(503, b"<h1>We are moving</h1>"),
        # a receiver's words are its own: only what is no HTTP at all can't be read
        Trouble.GIBBERISH: b"220 mail.valmerande.example ESMTP\r\n",
    }

    def __init__(self, server: FaultServer) -> None:
        super().__init__(server.url)
        self.server = server
        self.ids: dict[str, bytes] = {}
        server.application = self.receiver

    def receiver(self, request: Request) -> Reply:
        """A receiver that keeps the specification, for whatever is not told otherwise."""
        try:
            identity = verify(request.headers, request.content, [SECRET], datetime.now(UTC))
        except BadSignature as error:
            return Reply(401, {"error": str(error)})
        if len(request.content) > 65_536:
            return Reply(413)
        self.ids.setdefault(identity, request.content)
        return Reply(202, b"thank you")

    async def taken(self, message: Any) -> int:
        return int(message.key in self.ids)


class OverSandbox(PeerInSandbox, WebhookPeer):
    """The sandbox's listener verifies signatures by an implementation of its own."""

    provider = "webhook"

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox.http)
        self.sandbox = sandbox

    def is_of(self, line: dict[str, Any], message: Any) -> bool:
        return bool(line.get("webhook_id") == message.key)


class TestOverFaultServer(ContractOfBrokenReplies):
    """Whatever a server can do wrong."""


class TestOverSandbox(ContractOfCuts):
    @pytest.fixture
    def peer(self, sandbox: Sandbox) -> OverSandbox:
        return OverSandbox(sandbox)

    async def test_document_arrives_as_it_was(self, peer: OverSandbox, publisher: Webhook) -> None:
        message = call(body='{"data": {"headline": "Crue : évacuez"}}'.encode())
        await publisher.publish(message)
        [line] = [line for line in peer.sandbox.journal("webhook") if line.get("webhook_id") == message.key]
        assert line["body"] == {"data": {"headline": "Crue : évacuez"}} and line["account"] == "siren"


@pytest.fixture
def peer(faults: FaultServer) -> OverFaults:
    return OverFaults(faults)


async def test_what_it_can_do_and_what_not(publisher: Webhook) -> None:
    assert publisher.unclear is Unclear.SEND_AGAIN and isinstance(publisher, Checks)
    assert not isinstance(publisher, LooksUp | Edits | Deletes)


async def test_request_is_what_the_specification_says(peer: OverFaults) -> None:
    publisher = opened(siren=endpoint(f"{peer.url}/a/hook/?of=tambour&x=%C3%A9"))
    message = call()
    receipt = await publisher.publish(message)
    [request] = peer.server.requests
    assert (request.method, request.path, request.query) == ("POST", "/a/hook/", {"of": ["tambour"], "x": ["é"]})
    assert request.headers["webhook-id"] == message.key and request.content == message.body
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == peer.url.removeprefix("http://")
    assert receipt == Receipt(reference=message.key, code="202")
    await publisher.aclose()


async def test_every_try_has_the_same_id_and_its_own_time(peer: OverFaults, publisher: Webhook) -> None:
    message = call()
    peer.server.next.append(Reply(500))
    assert type(await outcome(publisher, message)) is Unknown
    await publisher.publish(message)
    first, second = peer.server.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == message.key
    assert verify(second.headers, second.content, [SECRET], datetime.now(UTC)) == message.key


async def test_call_is_signed_with_both_secrets_while_one_is_replaced(peer: OverFaults) -> None:
    new = secret("new")
    publisher = opened(siren=endpoint(peer.url, secret=f"{new} {SECRET}"))
    await publisher.publish(call())
    [request] = peer.server.requests
    for known in (new, SECRET):
        assert verify(request.headers, request.content, [known], datetime.now(UTC))
    await publisher.aclose()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, Receipt) for status in (200, 201, 202, 204, 299)),
        *((status, Permanent) for status in (400, 406, 409, 410, 413, 415, 422, 451, 499)),
        *(
            (status, Transient)
            for status in (301, 302, 307, 308, 401, 402, 403, 404, 405, 407, 408, 425, 429, 501, 503)
        ),
        *((status, Unknown) for status in (500, 502, 504, 520)),
    ],
)
async def test_status_decides(peer: OverFaults, publisher: Webhook, status: int, expected: type) -> None:
    peer.server.next.append(Reply(status, b"", {"Location": "http://127.0.0.1/elsewhere"}))
    message = call()
    with capture_logs() as logs:
        told = await publisher.publish(message) if expected is Receipt else await outcome(publisher, message)
    assert (type(told), told.code) == (expected, str(status))
    assert len(peer.server.requests) == 1, "no redirect is followed"
    faults = [line for line in logs if line["event"] == "webhook.settings_fault"]
    assert bool(faults) is (status in SETTINGS_FAULTS or 300 <= status < 400)
    assert all(line["account"] == "siren" and line["code"] == str(status) for line in faults)


@pytest.mark.parametrize("status", SETTINGS_FAULTS)
async def test_settings_fault_is_told_in_words(peer: OverFaults, publisher: Webhook, status: int) -> None:
    peer.server.next.append(Reply(status))
    with capture_logs():
        assert (await outcome(publisher, call())).reason == SETTINGS_FAULTS[status]


async def test_answer_without_end_is_not_read_to_its_end(peer: OverFaults, publisher: Webhook) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n"
    peer.server.next.append(head + b"x" * 100_000)
    assert (await publisher.publish(call())).code == "200"
    assert (await publisher.publish(call())).code == "202", "on a connection of its own"


async def test_compressed_answer_is_not_unpacked(peer: OverFaults, publisher: Webhook) -> None:
    peer.server.next.append(Reply(200, b"no gzip at all", {"Content-Encoding": "gzip"}))
    assert (await publisher.publish(call())).code == "200"


async def test_account_that_the_settings_lack_is_named_and_nothing_is_sent(
    peer: OverFaults, publisher: Webhook
) -> None:
    with capture_logs() as logs:
        error = await outcome(publisher, call("piscine"))
    assert (type(error), error.code) == (Transient, "no_account") and "'piscine'" in error.reason
    assert logs and peer.server.requests == []


async def test_no_secret_is_told_to_anybody(peer: OverFaults) -> None:
    publisher = opened(siren=endpoint(peer.url, secret=secret("keep")))
    with capture_logs() as logs:
        error = await outcome(publisher, call())
    assert secret("keep")[6:] not in repr((logs, error, publisher))
    await publisher.aclose()


async def test_private_address_is_refused_before_anything_is_sent(peer: OverFaults) -> None:
    publisher = opened(siren=endpoint(peer.url, networks=[]))
    with capture_logs() as logs:
        error = await outcome(publisher, call())
    assert (type(error), error.code) == (Transient, "forbidden_address"), "mending the settings sends it"
    assert "this machine itself" in error.reason and logs[0]["event"] == "webhook.settings_fault"
    assert peer.server.requests == [] and peer.server.closed == 0
    await publisher.aclose()


async def test_name_that_leads_inside_is_refused(peer: OverFaults) -> None:
    port = httpx.URL(peer.url).port
    for answers in (["127.0.0.1"], ["93.184.215.14", "10.0.0.1"], ["::ffff:127.0.0.1"]):
        publisher = opened(resolve=_answering(answers), siren=endpoint(f"http://{NAME}:{port}", networks=[]))
        with capture_logs():
            assert (await outcome(publisher, call())).code == "forbidden_address"
        await publisher.aclose()
    assert peer.server.closed == 0


async def test_connection_goes_to_the_judged_address_and_the_name_is_asked_for_once(peer: OverFaults) -> None:
    port = httpx.URL(peer.url).port
    asked: list[str] = []

    async def resolve(host: str, _: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]  # a name that changes its mind

    publisher = opened(resolve=resolve, siren=endpoint(f"http://{NAME}:{port}/hook"))
    await publisher.publish(call())
    assert asked == [NAME]
    assert [request.headers["host"] for request in peer.server.requests] == [f"{NAME}:{port}"]
    with capture_logs():
        assert (await outcome(publisher, call())).code == "forbidden_address", "an open connection is no way around"
    await publisher.aclose()


async def test_name_that_nobody_knows_is_untried(peer: OverFaults) -> None:
    publisher = opened(siren=endpoint("https://nobody.invalid/hook"))
    assert type(await outcome(publisher, call())) is Untried
    await publisher.aclose()


async def test_certificate_must_be_that_of_the_name(certificate: tuple[Path, ssl.SSLContext]) -> None:
    ca_file, context = certificate
    asked: list[str | None] = []
    context.sni_callback = lambda _, name, __: asked.append(name)
    async with fault_server(lambda _: Reply(204), context) as server:
        port = httpx.URL(server.url).port
        right = endpoint(f"https://{NAME}:{port}", ca_file=str(ca_file), allow_plain=False)
        publisher = opened(
            resolve=_answering(["127.0.0.1"]),
            right=right,
            other=right | {"url": f"https://other.valmerande.example:{port}"},
            unknown=right | {"ca_file": None},
        )
        assert (await publisher.publish(call("right"))).code == "204"
        assert server.requests[0].headers["host"] == f"{NAME}:{port}" and asked == [NAME]
        for account in ("other", "unknown"):
            with capture_logs() as logs:
                error = await outcome(publisher, call(account))
            assert (type(error), error.code) == (Transient, "certificate")
            assert logs[0]["event"] == "webhook.settings_fault"
        assert len(server.requests) == 1
        findings = {finding.name: finding for finding in await publisher.check()}
        assert findings["right"].ok and not findings["other"].ok and not findings["unknown"].ok
        assert len(server.requests) == 1, "checking asks nothing of a receiver"
        await publisher.aclose()


async def test_check_says_what_to_mend(peer: OverFaults, nobody: str) -> None:
    publisher = opened(
        good=endpoint(peer.url),
        inside=endpoint(peer.url, networks=[]),
        nobody=endpoint(nobody),
        lost=endpoint("https://x.invalid"),
    )
    good, inside, absent, lost = await publisher.check()
    assert good.ok and good.mend is None
    assert not inside.ok and inside.mend and "networks" in inside.mend
    assert not absent.ok and absent.mend and not lost.ok and lost.mend
    assert peer.server.requests == []
    await publisher.aclose()


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"url": "siren"}, "url"),
        ({"url": "ftp://siren.valmerande.example"}, "url"),
        ({"url": "http://siren.valmerande.example"}, "allow_plain"),
        ({"url": "https://me:secret@siren.valmerande.example"}, "name or password"),
        ({"url": "https://siren.valmerande.example/#hook"}, "#"),
        ({"secret": ""}, "secret"),
        ({"secret": "short"}, "secret"),
        ({"secret": "whsec_****"}, "secret"),
        ({"networks": ["10.1.0.0/33"]}, "networks"),
        ({"networks": ["10.1.0.1/16"]}, "networks"),
        ({"ca_file": "/nowhere/ca.pem"}, "ca_file"),
        ({"secrte": "x"}, "secrte"),
    ],
)
def test_faulty_option_is_named(change: dict[str, Any], where: str) -> None:
    good = {"url": "https://siren.valmerande.example/hook", "secret": SECRET}
    with pytest.raises(ValueError, match=where):
        WebhookOptions.model_validate({"accounts": {"siren": good | change}})


@pytest.mark.parametrize("written", ["10.1.0.0/16 fd12:3456::/32", ["10.1.0.0/16", "fd12:3456::/32"]])
def test_networks_are_a_list_or_as_a_variable_can_say_it(written: Any) -> None:
    good = {"url": "https://siren.valmerande.example/hook", "secret": SECRET, "networks": written}
    [receiver] = WebhookOptions.model_validate({"accounts": {"siren": good}}).accounts.values()
    assert receiver.networks == (ip_network("10.1.0.0/16"), ip_network("fd12:3456::/32"))
    assert SECRET not in repr(receiver)


def test_no_receiver_at_all_is_a_fault() -> None:
    with pytest.raises(ValueError, match="accounts"):
        WebhookOptions.model_validate({"accounts": {}})


def _answering(addresses: Sequence[str]) -> Resolve:
    async def resolve(_: str, __: int) -> Sequence[str]:
        return addresses

    return resolve


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate of NAME by its own authority: where that is, and a server's context."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    public, private = folder / "ca.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context
