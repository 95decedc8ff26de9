"""Pictures: uploaded, processed, attached, kept by an edit; what happens when any of that fails."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from publishers.base import Permanent, Transient, Unknown, Untried
from publishers.mastodon.channel import Mastodon
from tests.contract.fault_server import FaultServer, Reply
from tests.contract.mastodon.posting import Instance, asked, opened, picture, post
from tests.contract.suite import PATIENCE, Trouble, outcome

pytestmark = pytest.mark.contract


async def test_picture_is_uploaded_with_its_description_processed_and_attached(
    server: FaultServer, instance: Instance, mastodon: Mastodon
) -> None:
    instance.polls = 2
    one, two = picture(), picture("Photo du pont", "red")
    await mastodon.publish(post(pictures=(one, two)))
    uploads = [request for request in server.requests if request.path == "/api/v2/media"]
    for upload, expected in zip(uploads, (one, two), strict=True):
        assert expected.content in upload.content and expected.alt.encode() in upload.content
        assert b'name="description"' in upload.content and b"Content-Type: image/png" in upload.content
    assert server.requests[-1].json["media_ids"] == ["100", "101"]
    assert asked(server).count("GET /api/v1/media/100") == 2


async def test_picture_that_takes_too_long_waits_and_the_next_try_goes_on_with_it(
    server: FaultServer, instance: Instance
) -> None:
    instance.polls = 1_000_000
    mastodon = opened(server.url, timeout=PATIENCE)
    message = post(pictures=(picture(),))
    error = await outcome(mastodon, message)
    assert (type(error), error.code) == (Transient, "processing")
    assert "POST /api/v1/statuses" not in asked(server)
    instance.polls = instance._left["100"] = 1
    await mastodon.publish(message)
    assert asked(server).count("POST /api/v2/media") == 1
    assert server.requests[-1].json["media_ids"] == ["100"]
    await mastodon.aclose()


async def test_another_process_uploads_again_which_harms_nobody(server: FaultServer, instance: Instance) -> None:
    message = post(pictures=(picture(),))
    for _ in range(2):
        mastodon = opened(server.url)
        await mastodon.publish(message)
        await mastodon.aclose()
    assert asked(server).count("POST /api/v2/media") == 2
    keys = {request.headers.get("idempotency-key") for request in server.requests}
    assert keys == {None, message.key}, "one post all the same"


async def test_picture_that_a_post_has_taken_is_uploaded_anew_for_another(
    server: FaultServer, mastodon: Mastodon
) -> None:
    await mastodon.publish(post(pictures=(picture(),)))
    await mastodon.publish(post(pictures=(picture(),)))
    assert [request.json["media_ids"] for request in server.requests if request.path == "/api/v1/statuses"] == [
        ["100"],
        ["101"],
    ]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (Reply(422, {"error": "Validation failed: File content type is invalid"}), Permanent),
        (Reply(413, b"<h1>Too large</h1>"), Permanent),
        (Reply(401, {"error": "The access token is invalid"}), Transient),
        (Reply(403, {"error": "This action is outside the authorized scopes"}), Transient),
        (Reply(429, {"error": "Too many requests"}), Transient),
        (Reply(500, {"error": "Error processing thumbnail for uploaded media"}), Transient),
        (Reply(502, b"<h1>Bad gateway</h1>"), Transient),
        (Reply(200, {"no": "id"}), Transient),
        (Trouble.TAKE_AND_CUT, Transient),
        (Trouble.HALF_A_REPLY, Transient),
        (Trouble.HANG, Transient),
    ],
)
async def test_failed_upload_publishes_nothing_and_is_never_unclear(
    server: FaultServer, told: Reply | Trouble, expected: type
) -> None:
    mastodon = opened(server.url, timeout=PATIENCE)
    await mastodon.form("mairie")
    server.next.append(told)
    with capture_logs():
        error = await outcome(mastodon, post(pictures=(picture(),)))
    assert type(error) is expected
    assert "POST /api/v1/statuses" not in asked(server)
    await mastodon.aclose()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (Reply(422, {"error": "Error processing thumbnail for uploaded media"}), Permanent),
        (Reply(404, {"error": "Record not found"}), Transient),
        (Reply(500), Transient),
        (Reply(401, {"error": "The access token is invalid"}), Transient),
        (Trouble.TAKE_AND_CUT, Transient),
    ],
)
async def test_failed_processing_publishes_nothing_and_is_never_unclear(
    server: FaultServer, instance: Instance, mastodon: Mastodon, told: Reply | Trouble, expected: type
) -> None:
    instance.polls = 5
    await mastodon.form("mairie")
    server.next.extend((Reply(202, {"id": "100"}), told))
    with capture_logs():
        error = await outcome(mastodon, post(pictures=(picture(),)))
    assert type(error) is expected
    assert "POST /api/v1/statuses" not in asked(server)


async def test_post_with_pictures_whose_answer_gets_lost_is_unclear_and_keeps_its_key(
    server: FaultServer, instance: Instance, mastodon: Mastodon
) -> None:
    message = post(pictures=(picture(),))
    await mastodon.form("mairie")
    server.next.extend((Reply(200, {"id": "100"}), Trouble.TAKE_AND_CUT))
    assert type(await outcome(mastodon, message)) is Unknown
    await mastodon.publish(message)
    posts = [request for request in server.requests if request.path == "/api/v1/statuses"]
    assert [request.headers["idempotency-key"] for request in posts] == [message.key] * 2


async def test_closing_while_pictures_are_processed_leaves_nothing_unclear(
    server: FaultServer, instance: Instance, mastodon: Mastodon
) -> None:
    instance.polls = 1_000_000
    sending = asyncio.create_task(outcome(mastodon, post(pictures=(picture(),))))
    await server.reached(3)
    await mastodon.aclose()
    assert isinstance(await sending, Transient | Untried)
    assert "POST /api/v1/statuses" not in asked(server)


async def test_description_is_cut_to_what_the_server_takes(
    server: FaultServer, instance: Instance, mastodon: Mastodon
) -> None:
    instance.description = Reply(200, {"configuration": {"media_attachments": {"description_limit": 10}}})
    await mastodon.publish(post(pictures=(picture("Plan de la déviation"),)))
    assert "Plan de l…".encode() in server.requests[1].content


async def test_edit_tells_all_of_the_post_and_keeps_a_picture_that_it_knows(
    server: FaultServer, mastodon: Mastodon
) -> None:
    message = post(pictures=(picture(),))
    await mastodon.publish(message)
    await mastodon.edit("77", replace(message, text="Fin", pictures=(picture("Le pont, rouvert"), picture("x", "red"))))
    assert server.requests[-1].json == {
        "status": "Fin",
        "language": "fr",
        "spoiler_text": "",
        "sensitive": False,
        "media_ids": ["100", "101"],
        "media_attributes": [{"id": "100", "description": "Le pont, rouvert"}],
    }


async def test_edit_without_pictures_takes_them_away(server: FaultServer, mastodon: Mastodon) -> None:
    message = post(pictures=(picture(),))
    await mastodon.publish(message)
    await mastodon.edit("77", replace(message, pictures=(), warning="Fin"))
    told = server.requests[-1].json
    assert told["media_ids"] == [] and told["spoiler_text"] == "Fin" and told["sensitive"] is True
