import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from publishers.base import Transient, Untried
from publishers.bluesky import repository
from publishers.bluesky.channel import Bluesky, BlueskyOptions
from schemas.messages import Post
from tests.contract.bluesky.peers import OverFaults, pictured
from tests.contract.fault_server import Reply, fault_server
from tests.contract.suite import PATIENCE, Trouble, outcome

pytestmark = pytest.mark.contract


def meets(method: str) -> Callable[[Any], bool]:
    return lambda request: request.path.endswith(method)


def said(name: str, status: int) -> Reply:
    return Reply(status, {"error": name, "message": "its own words"})


class Clock:
    """Stands in for the monotonic clock of held log-ins and kept pictures."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(repository, "time", clock)
    return clock


async def test_one_log_in_serves_all_posts(peer: OverFaults, publisher: Bluesky) -> None:
    await asyncio.gather(*(publisher.publish(peer.message()) for _ in range(10)))
    await publisher.publish(peer.message())
    assert peer.asked("createSession") == 1
    request = next(request for request in peer.server.requests if request.path.endswith("createSession"))
    assert request.path == "/xrpc/com.atproto.server.createSession"
    assert request.json == {"identifier": "valmerande.example", "password": "abcd-efgh-ijkl-mnop"}
    assert "authorization" not in request.headers


async def test_session_that_is_over_is_renewed_once_for_all_that_wait(peer: OverFaults, publisher: Bluesky) -> None:
    await publisher.publish(peer.message())
    peer.model.valid.discard("access-1")
    await asyncio.gather(*(publisher.publish(peer.message()) for _ in range(8)))
    assert (peer.asked("createSession"), peer.asked("refreshSession")) == (1, 1)
    [renewal] = [request for request in peer.server.requests if request.path.endswith("refreshSession")]
    assert renewal.headers["authorization"] == "Bearer refresh-1"
    assert len(peer.model.records) == 9


async def test_session_whose_renewal_is_refused_is_followed_by_a_log_in(peer: OverFaults, publisher: Bluesky) -> None:
    await publisher.publish(peer.message())
    peer.model.valid.clear()
    await publisher.publish(peer.message())
    assert (peer.asked("createSession"), peer.asked("refreshSession")) == (2, 1)


@pytest.mark.parametrize("trouble", [said("NotEnoughResources", 503), Trouble.TAKE_AND_CUT, Trouble.GIBBERISH])
async def test_renewal_that_fails_for_now_spends_no_log_in(
    peer: OverFaults, publisher: Bluesky, trouble: Reply | Trouble
) -> None:
    await publisher.publish(peer.message())
    peer.model.valid.discard("access-1")
    peer.server.meets = meets("refreshSession")
    peer.server.next.append(trouble)
    message = peer.message()
    assert type(await outcome(publisher, message)) is Transient
    assert (await publisher.publish(message)).reference
    assert (peer.asked("createSession"), await peer.taken(message)) == (1, 1)


async def test_session_that_stays_over_is_not_renewed_without_end(peer: OverFaults, publisher: Bluesky) -> None:
    peer.server.next.extend([said("ExpiredToken", 400)] * 9)
    with capture_logs():
        assert type(await outcome(publisher, peer.message())) is Transient
    assert (peer.asked("refreshSession"), peer.asked("putRecord")) == (1, 2)


async def test_refused_log_in_is_not_tried_again_for_a_while(peer: OverFaults, clock: Clock) -> None:
    publisher = peer.open(token="wrong")
    with capture_logs():
        errors = await asyncio.gather(*(outcome(publisher, peer.message()) for _ in range(10)))
        assert peer.asked("createSession") == 1
        clock.now += repository.REFUSED_FOR - 1
        errors.append(await outcome(publisher, peer.message()))
        assert peer.asked("createSession") == 1
        clock.now += 1
        errors.append(await outcome(publisher, peer.message()))
    assert peer.asked("createSession") == 2
    assert {(type(error), error.code) for error in errors} == {(Transient, "AuthenticationRequired")}
    assert 86_400 / repository.REFUSED_FOR < 100, "bsky.social gives a hundred a day"
    await publisher.aclose()


async def test_throttled_log_in_waits_as_long_as_the_server_asks(
    peer: OverFaults, publisher: Bluesky, clock: Clock
) -> None:
    peer.server.meets = meets("createSession")
    peer.server.next.append(Reply(429, {"error": "RateLimitExceeded"}, {"Retry-After": "3600"}))
    first = await outcome(publisher, peer.message())
    clock.now += 600
    second = await outcome(publisher, peer.message())
    assert isinstance(first, Transient) and isinstance(second, Transient)
    assert (first.retry_after, second.retry_after) == (3600, 3000)
    assert peer.asked("createSession") == 1
    clock.now += 3000
    assert (await publisher.publish(peer.message())).reference


@pytest.mark.parametrize("trouble", [said("UpstreamFailure", 502), Trouble.TAKE_AND_CUT, Trouble.GIBBERISH])
async def test_log_in_that_fails_for_now_is_soon_tried_again_and_nothing_is_out(
    peer: OverFaults, publisher: Bluesky, clock: Clock, trouble: Reply | Trouble
) -> None:
    peer.server.meets = meets("createSession")
    peer.server.next.append(trouble)
    message = peer.message()
    assert type(await outcome(publisher, message)) is Transient
    clock.now += repository.FAILED_FOR
    assert (await publisher.publish(message)).reference
    assert await peer.taken(message) == 1


async def test_those_that_wait_for_a_hanging_log_in_do_not_each_wait_anew(peer: OverFaults) -> None:
    publisher = peer.open(timeout=PATIENCE)
    peer.server.meets = meets("createSession")
    peer.server.next.extend([Trouble.HANG] * 10)
    async with asyncio.timeout(PATIENCE * 5):
        errors = await asyncio.gather(*(outcome(publisher, peer.message()) for _ in range(10)))
    assert {type(error) for error in errors} == {Transient}
    assert peer.asked("createSession") == 1
    await publisher.aclose()


async def test_those_that_wait_for_a_server_that_is_not_there_have_sent_nothing(peer: OverFaults, nobody: str) -> None:
    publisher = peer.open(url=nobody)
    errors = await asyncio.gather(*(outcome(publisher, peer.message()) for _ in range(5)))
    assert {type(error) for error in errors} == {Untried}
    await publisher.aclose()


async def test_redirect_is_not_followed_with_the_password(peer: OverFaults, publisher: Bluesky) -> None:
    async with fault_server(lambda _: Reply(500)) as other:
        peer.server.meets = meets("createSession")
        peer.server.next.append(Reply(307, b"", {"Location": f"{other.url}/xrpc/com.atproto.server.createSession"}))
        with capture_logs() as logs:
            error = await outcome(publisher, peer.message())
        assert (type(error), error.code) == (Transient, "307")
        assert other.requests == []
    assert logs[0]["event"] == "bluesky.settings_fault"


async def test_no_password_or_token_is_told(peer: OverFaults) -> None:
    secret = "aaaa-bbbb-cccc-dddd"
    publisher = peer.open(token=secret)
    with capture_logs() as logs:
        error = await outcome(publisher, peer.message())
    peer.server.meets = meets("createSession")
    peer.server.next.append(Reply(200, {"did": "did:plc:x", "handle": "x.example", "accessJwt": "access-of-x"}))
    other = peer.open(token=secret)
    unreadable = await outcome(other, peer.message())
    said = repr((logs, error, error.__cause__, unreadable, vars(publisher)))
    assert secret not in said and "access-of-x" not in said
    await publisher.aclose()
    await other.aclose()


async def test_no_token_reaches_another_accounts_server(peer: OverFaults) -> None:
    numbers = itertools.count(1)
    async with fault_server(lambda _: Reply(500)) as server:
        other = OverFaults(server)
        accounts = {
            name: {"url": url, "handle": f"{name}.example", "app_password": "abcd-efgh-ijkl-mnop"}
            for name, url in (("valmerande", peer.url), ("piscine", server.url))
        }
        publisher = Bluesky(BlueskyOptions.model_validate({"accounts": accounts}))
        for account in accounts:
            await publisher.publish(Post(f"a-{next(numbers)}.1", account, "x", "fr"))
        await publisher.aclose()
        assert len(peer.server.requests) == len(server.requests) == 2
        assert other.server.requests[0].json["identifier"] == "piscine.example"


async def test_check_names_each_account_and_what_to_mend(peer: OverFaults, nobody: str) -> None:
    good = {"url": peer.url, "handle": "valmerande.example", "app_password": "abcd-efgh-ijkl-mnop"}
    accounts = {"valmerande": good, "piscine": {**good, "app_password": "wrong"}, "musée": {**good, "url": nobody}}
    publisher = Bluesky(BlueskyOptions.model_validate({"accounts": accounts}))
    with capture_logs():
        found = await publisher.check()
    assert [(finding.name, finding.ok) for finding in found] == [
        ("valmerande", True),
        ("piscine", False),
        ("musée", False),
    ]
    assert found[0].says == "signed in as @valmerande.example on 127.0.0.1" and found[0].mend is None
    assert "app password" in (found[1].mend or "") and "127.0.0.1" in (found[2].mend or "")
    assert peer.model.records == {}
    await publisher.aclose()


async def test_check_says_that_an_account_is_not_active(peer: OverFaults, publisher: Bluesky) -> None:
    await publisher.check()
    peer.server.meets = meets("getSession")
    who = {"did": "did:plc:x", "handle": "valmerande.example", "active": False, "status": "suspended"}
    peer.server.next.append(Reply(200, who))
    [finding] = await publisher.check()
    assert not finding.ok and "suspended" in finding.says and finding.mend


async def test_picture_that_is_up_already_is_not_sent_again_for_a_while(
    peer: OverFaults, publisher: Bluesky, clock: Clock
) -> None:
    message = pictured(peer.message())
    await peer.will(Trouble.UNAVAILABLE)
    assert type(await outcome(publisher, message)) is Transient
    await publisher.publish(message)
    assert peer.asked("uploadBlob") == 1
    clock.now += repository.BLOB_KEPT
    await publisher.publish(message)
    assert peer.asked("uploadBlob") == 2
