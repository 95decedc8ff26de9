import itertools
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx
import pytest
from mastodon_mock.testing.server import MockServer
from structlog.testing import capture_logs

from publishers.base import Deletes, Edits, Finds, LooksUp, NotYet, Permanent, Publishes, Transient, Unclear, Unknown
from publishers.mastodon.channel import KEY_KEPT, Mastodon, MastodonOptions
from publishers.mastodon.server import REFUSALS
from schemas.messages import Post
from tests.contract.conftest import Sandbox
from tests.contract.fault_server import FaultServer, Reply, Request, fault_server
from tests.contract.peers import PeerInSandbox, PeerOnFaultServer, post
from tests.contract.suite import (
    AT_MOST,
    PATIENCE,
    Contract,
    ContractOfBrokenReplies,
    ContractOfCutDeletes,
    ContractOfCutEdits,
    ContractOfCuts,
    ContractOfDeletes,
    ContractOfEdits,
    Peer,
    Trouble,
    outcome,
)

pytestmark = pytest.mark.contract


class MastodonPeer(Peer):
    deduplicates = True
    too_long = "é" * 501

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token

    def open(self, *, timeout: float = AT_MOST, token: str | None = None, url: str | None = None) -> Mastodon:
        account = {"url": url or self.url, "token": token or self.token}
        return Mastodon(MastodonOptions.model_validate({"accounts": {"mairie": account}, "timeout": timeout}))

    def message(self, text: str | None = None) -> Post:
        return post(text, "mairie")


class OverFaults(PeerOnFaultServer, MastodonPeer):
    cuts = (Trouble.TAKE_AND_CUT, Trouble.HALF_A_REPLY, Trouble.GIBBERISH)

    replies: ClassVar[Mapping[Trouble, Reply | bytes]] = {
        Trouble.REFUSE: Reply(422, {"error": "Validation failed: Text can't be blank"}),
        Trouble.THROTTLE: Reply(429, {"error": "Too many requests"}, {"Retry-After": "7"}),
        Trouble.UNAVAILABLE: Reply(503, b"<h1>We are moving</h1>"),
    }

    def __init__(self, server: FaultServer) -> None:
        super().__init__(server.url, "token-of-mairie")
        self.server = server
        self.posts: dict[str, dict[str, Any]] = {}
        self._ids = itertools.count(1)
        server.application = self.instance

    def instance(self, request: Request) -> Reply:
        """A Mastodon server that keeps the contract, for whatever is not told otherwise."""
        if request.headers["authorization"] != "Bearer token-of-mairie":
            return Reply(401, {"error": "The access token is invalid"})
        if request.path != "/api/v1/statuses":
            return self.existing(request)
        text, key = request.json["status"], request.headers["idempotency-key"]
        if len(text) > 500:
            return Reply(422, {"error": "Validation failed: Text character limit of 500 exceeded"})
        made = {
            "id": str(next(self._ids)),
            "created_at": "2026-11-24T08:00:00.000Z",
            "url": "https://social.example/@mairie/1",
        }
        return Reply(200, self.posts.setdefault(key, made | {"content": f"<p>{text}</p>"}))

    def existing(self, request: Request) -> Reply:
        """What it does with a post that there is."""
        identity = request.path.rpartition("/")[2]
        key = next((key for key, post in self.posts.items() if post["id"] == identity), None)
        if key is None:
            return Reply(404, {"error": "Record not found"})
        if request.method == "DELETE":
            return Reply(200, self.posts.pop(key))
        if request.method == "PUT":
            self.posts[key] = self.posts[key] | {"content": f"<p>{request.json['status']}</p>"}
        return Reply(200, self.posts[key])

    async def shown(self, reference: str) -> str | None:
        return next((str(post["content"]) for post in self.posts.values() if post["id"] == reference), None)

    async def taken(self, message: Any) -> int:
        return int(message.key in self.posts)


class OverSandbox(PeerInSandbox, MastodonPeer):
    provider = "mastodon"

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox.http, "token-mairie")
        self.sandbox = sandbox

    def is_of(self, line: dict[str, Any], message: Any) -> bool:
        return bool(line.get("idempotency_key") == message.key)

    async def shown(self, reference: str) -> str | None:
        return await _public(self.url, reference)


class OverMock(MastodonPeer):
    """mastodon-mock: a server written by others, from Mastodon's own API description."""

    def __init__(self, server: MockServer) -> None:
        super().__init__(server.base_url, "alice_token")

    async def will(self, trouble: Trouble) -> None:
        effects: dict[Trouble, dict[str, Any]] = {
            Trouble.REFUSE: {"type": "status", "status": 422},
            Trouble.THROTTLE: {"type": "ratelimit", "headers": {"Retry-After": "7"}},
            Trouble.UNAVAILABLE: {"type": "status", "status": 503},
            Trouble.HANG: {"type": "latency", "delay_ms": int(PATIENCE * 3000)},
        }
        match = {"methods": ["POST"], "path": "/api/v1/statuses"}
        rule = {"match": match, "effect": effects[trouble], "count": 1}
        async with httpx.AsyncClient(base_url=self.url) as client:
            (await client.post("/api/v1/_mock/faults", json=rule)).raise_for_status()

    async def taken(self, message: Any) -> int:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(base_url=f"{self.url}/api/v1", headers=headers) as client:
            me = (await client.get("/accounts/verify_credentials")).json()["id"]
            statuses = (await client.get(f"/accounts/{me}/statuses", params={"limit": 40})).json()
        return sum(message.text in status["content"] for status in statuses)

    async def shown(self, reference: str) -> str | None:
        return await _public(self.url, reference)


async def _public(url: str, reference: str) -> str | None:
    """A post as everybody may read it."""
    async with httpx.AsyncClient(base_url=url) as client:
        response = await client.get(f"/api/v1/statuses/{reference}")
    return None if response.status_code == 404 else str(response.json()["content"])


class TestOverFaultServer(ContractOfBrokenReplies, ContractOfCutEdits, ContractOfCutDeletes):
    """Whatever a server can do wrong."""


class TestOverSandbox(ContractOfCuts, ContractOfCutEdits, ContractOfCutDeletes):
    @pytest.fixture
    def peer(self, sandbox: Sandbox) -> OverSandbox:
        return OverSandbox(sandbox)


class TestOverMock(Contract, ContractOfEdits, ContractOfDeletes):
    @pytest.fixture
    def peer(self, mock: MockServer) -> OverMock:
        return OverMock(mock)

    async def test_receipt_leads_to_the_post(self, peer: OverMock, publisher: Mastodon) -> None:
        message = peer.message()
        receipt = await publisher.publish(message)
        async with httpx.AsyncClient(base_url=peer.url) as client:
            status = (await client.get(f"/api/v1/statuses/{receipt.reference}")).json()
        assert message.text in status["content"]
        assert (status["url"], status["language"], status["visibility"]) == (receipt.url, "fr", "public")

    async def test_post_that_was_made_is_found_by_its_text(self, peer: OverMock, publisher: Mastodon) -> None:
        started = datetime.now(UTC) - timedelta(seconds=5)
        link = f"https://valmerande.example/{uuid.uuid4().hex}"
        message = peer.message(f"Crue : évacuez *maintenant*\n\n{link} <urgent> & @mairie")
        assert await publisher.find(message, started) is None
        receipt = await publisher.publish(message)
        await publisher.publish(peer.message())
        assert await publisher.find(message, started) == receipt

    async def test_post_of_the_same_words_made_before_the_first_try_is_another(
        self, peer: OverMock, publisher: Mastodon
    ) -> None:
        message = peer.message()
        await publisher.publish(message)
        assert await publisher.find(message, datetime.now(UTC) + timedelta(seconds=5)) is None

    async def test_post_of_the_same_words_in_another_place_is_another(
        self, peer: OverMock, publisher: Mastodon
    ) -> None:
        started = datetime.now(UTC) - timedelta(seconds=5)
        head = await publisher.publish(peer.message())
        alone = peer.message()
        part = replace(alone, key=f"{alone.key}.p2", reply_to=head.reference, root=head.reference)
        made = await publisher.publish(alone)
        assert await publisher.find(part, started) is None
        answer = await publisher.publish(part)
        assert (await publisher.find(part, started), await publisher.find(alone, started)) == (answer, made)

    async def test_find_that_is_refused_is_not_taken_for_never_made(self, peer: OverMock) -> None:
        publisher = peer.open(token="wrong")
        with pytest.raises(Transient):
            await publisher.find(peer.message(), datetime.now(UTC))
        await publisher.aclose()


@pytest.fixture(scope="module")
def mock() -> Iterator[MockServer]:
    server = MockServer().start()
    yield server
    server.stop()


@pytest.fixture
def peer(faults: FaultServer) -> OverFaults:
    return OverFaults(faults)


def test_unclear_posts_are_sent_again_under_the_same_key_while_it_is_kept(publisher: Mastodon) -> None:
    assert publisher.unclear is Unclear.SEND_AGAIN
    assert not isinstance(publisher, LooksUp), "the API can't be asked by key"
    assert all(isinstance(publisher, able) for able in (Publishes, Edits, Deletes, Finds))
    assert timedelta(0) < KEY_KEPT < timedelta(hours=1)


async def test_request_is_what_the_api_documents(peer: OverFaults, publisher: Mastodon) -> None:
    await publisher.publish(Post("a-1.1", "mairie", "Fin d'alerte crue", "fr"))
    [request] = peer.server.requests
    assert (request.method, request.path) == ("POST", "/api/v1/statuses")
    assert request.headers["idempotency-key"] == "a-1.1"
    assert request.json == {"status": "Fin d'alerte crue", "language": "fr", "visibility": "public"}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, verdict.error) for status, verdict in REFUSALS.items()),
        *((status, Permanent) for status in (406, 418, 451)),
        *((status, Transient) for status in (301, 302, 405, 408, 425)),
        *((status, Unknown) for status in (409, 507, 520)),
    ],
)
async def test_refusal_keeps_the_servers_own_words_and_a_new_one_is_logged(
    peer: OverFaults, publisher: Mastodon, status: int, expected: type
) -> None:
    peer.server.next.append(Reply(status, {"error": "its own words"}))
    with capture_logs() as logs:
        error = await outcome(publisher, peer.message())
    assert (type(error), error.code) == (expected, str(status))
    assert "its own words" in error.reason
    known = REFUSALS.get(status)
    told = {line["event"] for line in logs}
    if known is None:
        assert told == {"mastodon.settings_fault" if status in (301, 302, 405) else "mastodon.new_error_code"}
    else:
        assert known.reason in error.reason
        assert told == ({"mastodon.settings_fault"} if known.settings_fault else set())


async def test_server_whose_limit_is_used_up_is_left_alone_until_it_says(peer: OverFaults, publisher: Mastodon) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
    used_up = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": soon}
    made = {"id": "1", "created_at": "2026-11-24T08:00:00Z", "url": None}
    peer.server.next.append(Reply(200, made, used_up))
    assert (await publisher.publish(peer.message())).reference == "1", "the last one that it takes"
    error = await outcome(publisher, peer.message())
    assert type(error) is NotYet and error.retry_after == pytest.approx(60, abs=2)
    [told] = publisher.rest.news()
    assert told.account == "mairie POST statuses" and told.seconds == pytest.approx(60, abs=2), "for other workers"
    assert len(peer.server.requests) == 1
    await publisher.delete("7", "mairie")
    assert [request.method for request in peer.server.requests] == ["POST", "DELETE"], "whose limit is another"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "7", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "SOON"}, 7),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "IN 60 S"}, 60),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "EPOCH IN 60 S"}, 60),
        ({"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "IN 60 S"}, None),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "soon"}, None),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9" * 30}, None),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2020-01-01T00:00:00.000Z"}, 0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"Retry-After": "later"}, None),
        ({"Retry-After": "-3"}, None),
        ({}, None),
    ],
)
async def test_throttled_post_waits_for_the_end_of_the_period(
    peer: OverFaults, publisher: Mastodon, headers: dict[str, str], expected: float | None
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=60)
    named = {"IN 60 S": soon.isoformat(), "EPOCH IN 60 S": str(int(soon.timestamp()))}
    told = {name: named.get(value, value) for name, value in headers.items()}
    peer.server.next.append(Reply(429, {"error": "Too many requests"}, told))
    error = await outcome(publisher, peer.message())
    assert isinstance(error, Transient)
    assert error.retry_after == (None if expected is None else pytest.approx(expected, abs=2))


async def test_revoked_token_is_told_loudly_by_the_accounts_name(peer: OverFaults) -> None:
    publisher = peer.open(token="a-token-to-keep")
    with capture_logs() as logs:
        await outcome(publisher, peer.message())
    [line] = [line for line in logs if line["event"] == "mastodon.settings_fault"]
    assert line["account"] == "mairie" and line["log_level"] == "error"
    assert "a-token-to-keep" not in repr(logs)
    await publisher.aclose()


async def test_account_that_the_settings_lack_is_named_and_nothing_is_sent(
    peer: OverFaults, publisher: Mastodon
) -> None:
    with capture_logs() as logs:
        error = await outcome(publisher, Post("a-1.1", "piscine", "x", "fr"))
    assert type(error) is Transient and "'piscine'" in error.reason
    assert logs and peer.server.requests == []


async def test_no_token_reaches_another_accounts_server(peer: OverFaults) -> None:
    async with fault_server(lambda _: Reply(500)) as other:
        accounts = {
            "mairie": {"url": peer.url, "token": "token-of-mairie"},
            "piscine": {"url": other.url, "token": "token-of-piscine"},
        }
        publisher = Mastodon(MastodonOptions.model_validate({"accounts": accounts}))
        await publisher.publish(peer.message())
        await outcome(publisher, Post("a-1.1", "piscine", "x", "fr"))
        await publisher.aclose()
    assert {request.headers["authorization"] for request in peer.server.requests} == {"Bearer token-of-mairie"}
    assert {request.headers["authorization"] for request in other.requests} == {"Bearer token-of-piscine"}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"accounts": {}}, "accounts"),
        ({"accounts": {"mairie": {"url": "social", "token": "t"}}}, "accounts.mairie.url"),
        ({"accounts": {"mairie": {"url": "https://social.example", "token": ""}}}, "accounts.mairie.token"),
        ({"timeout": -1}, "timeout"),
        ({"max_characters": 0}, "max_characters"),
    ],
)
def test_faulty_option_is_named(change: dict[str, Any], where: str) -> None:
    good = {"accounts": {"mairie": {"url": "https://social.example", "token": "t"}}}
    with pytest.raises(ValueError, match=where):
        MastodonOptions.model_validate(good | change)
