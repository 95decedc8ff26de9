"""What goes over the wire, byte by byte, and what is done with odd answers."""

import hashlib
import hmac
import json
import logging
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from publishers.base import Checks, Deletes, Edits, Finds, Permanent, PostForm, Publishes, Transient, Unknown
from publishers.facebook.channel import Facebook, FacebookOptions
from publishers.facebook.errors import CODES, SUBCODES
from tests.contract.facebook.peers import PAGE, TOKEN, USED_UP, OverFaults, error
from tests.contract.fault_server import FaultServer, Reply
from tests.contract.peers import PNG, picture
from tests.contract.suite import Trouble, outcome

pytestmark = pytest.mark.contract

ENOUGH = 1.0
"""Seconds in which a request surely leaves, and after which no answer will come."""


@pytest.fixture
def peer(faults: FaultServer) -> OverFaults:
    return OverFaults(faults)


def test_it_is_all_that_a_network_can_be(publisher: Facebook) -> None:
    assert all(isinstance(publisher, kind) for kind in (Publishes, Edits, Deletes, Finds, Checks))


async def test_form_counts_as_facebook_does(publisher: Facebook) -> None:
    form = await publisher.form("valmerande")
    assert isinstance(form, PostForm) and not form.threads and form.links and form.pictures == 10
    assert form.fits("é" * 63_206) and not form.fits("🌊" * 31_604)
    with pytest.raises(Transient), capture_logs():
        await publisher.form("piscine")


async def test_post_is_what_the_api_documents(peer: OverFaults, publisher: Facebook) -> None:
    message = replace(peer.message("Fin d'alerte crue"), link="https://valmerande.example/a")
    receipt = await publisher.publish(message)
    [request] = peer.server.requests
    assert (request.method, request.path, request.query) == ("POST", f"/v25.0/{PAGE}/feed", {})
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.json == {"message": "Fin d'alerte crue", "link": "https://valmerande.example/a"}
    assert receipt.reference == f"{PAGE}_1" and receipt.url == f"https://www.facebook.com/{PAGE}_1"


async def test_pictures_are_uploaded_unseen_and_hung_on_one_post(peer: OverFaults, publisher: Facebook) -> None:
    pictures = (picture(), picture(PNG + b"2", "Le pont, vu d'aval"))
    message = replace(peer.message(), pictures=pictures, link="https://valmerande.example/a")
    await publisher.publish(message)
    *uploads, feed = peer.server.requests
    assert {upload.path for upload in uploads} == {f"/v25.0/{PAGE}/photos"}
    for upload, given in zip(sorted(uploads, key=lambda one: PNG + b"2" in one.content), pictures, strict=True):
        assert b'name="published"\r\n\r\nfalse' in upload.content
        assert f'name="alt_text_custom"\r\n\r\n{given.alt}'.encode() in upload.content
        assert given.content in upload.content and b"Content-Type: image/png" in upload.content
    hung = [one["media_fbid"] for one in feed.json["attached_media"]]
    assert [PNG + b"2" in peer.pictures[one] for one in hung] == [False, True], "in the order given"
    assert "link" not in feed.json, "Facebook shows pictures or a preview, not both"


@pytest.mark.parametrize("trouble", [Trouble.TAKE_AND_CUT, Trouble.GIBBERISH, Reply(500, error(1)), Reply(502, b"")])
async def test_lost_picture_is_no_unclear_post(peer: OverFaults, publisher: Facebook, trouble: Trouble | Reply) -> None:
    message = replace(peer.message(), pictures=(picture(),))
    peer.server.next.append(trouble)
    with capture_logs():
        assert type(await outcome(publisher, message)) is Transient
    assert await peer.taken(message) == 0
    assert (await publisher.publish(message)).reference


async def test_refused_picture_refuses_the_post(peer: OverFaults, publisher: Facebook) -> None:
    message = replace(peer.message(), pictures=(picture(),))
    peer.server.next.append(Reply(400, error(100, 1366046)))
    assert type(await outcome(publisher, message)) is Permanent
    assert await peer.taken(message) == 0


async def test_pictures_that_take_too_long_go_on_at_the_next_try(peer: OverFaults) -> None:
    publisher = peer.open(timeout=ENOUGH)
    message = replace(peer.message(), pictures=(picture(), picture(PNG + b"2")))
    await peer.will(Trouble.HANG)
    first = await outcome(publisher, message)
    assert (type(first), first.code) == (Transient, "pictures")
    assert len(peer.pictures) == 1
    await publisher.publish(message)
    assert len(peer.pictures) == 2, "only the missing one"
    await publisher.aclose()


async def test_pictures_are_uploaded_anew_once_a_post_was_tried_with_them(
    peer: OverFaults, publisher: Facebook
) -> None:
    message = replace(peer.message(), pictures=(picture(),))
    peer.server.next += [Reply(200, {"id": "7"}), Reply(503, error(2))]
    assert type(await outcome(publisher, message)) is Transient
    await publisher.publish(message)
    assert [request.path.rpartition("/")[2] for request in peer.server.requests] == ["photos", "feed"] * 2


@pytest.mark.parametrize(("code", "subcode"), [(1609005, None), (100, 1609005), (1500, None), (200, 1609008)])
async def test_refused_link_costs_the_preview_and_not_the_post(
    peer: OverFaults, publisher: Facebook, code: int, subcode: int | None
) -> None:
    message = replace(peer.message(), link="https://valmerande.example/a")
    peer.server.next.append(Reply(400, error(code, subcode)))
    with capture_logs() as logs:
        await publisher.publish(message)
    assert [request.json.get("link") for request in peer.server.requests] == [message.link, None]
    assert [line["event"] for line in logs] == ["facebook.link_refused"]


@pytest.mark.parametrize("code", [*CODES, 200, 299])
async def test_every_code_ends_a_post_as_the_table_says(peer: OverFaults, publisher: Facebook, code: int) -> None:
    peer.server.next.append(Reply(400, error(code)))
    with capture_logs():
        failed = await outcome(publisher, peer.message())
    expected = CODES[code].error if code in CODES else Transient
    assert (type(failed), failed.code) == (expected, "duplicate" if code == 506 else str(code))
    assert "its own words" in failed.reason


@pytest.mark.parametrize("subcode", SUBCODES)
async def test_every_subcode_ends_a_post_as_the_table_says(peer: OverFaults, publisher: Facebook, subcode: int) -> None:
    peer.server.next.append(Reply(400, error(100, subcode)))
    with capture_logs():
        failed = await outcome(publisher, peer.message())
    assert type(failed) is SUBCODES[subcode].error


async def test_used_up_quota_rests_the_page_though_the_post_was_made(peer: OverFaults, publisher: Facebook) -> None:
    peer.server.next.append(Reply(200, {"id": f"{PAGE}_9"}, USED_UP))
    assert (await publisher.publish(peer.message())).reference
    resting = await outcome(publisher, peer.message())
    assert isinstance(resting, Transient) and resting.retry_after == pytest.approx(120, abs=2)
    assert len(peer.server.requests) == 1, "nothing was asked meanwhile"


async def test_duplicate_that_cannot_be_looked_for_now_waits(peer: OverFaults, publisher: Facebook) -> None:
    peer.server.next += [Reply(400, error(506)), Reply(503, error(2))]
    assert type(await outcome(publisher, peer.message())) is Transient


@pytest.mark.parametrize(
    "answer", [Trouble.TAKE_AND_CUT, Trouble.GIBBERISH, Reply(500, error(1)), Reply(400, error(100))]
)
async def test_search_without_an_answer_is_not_taken_for_never_made(
    peer: OverFaults, publisher: Facebook, answer: Trouble | Reply
) -> None:
    peer.server.next.append(answer)
    message = peer.message()
    with pytest.raises(Transient):
        await publisher.find(message, message.at)


@pytest.mark.parametrize("code", [10, 200, 283])
async def test_search_that_the_token_may_not_make_will_never_tell(
    peer: OverFaults, publisher: Facebook, code: int
) -> None:
    peer.server.next.append(Reply(403, error(code)))
    message = peer.message()
    with pytest.raises(Permanent), capture_logs():
        await publisher.find(message, message.at)


async def test_search_turns_the_pages_without_following_addresses(peer: OverFaults, publisher: Facebook) -> None:
    message = peer.message()
    other = {"id": f"{PAGE}_1", "created_time": message.at.strftime("%Y-%m-%dT%H:%M:%S+0000"), "message": "x"}
    paging = {"cursors": {"after": "QVFI"}, "next": f"{peer.url}/elsewhere?access_token={TOKEN}"}
    this = other | {
        "id": f"{PAGE}_2",
        "message": f"  {message.text}\n",
        "permalink_url": "https://www.facebook.com/p/2",
    }
    peer.server.next += [Reply(200, {"data": [other], "paging": paging}), Reply(200, {"data": [this]})]
    receipt = await publisher.find(message, message.at)
    assert receipt and (receipt.reference, receipt.url) == (f"{PAGE}_2", "https://www.facebook.com/p/2")
    first, second = peer.server.requests
    assert first.path == second.path == f"/v25.0/{PAGE}/published_posts"
    assert first.query["since"] == [str(int(message.at.timestamp()) - 60)]
    assert "after" not in first.query and second.query["after"] == ["QVFI"]


async def test_search_that_does_not_end_is_not_taken_for_never_made(peer: OverFaults, publisher: Facebook) -> None:
    paging = {"cursors": {"after": "QVFI"}, "next": "https://graph.facebook.com/next"}
    peer.server.next += [Reply(200, {"data": [], "paging": paging})] * 5
    message = peer.message()
    with pytest.raises(Transient, match="there are more"):
        await publisher.find(message, message.at)


async def test_post_that_the_token_may_not_see_is_not_called_gone(peer: OverFaults, publisher: Facebook) -> None:
    peer.server.next += [Reply(400, error(100, 33)), Reply(400, error(100, 33))]
    with pytest.raises(Transient), capture_logs() as logs:
        await publisher.delete(f"{PAGE}_1", "valmerande")
    assert logs[-1]["event"] == "facebook.settings_fault"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Reply(200, {"success": False}), Transient),
        (Reply(200, b"<html>"), Unknown),
        (Reply(500, error(1)), Unknown),
        (Reply(400, error(190, 463)), Transient),
    ],
)
async def test_edit_and_deletion_answered_oddly_are_not_taken_for_done(
    peer: OverFaults, publisher: Facebook, answer: Reply, expected: type[Exception]
) -> None:
    reference = (await publisher.publish(peer.message())).reference or ""
    peer.server.next += [answer, answer]
    with capture_logs(), pytest.raises(expected):
        await publisher.edit(reference, peer.message())
    with capture_logs(), pytest.raises(expected):
        await publisher.delete(reference, "valmerande")


async def test_proof_goes_with_every_call(peer: OverFaults) -> None:
    publisher = Facebook(peer.options(app_secret="the-apps-secret"))
    message = replace(peer.message(), pictures=(picture(),))
    reference = (await publisher.publish(message)).reference or ""
    await publisher.find(message, message.at)
    await publisher.edit(reference, message)
    await publisher.check()
    await publisher.delete(reference, "valmerande")
    proof = hmac.new(b"the-apps-secret", TOKEN.encode(), hashlib.sha256).hexdigest()
    assert len(peer.server.requests) == 7
    assert {tuple(request.query.get("appsecret_proof", ())) for request in peer.server.requests} == {(proof,)}
    await publisher.aclose()


async def test_secrets_stand_in_no_address_log_or_error(
    peer: OverFaults, nobody: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    with capture_logs() as logs:
        for url in (peer.url, nobody):
            publisher = Facebook(
                peer.options(token="a-token-to-keep", app_secret="b-secret").model_copy(update={"url": url})
            )
            told += [repr(await outcome(publisher, peer.message())), repr(publisher), repr(await publisher.check())]
            await publisher.aclose()
    told += [repr(peer.options(token="a-token-to-keep", app_secret="b-secret")), repr(logs), caplog.text]
    told += [json.dumps([request.path, request.query]) for request in peer.server.requests]
    assert logs and "HTTP Request" in caplog.text
    assert [text for text in told if "a-token-to-keep" in text or "b-secret" in text] == []


@pytest.mark.parametrize("answer", [Reply(200, b"<html>"), Reply(503, error(2)), Trouble.TAKE_AND_CUT])
async def test_check_never_raises(peer: OverFaults, publisher: Facebook, answer: Trouble | Reply) -> None:
    peer.server.next.append(answer)
    [finding] = await publisher.check()
    assert not finding.ok and finding.says and finding.mend


async def test_account_that_the_settings_lack_is_named_and_nothing_is_sent(
    peer: OverFaults, publisher: Facebook
) -> None:
    with capture_logs() as logs:
        failed = await outcome(publisher, replace(peer.message(), account="piscine"))
    assert type(failed) is Transient and "'piscine'" in failed.reason
    assert logs[0]["event"] == "facebook.settings_fault" and peer.server.requests == []


GOOD = {"accounts": {"valmerande": {"page_id": "96001", "token": "t"}}}


def test_defaults_lead_to_facebook() -> None:
    options = FacebookOptions.model_validate(GOOD)
    assert (str(options.url), options.version) == ("https://graph.facebook.com/", "v25.0")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"accounts": {}}, "accounts"),
        ({"accounts": {"valmerande": {"page_id": "valmerande", "token": "t"}}}, "accounts.valmerande.page_id"),
        ({"accounts": {"valmerande": {"page_id": "1", "token": ""}}}, "accounts.valmerande.token"),
        ({"accounts": {"valmerande": {"page_id": "1", "token": "t", "app_secret": ""}}}, "app_secret"),
        ({"url": "graph"}, "url"),
        ({"version": "25"}, "version"),
        ({"timeout": 0}, "timeout"),
        ({"pages": {}}, "pages"),
    ],
)
def test_faulty_option_is_named(change: dict[str, Any], where: str) -> None:
    with pytest.raises(ValueError, match=where):
        FacebookOptions.model_validate(GOOD | change)
