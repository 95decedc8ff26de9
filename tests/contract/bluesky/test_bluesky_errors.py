from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from publishers.base import Permanent, Publisher, PublishError, Transient, Unknown
from publishers.bluesky.channel import Bluesky
from publishers.bluesky.errors import ERRORS
from publishers.bluesky.record import record_key
from schemas.messages import Post
from tests.contract.bluesky.peers import OverFaults, pictured
from tests.contract.fault_server import Reply
from tests.contract.suite import outcome

pytestmark = pytest.mark.contract

WRITES: dict[str, tuple[int, type[PublishError]]] = {
    # an expired or unknown session that another session does not mend
    "ExpiredToken": (400, Transient),
    "InvalidToken": (400, Transient),
    # somebody must mend the account or its settings
    "AuthenticationRequired": (401, Transient),
    "AuthMissing": (401, Transient),
    "AuthFactorTokenRequired": (401, Transient),
    "Forbidden": (403, Transient),
    "AccountNotFound": (403, Transient),
    "AccountTakedown": (401, Transient),
    "AccountSuspended": (401, Transient),
    "AccountDeactivated": (401, Transient),
    "RepoNotFound": (400, Transient),
    "RepoTakendown": (400, Transient),
    "RepoSuspended": (400, Transient),
    "RepoDeactivated": (400, Transient),
    "XRPCNotSupported": (404, Transient),
    "MethodNotImplemented": (501, Transient),
    # later
    "RateLimitExceeded": (429, Transient),
    "NotEnoughResources": (503, Transient),
    "BlobNotFound": (400, Transient),
    # never
    "InvalidRequest": (400, Permanent),
    "InvalidSwap": (400, Permanent),
    "PayloadTooLarge": (413, Permanent),
    "BlobTooLarge": (400, Permanent),
    "InvalidMimeType": (400, Permanent),
    "InvalidSize": (400, Permanent),
    "UnsupportedMediaType": (415, Permanent),
    "NotAcceptable": (406, Permanent),
    "RecordNotFound": (400, Permanent),
    # nobody knows
    "InternalServerError": (500, Unknown),
    "UpstreamFailure": (502, Unknown),
    "UpstreamTimeout": (504, Unknown),
}

LATER = ("RateLimitExceeded", "NotEnoughResources", "BlobNotFound")
LOUD = [name for name, (_, expected) in WRITES.items() if expected is Transient and name not in LATER]


def said(name: str, status: int) -> Reply:
    return Reply(status, {"error": name, "message": "its own words"})


def meets(method: str) -> Callable[[Any], bool]:
    return lambda request: request.path.endswith(method)


def test_every_error_of_the_table_is_tried_here() -> None:
    assert set(WRITES) == set(ERRORS)


@pytest.mark.parametrize(("name", "status", "expected"), [(name, *told) for name, told in WRITES.items()])
async def test_refused_write_is_told_by_its_name(
    peer: OverFaults, publisher: Bluesky, name: str, status: int, expected: type
) -> None:
    message = peer.message()
    peer.server.next.extend([said(name, status)] * 2)  # twice: a session that is over is renewed once
    if name == "InvalidSwap":
        peer.model.records[record_key(message.at, message.key)] = {"text": "Marché annulé"}
    with capture_logs() as logs:
        error = await outcome(publisher, message)
    assert (type(error), error.code) == (expected, name)
    assert name == "InvalidSwap" or "its own words" in error.reason
    loud = [line for line in logs if line["event"] == "bluesky.settings_fault"]
    assert bool(loud) is (name in LOUD)
    assert all(line["account"] == "valmerande" and line["log_level"] == "error" for line in loud)
    assert not [line for line in logs if line["event"] == "bluesky.new_error_code"]


@pytest.mark.parametrize(("name", "status"), [(name, status) for name, (status, _) in WRITES.items()])
async def test_refused_log_in_never_fails_a_post_for_good(
    peer: OverFaults, publisher: Bluesky, name: str, status: int
) -> None:
    peer.server.meets = meets("createSession")
    peer.server.next.append(said(name, status))
    with capture_logs():
        error = await outcome(publisher, peer.message())
    assert (type(error), error.code) == (Transient, name)
    assert peer.model.records == {}


@pytest.mark.parametrize(("name", "status", "expected"), [(name, *told) for name, told in WRITES.items()])
async def test_refused_picture_leaves_nothing_unclear(
    peer: OverFaults, publisher: Bluesky, name: str, status: int, expected: type
) -> None:
    peer.server.meets = meets("uploadBlob")
    peer.server.next.extend([said(name, status)] * 2)
    with capture_logs():
        error = await outcome(publisher, pictured(peer.message()))
    assert (type(error), error.code) == (Permanent if expected is Permanent else Transient, name)
    assert peer.model.records == {}


@pytest.mark.parametrize(
    ("status", "expected", "settings"),
    [
        *((status, Permanent, False) for status in (400, 410, 422)),
        *((status, Transient, True) for status in (301, 401, 403, 404, 405)),
        *((status, Transient, False) for status in (408, 429, 503)),
        *((status, Unknown, False) for status in (409, 500, 502, 504, 520)),
    ],
)
async def test_error_that_the_table_lacks_is_judged_by_its_class_and_logged_as_new(
    peer: OverFaults, publisher: Bluesky, status: int, expected: type, settings: bool
) -> None:
    peer.server.next.append(said("SomethingNew", status))
    with capture_logs() as logs:
        error = await outcome(publisher, peer.message())
    assert (type(error), error.code) == (expected, "SomethingNew")
    [line] = [line for line in logs if line["event"] == "bluesky.new_error_code"]
    assert (line["code"], line["status"], line["account"]) == ("SomethingNew", status, "valmerande")
    assert any(line["event"] == "bluesky.settings_fault" for line in logs) is settings


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (b"<h1>Bad gateway</h1>", 502, Unknown),
        (b"", 503, Transient),
        (b"[]", 400, Permanent),
        (b'{"error": 7}', 404, Transient),
    ],
)
async def test_refusal_without_a_name_is_judged_by_its_class(
    peer: OverFaults, publisher: Bluesky, body: bytes, status: int, expected: type
) -> None:
    peer.server.next.append(Reply(status, body))
    with capture_logs():
        error = await outcome(publisher, peer.message())
    assert (type(error), error.code) == (expected, str(status))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "7", "RateLimit-Remaining": "0", "RateLimit-Reset": "SOON"}, 7),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "IN 60 S"}, 60),
        ({"RateLimit-Remaining": "5", "RateLimit-Reset": "IN 60 S"}, None),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "soon"}, None),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "9" * 30}, None),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "1577836800"}, 0),
        ({"RateLimit-Remaining": "0"}, None),
        ({}, None),
    ],
)
async def test_throttled_post_waits_for_the_end_of_the_period(
    peer: OverFaults, publisher: Bluesky, headers: dict[str, str], expected: float | None
) -> None:
    soon = str(int((datetime.now(UTC) + timedelta(seconds=60)).timestamp()))
    told = {name: soon if value == "IN 60 S" else value for name, value in headers.items()}
    peer.server.next.append(Reply(429, {"error": "RateLimitExceeded", "message": ""}, told))
    error = await outcome(publisher, peer.message())
    assert isinstance(error, Transient)
    assert error.retry_after == (None if expected is None else pytest.approx(expected, abs=2))


async def test_picture_that_the_server_lost_is_sent_again(peer: OverFaults, publisher: Bluesky) -> None:
    message = pictured(peer.message())
    peer.server.next.append(said("BlobNotFound", 400))
    assert type(await outcome(publisher, message)) is Transient
    assert (await publisher.publish(message)).reference
    assert peer.asked("uploadBlob") == 2


async def test_account_that_the_settings_lack_is_named_and_nothing_is_sent(
    peer: OverFaults, publisher: Bluesky
) -> None:
    message = Post("a-1.1", "piscine", "x", "fr")
    with capture_logs() as logs:
        error = await outcome(publisher, message)
        with pytest.raises(Transient):
            await publisher.form("piscine")
        with pytest.raises(Transient):
            await publisher.delete("at://did:plc:x/app.bsky.feed.post/3 bafy", "piscine")
    assert type(error) is Transient and "'piscine'" in error.reason
    assert len(logs) == 3 and peer.server.requests == []


@pytest.mark.parametrize("reference", ["", "115", "at://did:plc:x/app.bsky.feed.post/3", "https://x/y/z/a b"])
async def test_reference_of_another_network_is_refused(
    peer: OverFaults, publisher: Publisher[Any], reference: str
) -> None:
    assert isinstance(publisher, Bluesky)
    with pytest.raises(Permanent) as raised:
        await publisher.delete(reference, "valmerande")
    assert raised.value.code == "reference"
    assert peer.model.records == {}


async def test_post_of_an_account_that_the_settings_had_before_cannot_be_taken_back(
    peer: OverFaults, publisher: Bluesky
) -> None:
    with pytest.raises(Permanent) as raised:
        await publisher.delete("at://did:plc:before/app.bsky.feed.post/3n32a44dh427x bafyrei", "valmerande")
    assert raised.value.code == "fixed" and "@valmerande.example" in raised.value.reason
    assert peer.asked("deleteRecord") == 0
