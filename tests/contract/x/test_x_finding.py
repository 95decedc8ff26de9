"""Whether a post is there already: what a duplicate means, and how the account's timeline is searched."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from publishers.base import (
    Permanent,
    Transient,
    Unknown,
)
from publishers.x.channel import X
from tests.contract.fault_server import Reply
from tests.contract.suite import (
    Trouble,
    outcome,
)
from tests.contract.x.peers import (
    CLIENT_FORBIDDEN,
    CREDITS,
    DUPLICATE,
    SUBSET,
    TOKEN,
    OverFaults,
    numbered,
    problem,
)

pytestmark = pytest.mark.contract

NOW = datetime.now(UTC)


async def test_duplicate_gives_the_receipt_of_the_post_that_is_there(peer: OverFaults, publisher: X) -> None:
    message = peer.message()
    first = await publisher.publish(message)
    with capture_logs() as logs:
        second = await publisher.publish(message)
    assert (second.reference, second.url, second.code) == (first.reference, first.url, "duplicate")
    assert [line["event"] for line in logs] == ["x.already_there"]


async def test_duplicate_of_an_older_post_is_refused_with_its_date(peer: OverFaults, publisher: X) -> None:
    message = peer.message()
    first = await publisher.publish(message)
    peer.posts[str(first.reference)]["created_at"] = "2026-01-12T07:30:00.000Z"
    error = await outcome(publisher, replace(message, key="another"))
    assert (type(error), error.code) == (Permanent, "duplicate")
    assert "2026-01-12 07:30" in error.reason


@pytest.mark.parametrize("answer", [None, Reply(429, {}), Reply(500, {}), Trouble.TAKE_AND_CUT, Trouble.GIBBERISH])
async def test_duplicate_that_cannot_be_found_is_unknown(
    peer: OverFaults, publisher: X, answer: Reply | Trouble | None
) -> None:
    message = peer.message()
    await publisher.publish(message)
    peer.blind = True
    if answer is not None:
        peer.server.next.extend([problem(403, DUPLICATE), answer])
    error = await outcome(publisher, message)
    assert (type(error), error.code) == (Unknown, "duplicate")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Trouble.TAKE_AND_CUT, Transient),
        (Trouble.HALF_A_REPLY, Transient),
        (Trouble.GIBBERISH, Transient),
        (Reply(500, {}), Transient),
        (problem(401, "Unauthorized"), Transient),
        (numbered(400, 999), Transient),
        (Reply(402, CREDITS), Transient),
        (Reply(403, CLIENT_FORBIDDEN), Permanent),
        (numbered(403, 453, SUBSET), Permanent),
    ],
)
async def test_search_that_fails_is_not_taken_for_never_made(
    peer: OverFaults, publisher: X, answer: Reply | Trouble, expected: type
) -> None:
    peer.server.next.append(answer)
    with capture_logs(), pytest.raises(expected):
        await publisher.find(peer.message(), NOW)


async def test_search_waits_as_long_as_x_asks(peer: OverFaults, publisher: X) -> None:
    await peer.will(Trouble.THROTTLE)
    with pytest.raises(Transient) as raised:
        await publisher.find(peer.message(), NOW)
    assert raised.value.retry_after is not None and 5 < raised.value.retry_after <= 7


async def test_post_of_the_same_words_made_before_is_another(peer: OverFaults, publisher: X) -> None:
    message = peer.message()
    await publisher.publish(message)
    assert await publisher.find(message, datetime.now(UTC) + timedelta(minutes=2)) is None
    assert await publisher.find(message, message.at) is not None


@pytest.mark.parametrize("since", [datetime(2000, 1, 1, tzinfo=UTC), NOW + timedelta(days=1)])
async def test_search_asks_for_no_time_that_x_refuses(peer: OverFaults, publisher: X, since: datetime) -> None:
    await publisher.find(peer.message(), since)
    [asked] = peer.server.requests[-1].query["start_time"]
    assert datetime(2010, 11, 6, tzinfo=UTC) <= datetime.fromisoformat(asked) < datetime.now(UTC)


async def test_addresses_and_spaces_that_x_changes_do_not_hide_a_post(peer: OverFaults, publisher: X) -> None:
    peer.posts["7"] = {
        "id": "7",
        "text": "Travaux &amp; déviation https://t.co/aB1 voir https://t.co/aB2 https://t.co/aB3",
        "created_at": "2026-11-24T08:00:00.000Z",
        "entities": {
            "urls": [
                {"start": 24, "end": 40, "url": "https://t.co/aB1", "expanded_url": "http://valmerande.fr"},
                {"start": 46, "end": 62, "url": "https://t.co/aB2", "expanded_url": "https://mairie.fr/a?b=1&c=2"},
                {
                    "start": 63,
                    "end": 79,
                    "url": "https://t.co/aB3",
                    "expanded_url": "https://x.com/valmerande/status/7/photo/1",
                    "media_key": "3_1",
                },
            ]
        },
    }
    message = peer.message("Travaux & déviation valmerande.fr\nvoir https://mairie.fr/a?b=1&c=2 ")
    found = await publisher.find(message, datetime(2026, 1, 1, tzinfo=UTC))
    assert found is not None and found.reference == "7"
    other = replace(message, text=message.text.replace("c=2", "c=3"))
    assert await publisher.find(other, datetime(2026, 1, 1, tzinfo=UTC)) is None


async def test_account_whose_token_tells_no_number_is_asked_for_it_once(peer: OverFaults) -> None:
    publisher = peer.open(account={"token": TOKEN})
    await publisher.find(peer.message(), NOW)
    await publisher.find(peer.message(), NOW)
    assert [request.path for request in peer.server.requests].count("/2/users/me") == 1
    assert {request.headers["authorization"] for request in peer.server.requests} == {f"Bearer {TOKEN}"}
    await publisher.aclose()
