import asyncio
import json
import uuid
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
from tests.contract.fault_server import Reply
from tests.contract.peers import picture
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
    CLIENT_FORBIDDEN,
    TOKEN,
    OverFaults,
    OverSandbox,
    numbered,
    problem,
)

pytestmark = pytest.mark.contract


class TestOverFaultServer(ContractOfBrokenReplies, ContractOfCutDeletes):
    """Whatever a server can do wrong."""


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


async def test_account_that_the_settings_lack_is_named_and_nothing_is_sent(peer: OverFaults, publisher: X) -> None:
    with capture_logs() as logs:
        error = await outcome(publisher, Post("a-1.1", "piscine", "x", "fr"))
    assert type(error) is Transient and "'piscine'" in error.reason
    assert logs and peer.server.requests == []


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
