import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from publishers.base import (
    Checks,
    Deletes,
    Edits,
    Finds,
    LooksUp,
    Permanent,
    Publishes,
    Transient,
    Unclear,
    Unknown,
    Untried,
)
from publishers.x.channel import X, XOptions
from publishers.x.text import count
from schemas.messages import Post
from tests.contract.conftest import Sandbox
from tests.contract.fault_server import Reply, fault_server
from tests.contract.suite import (
    PATIENCE,
    ContractOfBrokenReplies,
    ContractOfCutDeletes,
    ContractOfCuts,
    Trouble,
    outcome,
)
from tests.contract.x.peers import (
    ACCOUNT,
    DUPLICATE,
    INVALID,
    PROBLEMS,
    REPLY_GONE,
    TOKEN,
    TOO_LONG,
    OverFaults,
    OverSandbox,
    numbered,
    picture,
    problem,
)

pytestmark = pytest.mark.contract

NOW = datetime.now(UTC)


@pytest.fixture
async def over_faults() -> AsyncIterator[OverFaults]:
    async with fault_server(lambda _: Reply(500)) as server:
        yield OverFaults(server)


@pytest.fixture
def peer(over_faults: OverFaults) -> OverFaults:
    return over_faults


class TestOverFaultServer(ContractOfBrokenReplies, ContractOfCutDeletes):
    @pytest.fixture
    async def peer(self, over_faults: OverFaults) -> OverFaults:
        return over_faults


class TestOverSandbox(ContractOfCuts, ContractOfCutDeletes):
    @pytest.fixture
    def peer(self, sandbox: Sandbox) -> OverSandbox:
        return OverSandbox(sandbox)

    async def test_post_that_was_taken_without_an_answer_is_found(self, peer: OverSandbox, publisher: X) -> None:
        link = f"https://valmerande.example/{uuid.uuid4().hex}"
        message = peer.message(f"Crue : évacuez <maintenant> & prévenez vos voisins\n\n{link} ({link}?a=1&b=2)")
        assert await publisher.find(message, message.at) is None
        await peer.will(Trouble.TAKE_AND_CUT)
        assert type(await outcome(publisher, message)) is Unknown
        found = await publisher.find(message, message.at)
        assert found is not None and found.reference is not None
        assert await peer.shown(found.reference) == message.text

    async def test_post_sent_again_after_a_cut_gives_the_receipt_of_the_first(
        self, peer: OverSandbox, publisher: X
    ) -> None:
        message = peer.message()
        await peer.will(Trouble.TAKE_AND_CUT)
        await outcome(publisher, message)
        receipt = await publisher.publish(message)
        assert receipt.code == "duplicate" and receipt.reference
        assert await peer.taken(message) == 1

    async def test_thread_with_pictures_reads_in_order_and_is_described(self, peer: OverSandbox, publisher: X) -> None:
        head = replace(peer.message(), pictures=(picture(), picture(b"\xff\xd8\xffanother", alt="La place")))
        first = await publisher.publish(head)
        answer = replace(peer.message(), reply_to=first.reference, root=first.reference)
        second = await publisher.publish(answer)
        lines = {line["id"]: line for line in peer.sandbox.journal("x") if line.get("id")}
        assert [one["alt"] for one in lines[first.reference]["pictures"]] == ["Plan de la déviation", "La place"]
        assert lines[second.reference]["in_reply_to_id"] == first.reference
        assert await publisher.find(head, head.at) == first, "a picture's own address is not part of the text"

    async def test_posts_address_leads_to_it(self, peer: OverSandbox, publisher: X) -> None:
        receipt = await publisher.publish(peer.message())
        assert receipt.url == f"{peer.sandbox.http}/x/i/web/status/{receipt.reference}"

    async def test_token_alone_is_enough(self, peer: OverSandbox) -> None:
        publisher = peer.open(account={"token": "token-valmerande"})
        message = peer.message()
        receipt = await publisher.publish(message)
        found = await publisher.find(message, message.at)
        assert found is not None and found.reference == receipt.reference
        await publisher.aclose()

    async def test_signature_that_does_not_fit_is_refused(self, peer: OverSandbox) -> None:
        publisher = peer.open(account=peer.account() | {"consumer_secret": "another"})
        message = peer.message()
        error = await outcome(publisher, message)
        assert (type(error), error.code) == (Transient, "unauthorized")
        assert await peer.taken(message) == 0
        await publisher.aclose()

    async def test_plan_that_may_not_read_leaves_it_to_an_officer(self, peer: OverSandbox) -> None:
        publisher = peer.open(token="96001-unread_valmerande")
        message = peer.message()
        await publisher.publish(message)
        with pytest.raises(Permanent) as refused:
            await publisher.find(message, message.at)
        assert refused.value.code == "cannot_look_up"
        again = await outcome(publisher, message)
        assert (type(again), again.code) == (Unknown, "duplicate")
        assert await peer.taken(message) == 1
        await publisher.aclose()

    async def test_posts_beyond_the_first_page_are_found(self, peer: OverSandbox) -> None:
        publisher = peer.open(token=f"96001-many_{uuid.uuid4().hex[:8]}", concurrency=20)
        message = peer.message()
        receipt = await publisher.publish(message)
        await asyncio.gather(*(publisher.publish(peer.message()) for _ in range(101)))
        found = await publisher.find(message, message.at)
        assert found is not None and found.reference == receipt.reference
        await publisher.aclose()

    async def test_answer_to_a_deleted_post_says_so_once_all_of_x_must_know(
        self, peer: OverSandbox, publisher: X
    ) -> None:
        long_ago = "20" * 9
        error = await outcome(publisher, replace(peer.message(), reply_to=long_ago, root=long_ago))
        assert (type(error), error.code) == (Permanent, "gone")
        first = await publisher.publish(peer.message())
        assert first.reference
        await publisher.delete(first.reference, ACCOUNT)
        error = await outcome(publisher, replace(peer.message(), reply_to=first.reference, root=first.reference))
        assert type(error) is Transient and error.retry_after, "X often doesn't know yet what it has just taken"

    async def test_check_names_whose_keys_they_are(self, peer: OverSandbox, publisher: X) -> None:
        [finding] = await publisher.check()
        assert (finding.name, finding.ok, finding.says) == (ACCOUNT, True, "@valmerande")


def test_is_what_the_hub_may_ask_of_it(publisher: X) -> None:
    assert publisher.unclear is Unclear.LOOK_UP and publisher.key_kept == timedelta(0)
    assert isinstance(publisher, Publishes) and isinstance(publisher, Deletes) and isinstance(publisher, Checks)
    assert isinstance(publisher, Finds)
    assert not isinstance(publisher, Edits | LooksUp)


async def test_form_is_that_of_x_and_has_no_addresses_unless_told(peer: OverFaults, publisher: X) -> None:
    form = await publisher.form(ACCOUNT)
    assert (form.characters, form.threads, form.links, form.pictures) == (280, True, False, 4)
    assert form.count is count and form.picture_octets == 5_000_000
    linking = peer.open(links=True)
    assert (await linking.form(ACCOUNT)).links
    with capture_logs() as logs, pytest.raises(Transient):
        await publisher.form("piscine")
    assert logs


async def test_request_is_what_the_api_documents(peer: OverFaults, publisher: X) -> None:
    await publisher.publish(Post("a-1.1", ACCOUNT, "Fin d'alerte crue", "fr", warning="unsent"))
    [request] = peer.server.requests
    assert (request.method, request.path) == ("POST", "/2/tweets")
    assert request.json == {"text": "Fin d'alerte crue"}
    assert request.headers["authorization"].startswith("OAuth ")
    assert f'oauth_token="{TOKEN}"' in request.headers["authorization"]


async def test_picture_is_uploaded_and_described_before_the_post(peer: OverFaults, publisher: X) -> None:
    message = replace(peer.message(), pictures=(picture(),))
    await publisher.publish(message)
    paths = [request.path for request in peer.server.requests]
    assert paths == ["/2/media/upload", "/2/media/metadata", "/2/tweets"]
    assert b"tweet_image" in peer.server.requests[0].content and picture().content in peer.server.requests[0].content
    [(number, alt)] = peer.media.items()
    assert alt == "Plan de la déviation"
    assert peer.server.requests[2].json["media"] == {"media_ids": [number]}


async def test_picture_is_uploaded_once_for_all_tries(peer: OverFaults, publisher: X) -> None:
    message = replace(peer.message(), pictures=(picture(),))
    peer.server.next.extend([Trouble.ANSWER_AND_CLOSE, Trouble.ANSWER_AND_CLOSE, Reply(503, b"")])
    assert type(await outcome(publisher, message)) is Transient
    await publisher.publish(message)
    assert len(peer.media) == 1


async def test_picture_that_x_has_forgotten_is_uploaded_again(peer: OverFaults, publisher: X) -> None:
    message = replace(peer.message(), pictures=(picture(),))
    peer.server.next.extend([Trouble.ANSWER_AND_CLOSE, Trouble.ANSWER_AND_CLOSE, numbered(400, 324)])
    error = await outcome(publisher, message)
    assert (type(error), error.code) == (Transient, "media_refused")
    await publisher.publish(message)
    assert len(peer.media) == 2


@pytest.mark.parametrize("trouble", [Trouble.TAKE_AND_CUT, Trouble.GIBBERISH, Reply(500, b"")])
async def test_upload_that_fails_published_nothing_and_is_tried_again(
    peer: OverFaults, publisher: X, trouble: Trouble | Reply
) -> None:
    message = replace(peer.message(), pictures=(picture(),))
    peer.server.next.append(trouble)
    assert type(await outcome(publisher, message)) is Transient
    assert await peer.taken(message) == 0


async def test_hanging_upload_leaves_no_unknown_post_and_ends_in_time(peer: OverFaults) -> None:
    publisher = peer.open(timeout=PATIENCE)
    await peer.will(Trouble.HANG)
    assert type(await outcome(publisher, replace(peer.message(), pictures=(picture(),)))) is Transient
    await publisher.aclose()


async def test_picture_that_x_will_not_have_fails_the_post(peer: OverFaults, publisher: X) -> None:
    peer.server.next.append(problem(400, "media type unrecognized.", "Bad Request"))
    assert type(await outcome(publisher, replace(peer.message(), pictures=(picture(),)))) is Permanent


USAGE_CAPPED = {
    "account_id": 96001,
    "product_name": "standard-basic",
    "title": "UsageCapExceeded",
    "period": "Monthly",
    "scope": "Product",
    "detail": "Usage cap exceeded: Monthly product cap",
    "type": f"{PROBLEMS}/usage-capped",
}
CREDITS = {
    "account_id": 96001,
    "title": "CreditsDepleted",
    "detail": "Your enrolled account [96001] does not have any credits to fulfill this request.",
    "type": f"{PROBLEMS}/credits",
}
CLIENT_FORBIDDEN = {
    "client_id": "18674063",
    "detail": "When authenticating requests to the Twitter API v2 endpoints, you must use keys and tokens from a "
    "Twitter developer App that is attached to a Project.",
    "registration_url": "https://developer.twitter.com/en/docs/projects/overview",
    "title": "Client Forbidden",
    "required_enrollment": "Appropriate Level of API Access",
    "reason": "client-not-enrolled",
    "type": f"{PROBLEMS}/client-forbidden",
}
OAUTH1 = {
    "title": "Forbidden",
    "status": 403,
    "detail": "Your client app is not configured with the appropriate oauth1 app permissions for this endpoint.",
    "type": f"{PROBLEMS}/oauth1-permissions",
}
APPLICATION_ONLY = {
    "title": "Unsupported Authentication",
    "detail": "Authenticating with OAuth 2.0 Application-Only is forbidden for this endpoint.",
    "type": f"{PROBLEMS}/unsupported-authentication",
    "status": 403,
}
SUSPENDED = "Your account is suspended and is not permitted to access this feature."
LOCKED = (
    "To protect our users from spam and other malicious activity, this account is temporarily locked. Please log in to "
    "https://twitter.com to unlock your account."
)
SUBSET = "You currently have access to a subset of X API V2 endpoints and limited v1.1 endpoints"


@pytest.mark.parametrize(
    ("reply", "expected", "code"),
    [
        (problem(400, TOO_LONG, "Bad Request"), Permanent, "too_long"),
        (numbered(403, 186, "Tweet needs to be a bit shorter."), Permanent, "too_long"),
        (INVALID, Permanent, "invalid"),
        (problem(400, "its own words", "Bad Request"), Permanent, "invalid"),
        (numbered(403, 385, REPLY_GONE), Permanent, "gone"),
        (problem(403, REPLY_GONE), Permanent, "gone"),
        (numbered(403, 183), Permanent, "fixed"),
        (numbered(404, 34), Permanent, "gone"),
        (numbered(404, 144), Permanent, "gone"),
        (problem(404, "Not Found", "Not Found"), Permanent, "gone"),
        (problem(400, "Your media IDs are invalid.", "Bad Request"), Transient, "media_refused"),
        (Reply(429, USAGE_CAPPED), Transient, "usage_cap"),
        (numbered(403, 185, "User is over daily status update limit."), Transient, "daily_limit"),
        (numbered(403, 226, "This request looks like it might be automated."), Transient, "looks_automated"),
        (problem(429, "Too Many Requests", "Too Many Requests"), Transient, "rate_limit"),
        (numbered(429, 88, "Rate limit exceeded"), Transient, "rate_limit"),
        (problem(503, "Service Unavailable", "Service Unavailable"), Transient, "overloaded"),
        (numbered(503, 130, "Over capacity"), Transient, "overloaded"),
        (Reply(503, b"<html>Over capacity</html>"), Transient, "overloaded"),
        (numbered(403, 63, "User has been suspended."), Transient, "suspended"),
        (numbered(403, 64, SUSPENDED), Transient, "suspended"),
        (problem(403, SUSPENDED), Transient, "suspended"),
        (numbered(403, 326, LOCKED), Transient, "locked"),
        (problem(403, LOCKED), Transient, "locked"),
        (numbered(401, 135, "Timestamp out of bounds."), Transient, "clock"),
        (Reply(403, OAUTH1), Transient, "permissions"),
        (numbered(403, 261, "Application cannot perform write actions."), Transient, "permissions"),
        (Reply(403, CLIENT_FORBIDDEN), Transient, "no_project"),
        (numbered(403, 453, SUBSET), Transient, "access_level"),
        (Reply(403, APPLICATION_ONLY), Transient, "no_user"),
        (Reply(402, CREDITS), Transient, "credits"),
        (
            Reply(403, CREDITS | {"title": "SpendCapReached", "detail": "…its billing cycle spend cap."}),
            Transient,
            "credits",
        ),
        (problem(401, "Unauthorized", "Unauthorized"), Transient, "unauthorized"),
        (numbered(401, 32, "Could not authenticate you."), Transient, "unauthorized"),
        (numbered(401, 89, "Invalid or expired token."), Transient, "unauthorized"),
        (numbered(400, 215, "Bad Authentication data."), Transient, "unauthorized"),
        (problem(403, "You are not permitted to perform this action."), Transient, "forbidden"),
        (problem(500, "Internal Server Error", "Internal Server Error"), Unknown, "internal"),
        (numbered(500, 131, "Internal error"), Unknown, "internal"),
    ],
)
async def test_each_thing_that_x_says_means_what_the_table_says(
    peer: OverFaults, publisher: X, reply: Reply, expected: type, code: str
) -> None:
    peer.server.next.append(reply)
    with capture_logs() as logs:
        error = await outcome(publisher, peer.message())
    assert (type(error), error.code) == (expected, code)
    assert not [line for line in logs if line["event"] == "x.new_error_code"]
    if isinstance(reply.content, dict) and "detail" in reply.content:
        assert reply.content["detail"] in error.reason, "its own words are kept"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (numbered(403, 999, "something new"), Transient),
        (numbered(422, 998, "something new"), Permanent),
        (numbered(504, 997, "something new"), Unknown),
        (Reply(302, b"", {"Location": "https://x.com/elsewhere"}), Transient),
    ],
)
async def test_what_x_never_said_before_is_judged_by_its_class_and_told(
    peer: OverFaults, publisher: X, reply: Reply, expected: type
) -> None:
    peer.server.next.append(reply)
    with capture_logs() as logs:
        error = await outcome(publisher, peer.message())
    assert (type(error), error.code) == (expected, str(reply.status))
    [line] = [line for line in logs if line["event"] == "x.new_error_code"]
    assert (line["account"], line["status"], line["log_level"]) == (ACCOUNT, reply.status, "error")


async def test_text_that_is_too_long_is_told_so_even_where_x_says_nothing(peer: OverFaults, publisher: X) -> None:
    peer.server.next.append(problem(403, "You are not permitted to perform this action."))
    with capture_logs():
        error = await outcome(publisher, peer.message("日" * 141))
    assert (type(error), error.code) == (Permanent, "too_long")


async def test_used_up_plan_waits_for_the_next_month(peer: OverFaults, publisher: X) -> None:
    peer.server.next.append(Reply(429, USAGE_CAPPED))
    error = await outcome(publisher, peer.message())
    assert isinstance(error, Transient) and error.retry_after is not None
    back = datetime.now(UTC) + timedelta(seconds=error.retry_after)
    assert back.day == 1 or (back + timedelta(seconds=2)).day == 1


async def test_refused_keys_are_told_loudly_and_not_written(peer: OverFaults) -> None:
    publisher = peer.open(token="1-a-token-to-keep")
    with capture_logs() as logs:
        error = await outcome(publisher, peer.message())
    [line] = [line for line in logs if line["event"] == "x.settings_fault"]
    assert (line["account"], line["code"], line["log_level"]) == (ACCOUNT, "unauthorized", "error")
    assert "to-keep" not in repr(logs) + repr(error) + repr(publisher) + repr(vars(publisher))
    await publisher.aclose()


async def test_keys_are_in_no_debug_log(peer: OverFaults, publisher: X, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    await publisher.publish(peer.message())
    assert TOKEN not in caplog.text and "oauth_signature" not in caplog.text


async def test_account_that_the_settings_lack_is_named_and_nothing_is_sent(peer: OverFaults, publisher: X) -> None:
    with capture_logs() as logs:
        error = await outcome(publisher, Post("a-1.1", "piscine", "x", "fr"))
    assert type(error) is Transient and "'piscine'" in error.reason
    assert logs and peer.server.requests == []


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


@pytest.mark.parametrize("window", ["x-user-limit-24hour", "x-app-limit-24hour", "x-rate-limit"])
async def test_last_post_that_x_allows_is_not_followed_by_a_vain_one(
    peer: OverFaults, publisher: X, window: str
) -> None:
    ends = datetime.now(UTC) + timedelta(hours=3)
    headers = {f"{window}-remaining": "0", f"{window}-reset": str(int(ends.timestamp()))}
    peer.server.next.append(Reply(201, {"data": {"id": "7", "text": "x"}}, headers))
    assert (await publisher.publish(peer.message())).reference == "7"
    error = await outcome(publisher, peer.message())
    assert isinstance(error, Transient) and error.code == "budget"
    assert error.retry_after == pytest.approx(3 * 3600, abs=5)
    assert len(peer.server.requests) == 1


async def test_month_has_no_more_posts_than_the_settings_allow_whoever_made_them(peer: OverFaults) -> None:
    first = peer.open()
    await first.publish(peer.message())
    await first.aclose()
    publisher = peer.open(account=peer.account() | {"posts_per_month": 3})
    await publisher.publish(peer.message())
    await publisher.publish(peer.message())
    error = await outcome(publisher, peer.message())
    assert isinstance(error, Transient) and error.code == "month_budget"
    assert error.retry_after and error.retry_after <= 31 * 86_400
    assert len(peer.ever) == 3
    await publisher.aclose()


async def test_month_that_cannot_be_counted_stops_nobody(peer: OverFaults) -> None:
    publisher = peer.open(account=peer.account() | {"posts_per_month": 1})
    peer.server.next.append(Reply(403, CLIENT_FORBIDDEN))
    with capture_logs() as logs:
        await publisher.publish(peer.message())
        assert (await outcome(publisher, peer.message())).code == "month_budget", "its own posts it knows"
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["x.month_not_counted"]
    await publisher.aclose()


async def test_deleting_twice_is_no_error_whatever_x_calls_it(peer: OverFaults, publisher: X) -> None:
    for reply in (Reply(200, {"data": {"deleted": True}}), numbered(404, 144), problem(404, "Not Found")):
        peer.server.next.append(reply)
        await publisher.delete("7", ACCOUNT)
    peer.server.next.append(Reply(200, {"data": {"deleted": False}}))
    with pytest.raises(Transient):
        await publisher.delete("7", ACCOUNT)
    peer.server.next.append(Trouble.GIBBERISH)
    with pytest.raises(Unknown):
        await publisher.delete("7", ACCOUNT)


async def test_check_says_what_to_mend(peer: OverFaults, publisher: X) -> None:
    me = {"data": {"id": "96001", "username": ACCOUNT}}
    peer.server.next.append(Reply(200, me, {"x-access-level": "read"}))
    [finding] = await publisher.check()
    assert not finding.ok and "only read" in finding.says and finding.mend and "Read and write" in finding.mend
    peer.server.next.append(problem(401, "Unauthorized"))
    with capture_logs():
        [finding] = await publisher.check()
    assert not finding.ok and finding.mend
    peer.server.next.append(Trouble.GIBBERISH)
    [finding] = await publisher.check()
    assert not finding.ok
    assert not peer.ever


async def test_check_of_nobody_does_not_raise(peer: OverFaults, nobody: str) -> None:
    publisher = peer.open(url=nobody)
    [finding] = await publisher.check()
    assert not finding.ok
    await publisher.aclose()


async def test_channel_can_be_opened_before_there_is_a_loop_and_closed_unused(peer: OverFaults) -> None:
    publisher = await asyncio.to_thread(peer.open)
    await publisher.aclose()
    assert type(await outcome(publisher, peer.message())) is Untried


def _good() -> dict[str, Any]:
    return {
        "consumer_key": "a",
        "consumer_secret": "b",
        "access_token": "1-c",
        "access_token_secret": "d",
    }


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"accounts": {}}, "accounts"),
        ({"accounts": {"mairie": {}}}, "consumer_key, consumer_secret, access_token, access_token_secret, or token"),
        ({"accounts": {"mairie": {"consumer_key": "a"}}}, "give consumer_secret, access_token"),
        ({"accounts": {"mairie": _good() | {"token": "t"}}}, "either token or"),
        ({"accounts": {"mairie": _good() | {"posts_per_month": 0}}}, "posts_per_month"),
        ({"accounts": {"mairie": _good() | {"posts_per_month": 801}}}, "posts_per_month"),
        ({"accounts": {"mairie": _good() | {"access_token": ""}}}, "access_token"),
        ({"url": "x"}, "url"),
        ({"timeout": -1}, "timeout"),
        ({"concurrency": 0}, "concurrency"),
        ({"edits": True}, "edits"),
    ],
)
def test_faulty_option_is_named(change: dict[str, Any], where: str) -> None:
    with pytest.raises(ValueError, match=where):
        XOptions.model_validate({"accounts": {"mairie": _good()}} | change)


def test_options_are_those_of_x_and_hide_their_secrets() -> None:
    options = XOptions.model_validate({"accounts": {"mairie": _good() | {"access_token_secret": "hush"}}})
    assert (str(options.url), options.links) == ("https://api.x.com/", False)
    assert "hush" not in repr(options) and "hush" not in json.dumps(options.model_dump(mode="json"))
    assert "hush" not in repr(options.accounts["mairie"].keys)
