"""What a post may hold, its pictures and its place in a thread: over fault server, sandbox and mastodon-mock."""

import asyncio
import io
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from mastodon_mock.testing.server import MockServer
from PIL import Image
from structlog.testing import capture_logs

from publishers.base import Permanent, Transient, Unknown, Untried
from publishers.mastodon import instance as limits
from publishers.mastodon.channel import Mastodon, MastodonOptions
from schemas.messages import Picture, Post
from tests.contract.conftest import Sandbox
from tests.contract.fault_server import FaultServer, Reply, Request, fault_server
from tests.contract.suite import PATIENCE, Trouble, outcome, refused_edit

pytestmark = pytest.mark.contract

MADE = {"id": "77", "created_at": "2026-11-24T08:00:00.000Z", "url": "https://social.example/@mairie/77"}


def opened(
    url: str, token: str = "token-mairie", *, timeout: float = 4.0, cap: int | None = None, **more: Any
) -> Mastodon:
    accounts = {"mairie": {"url": url, "token": token} | more}
    options = {"accounts": accounts, "timeout": timeout, "max_characters": cap}
    return Mastodon(MastodonOptions.model_validate(options))


def picture(alt: str = "Plan de la déviation", colour: str = "teal") -> Picture:
    content = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(content, "PNG")
    return Picture(content.getvalue(), "image/png", alt, 64, 48)


def post(text: str | None = None, **more: Any) -> Post:
    name = uuid.uuid4().hex
    return Post(f"order-{name}.1", "mairie", text or f"Rue des Tisserands barrée ({name})", "fr", **more)


class Instance:
    """A server that processes pictures for ``polls`` questions each, and takes whatever is posted."""

    def __init__(self, polls: int = 0) -> None:
        self.polls = polls
        self.description: Reply = Reply(200, {"configuration": {}})
        self.old_description: Reply = Reply(404, {"error": "Record not found"})
        self.attached: list[str] = []
        self._left: dict[str, int] = {}

    def __call__(self, request: Request) -> Reply:
        match request.method, request.path.split("/")[3:]:
            case "GET", ["instance"]:
                return self.description if request.path.startswith("/api/v2") else self.old_description
            case "POST", ["media"]:
                identity = str(100 + len(self._left))
                self._left[identity] = self.polls
                return Reply(202 if self.polls else 200, {"id": identity})
            case "GET", ["media", identity]:
                if identity not in self._left or identity in self.attached:
                    return Reply(404, {"error": "Record not found"})
                self._left[identity] -= 1
                return Reply(206 if self._left[identity] > 0 else 200, {"id": identity})
            case "GET", ["statuses", _]:
                return Reply(200, MADE | {"media_attachments": [{"id": one} for one in self.attached]})
            case (("POST" | "PUT"), ["statuses", *_]):
                self.attached = request.json.get("media_ids", [])
                return Reply(200, MADE)
        return Reply(404, b"<h1>Not found</h1>")


@pytest.fixture
def instance() -> Instance:
    return Instance()


@pytest.fixture
async def server(instance: Instance) -> AsyncIterator[FaultServer]:
    async with fault_server(instance) as running:
        yield running


@pytest.fixture
async def publisher(server: FaultServer) -> AsyncIterator[Mastodon]:
    publisher = opened(server.url)
    yield publisher
    await publisher.aclose()


def asked(server: FaultServer) -> list[str]:
    return [f"{request.method} {request.path}" for request in server.requests]


# what a post may hold


async def test_form_is_what_the_server_says(server: FaultServer, instance: Instance, publisher: Mastodon) -> None:
    instance.description = Reply(
        200,
        {
            "configuration": {
                "statuses": {"max_characters": 5000, "max_media_attachments": 6, "characters_reserved_per_url": 40},
                "media_attachments": {
                    "supported_mime_types": ["image/jpeg", "video/mp4"],
                    "image_size_limit": 1_000_000,
                    "image_matrix_limit": 1_000_000,
                },
            }
        },
    )
    form = await publisher.form("mairie")
    assert (form.characters, form.pictures, form.picture_octets, form.picture_side) == (5000, 6, 1_000_000, 1000)
    assert form.count("https://valmerande.example/") == 40 and form.threads and form.links
    await publisher.form("mairie")
    assert asked(server) == ["GET /api/v2/instance"], "once an hour"


async def test_form_never_asks_more_of_a_picture_than_readers_see(server: FaultServer, publisher: Mastodon) -> None:
    form = await publisher.form("mairie")
    assert (form.characters, form.pictures, form.picture_octets, form.picture_side) == (500, 4, 5_000_000, 2048)


async def test_server_that_takes_no_such_pictures_gets_none(instance: Instance, publisher: Mastodon) -> None:
    instance.description = Reply(200, {"configuration": {"media_attachments": {"supported_mime_types": ["audio/ogg"]}}})
    assert (await publisher.form("mairie")).pictures == 0


@pytest.mark.parametrize(
    ("said", "characters"),
    [
        ({"configuration": {"statuses": {"max_characters": 600}}}, 600),
        ({"max_toot_chars": 3000}, 3000),
        ({"title": "an old one"}, 500),
    ],
)
async def test_server_of_before_is_asked_in_the_old_way(
    instance: Instance, publisher: Mastodon, said: dict[str, Any], characters: int
) -> None:
    instance.description, instance.old_description = Reply(404, b"<h1>Not found</h1>"), Reply(200, said)
    assert (await publisher.form("mairie")).characters == characters


async def test_officers_may_want_less_than_the_server_takes(server: FaultServer) -> None:
    for cap, expected in ((300, 300), (900, 500)):
        publisher = opened(server.url, cap=cap)
        assert (await publisher.form("mairie")).characters == expected
        await publisher.aclose()


@pytest.mark.parametrize("told", [Reply(503), Reply(200, b"<html>"), Reply(401, {"error": "no"}), Trouble.HALF_A_REPLY])
async def test_limits_that_cannot_be_read_now_are_no_reason_to_give_up(
    server: FaultServer, publisher: Mastodon, told: Reply | Trouble
) -> None:
    server.next.append(told)
    with capture_logs(), pytest.raises(Transient):
        await publisher.form("mairie")
    assert (await publisher.form("mairie")).characters == 500


async def test_limits_of_a_server_that_is_not_there_are_untried(nobody: str) -> None:
    publisher = opened(nobody)
    with pytest.raises(Untried):
        await publisher.form("mairie")
    await publisher.aclose()


async def test_what_the_server_said_before_holds_while_it_says_nothing(
    server: FaultServer, publisher: Mastodon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_BELIEVED_FOR", 0.0)
    known = await publisher.form("mairie")
    server.next.append(Reply(503))
    assert (await publisher.form("mairie")).characters == known.characters
    await publisher.form("mairie")
    assert len(server.requests) == 2, "and is not asked again at once"


# the post itself


async def test_warning_visibility_and_place_in_the_thread_are_told(server: FaultServer) -> None:
    publisher = opened(server.url, visibility="unlisted")
    await publisher.publish(post("Un corps a été trouvé", warning="Noyade", reply_to="76", root="70"))
    assert server.requests[0].json == {
        "status": "Un corps a été trouvé",
        "language": "fr",
        "visibility": "unlisted",
        "spoiler_text": "Noyade",
        "in_reply_to_id": "76",
    }
    await publisher.aclose()


async def test_answer_to_a_post_that_is_gone_says_so(server: FaultServer, publisher: Mastodon) -> None:
    server.next.append(Reply(404, {"error": "The post you are trying to reply to does not appear to exist."}))
    error = await outcome(publisher, post(reply_to="76", root="76"))
    assert (type(error), error.code) == (Permanent, "gone")


@pytest.mark.parametrize("visibility", ["private", "direct", "Public"])
def test_no_account_posts_in_secret(visibility: str) -> None:
    with pytest.raises(ValueError, match="visibility"):
        opened("https://social.example", visibility=visibility)


async def test_post_of_an_account_whose_address_is_no_mastodon_is_not_taken_for_gone(
    server: FaultServer, publisher: Mastodon
) -> None:
    server.next.append(Reply(404, b"<h1>Not found</h1>"))
    with capture_logs() as logs:
        assert type(await refused_edit(publisher, "77", post())) is Transient
    assert logs[0]["event"] == "mastodon.settings_fault"


async def test_reference_stays_within_its_place_in_the_address(server: FaultServer, publisher: Mastodon) -> None:
    await publisher.edit("77/../../secret?x=1", post())
    assert server.requests[0].path == "/api/v1/statuses/77%2F..%2F..%2Fsecret%3Fx%3D1"


# pictures


async def test_picture_is_uploaded_with_its_description_processed_and_attached(
    server: FaultServer, instance: Instance, publisher: Mastodon
) -> None:
    instance.polls = 2
    one, two = picture(), picture("Photo du pont", "red")
    await publisher.publish(post(pictures=(one, two)))
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
    publisher = opened(server.url, timeout=PATIENCE)
    message = post(pictures=(picture(),))
    error = await outcome(publisher, message)
    assert (type(error), error.code) == (Transient, "processing")
    assert "POST /api/v1/statuses" not in asked(server)
    instance.polls = instance._left["100"] = 1
    await publisher.publish(message)
    assert asked(server).count("POST /api/v2/media") == 1
    assert server.requests[-1].json["media_ids"] == ["100"]
    await publisher.aclose()


async def test_another_process_uploads_again_which_harms_nobody(server: FaultServer, instance: Instance) -> None:
    message = post(pictures=(picture(),))
    for _ in range(2):
        publisher = opened(server.url)
        await publisher.publish(message)
        await publisher.aclose()
    assert asked(server).count("POST /api/v2/media") == 2
    keys = {request.headers.get("idempotency-key") for request in server.requests}
    assert keys == {None, message.key}, "one post all the same"


async def test_picture_that_a_post_has_taken_is_uploaded_anew_for_another(
    server: FaultServer, publisher: Mastodon
) -> None:
    await publisher.publish(post(pictures=(picture(),)))
    await publisher.publish(post(pictures=(picture(),)))
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
    publisher = opened(server.url, timeout=PATIENCE)
    await publisher.form("mairie")
    server.next.append(told)
    with capture_logs():
        error = await outcome(publisher, post(pictures=(picture(),)))
    assert type(error) is expected
    assert "POST /api/v1/statuses" not in asked(server)
    await publisher.aclose()


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
    server: FaultServer, instance: Instance, publisher: Mastodon, told: Reply | Trouble, expected: type
) -> None:
    instance.polls = 5
    await publisher.form("mairie")
    server.next.extend((Reply(202, {"id": "100"}), told))
    with capture_logs():
        error = await outcome(publisher, post(pictures=(picture(),)))
    assert type(error) is expected
    assert "POST /api/v1/statuses" not in asked(server)


async def test_post_with_pictures_whose_answer_gets_lost_is_unclear_and_keeps_its_key(
    server: FaultServer, instance: Instance, publisher: Mastodon
) -> None:
    message = post(pictures=(picture(),))
    await publisher.form("mairie")
    server.next.extend((Reply(200, {"id": "100"}), Trouble.TAKE_AND_CUT))
    assert type(await outcome(publisher, message)) is Unknown
    await publisher.publish(message)
    posts = [request for request in server.requests if request.path == "/api/v1/statuses"]
    assert [request.headers["idempotency-key"] for request in posts] == [message.key] * 2


async def test_closing_while_pictures_are_processed_leaves_nothing_unclear(
    server: FaultServer, instance: Instance, publisher: Mastodon
) -> None:
    instance.polls = 1_000_000
    sending = asyncio.create_task(outcome(publisher, post(pictures=(picture(),))))
    await server.reached(3)
    await publisher.aclose()
    assert isinstance(await sending, Transient | Untried)
    assert "POST /api/v1/statuses" not in asked(server)


async def test_description_is_cut_to_what_the_server_takes(
    server: FaultServer, instance: Instance, publisher: Mastodon
) -> None:
    instance.description = Reply(200, {"configuration": {"media_attachments": {"description_limit": 10}}})
    await publisher.publish(post(pictures=(picture("Plan de la déviation"),)))
    assert "Plan de l…".encode() in server.requests[1].content


async def test_edit_tells_all_of_the_post_and_keeps_a_picture_that_it_knows(
    server: FaultServer, publisher: Mastodon
) -> None:
    message = post(pictures=(picture(),))
    await publisher.publish(message)
    await publisher.edit(
        "77", replace(message, text="Fin", pictures=(picture("Le pont, rouvert"), picture("x", "red")))
    )
    assert server.requests[-1].json == {
        "status": "Fin",
        "language": "fr",
        "spoiler_text": "",
        "sensitive": False,
        "media_ids": ["100", "101"],
        "media_attributes": [{"id": "100", "description": "Le pont, rouvert"}],
    }


async def test_edit_without_pictures_takes_them_away(server: FaultServer, publisher: Mastodon) -> None:
    message = post(pictures=(picture(),))
    await publisher.publish(message)
    await publisher.edit("77", replace(message, pictures=(), warning="Fin"))
    told = server.requests[-1].json
    assert told["media_ids"] == [] and told["spoiler_text"] == "Fin" and told["sensitive"] is True


# checking


async def test_check_names_the_account_and_proves_its_rights(server: FaultServer, publisher: Mastodon) -> None:
    me = Reply(200, {"id": "1", "acct": "mairie"})
    for application, lacking in (
        (Reply(200, {"scopes": ["read", "write"]}), ""),
        (Reply(200, {"scopes": ["read", "write:statuses", "write:media"]}), ""),
        (Reply(404, {"error": "Record not found"}), ""),  # before Mastodon 4.3
        (Reply(200, {"name": "tambour"}), ""),
        (Reply(200, {"scopes": ["read", "write:statuses"]}), "write:media"),
        (Reply(200, {"scopes": ["profile"]}), "read, write:statuses, write:media"),
    ):
        server.next.extend((me, application))
        [finding] = await publisher.check()
        assert finding.name == "mairie" and "@mairie" in finding.says
        assert finding.ok is not bool(lacking) and lacking in (finding.mend or "")


@pytest.mark.parametrize(
    "told", [Reply(401, {"error": "The access token is invalid"}), Reply(404, b"<h1>"), Reply(200, b"<h1>"), Reply(500)]
)
async def test_check_says_what_to_mend(server: FaultServer, publisher: Mastodon, told: Reply) -> None:
    server.next.append(told)
    with capture_logs():
        [finding] = await publisher.check()
    assert not finding.ok and finding.mend and finding.says


# the same over servers that others have written


@pytest.fixture(scope="module")
def mock() -> Iterator[MockServer]:
    running = MockServer().start()
    yield running
    running.stop()


@pytest.fixture(params=["sandbox", "mock"])
async def real(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Mastodon, str]]:
    """A publisher to a whole server, and that server's address."""
    if request.param == "sandbox":
        sandbox: Sandbox = request.getfixturevalue("sandbox")
        url, token = sandbox.http, "token-mairie"
    else:
        running: MockServer = request.getfixturevalue("mock")
        url, token = running.base_url, "alice_token"
    publisher = opened(url, token)
    yield publisher, url
    await publisher.aclose()


async def status(url: str, reference: str | None) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=url) as client:
        found: dict[str, Any] = (await client.get(f"/api/v1/statuses/{reference}")).json()
    return found


async def test_real_server_shows_picture_description_warning_and_thread(real: tuple[Mastodon, str]) -> None:
    publisher, url = real
    head = await publisher.publish(post(warning="Noyade", pictures=(picture(),)))
    part = await publisher.publish(post(reply_to=head.reference, root=head.reference))
    shown = await status(url, head.reference)
    assert shown["spoiler_text"] == "Noyade"
    [media] = shown["media_attachments"]
    assert media["description"] == "Plan de la déviation" and media["type"] == "image"
    assert (await status(url, part.reference))["in_reply_to_id"] == head.reference
    async with httpx.AsyncClient() as client:
        assert (await client.get(media["url"])).content == picture().content


async def test_real_server_says_its_limits(real: tuple[Mastodon, str]) -> None:
    publisher, _ = real
    form = await publisher.form("mairie")
    assert (form.characters, form.pictures) == (500, 4)
    assert form.count("a https://valmerande.example/" + "x" * 100) == 25


async def test_real_server_keeps_the_picture_of_an_edited_post(real: tuple[Mastodon, str]) -> None:
    publisher, url = real
    message = post(pictures=(picture(),))
    receipt = await publisher.publish(message)
    assert receipt.reference
    await publisher.edit(receipt.reference, replace(message, text="Rue rouverte", warning="Mise à jour"))
    shown = await status(url, receipt.reference)
    assert "Rue rouverte" in shown["content"] and shown["spoiler_text"] == "Mise à jour"
    assert [media["description"] for media in shown["media_attachments"]] == ["Plan de la déviation"]


async def test_real_server_proves_the_token(real: tuple[Mastodon, str]) -> None:
    publisher, _ = real
    [finding] = await publisher.check()
    assert finding.ok, finding


async def test_sandbox_shows_new_pictures_and_an_unchanged_edit_is_none(sandbox: Sandbox) -> None:
    publisher = opened(sandbox.http)
    message = post(pictures=(picture(),))
    receipt = await publisher.publish(message)
    assert receipt.reference
    later = replace(message, pictures=(picture("Autre plan", "red"),))
    for _ in range(2):
        await publisher.edit(receipt.reference, later)
    lines = [line for line in sandbox.journal("mastodon") if line.get("id") == receipt.reference]
    assert [(line["kind"], line["outcome"]) for line in lines] == [
        ("create", "accepted"),
        ("edit", "accepted"),
        ("edit", "replayed"),
    ]
    shown = await status(sandbox.http, receipt.reference)
    assert [media["description"] for media in shown["media_attachments"]] == ["Autre plan"]
    await publisher.aclose()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("refuse", Permanent), ("throttle", Transient), ("error", Transient), ("drop", Transient), ("hang", Transient)],
)
async def test_sandbox_that_fails_an_upload_has_no_post(sandbox: Sandbox, kind: str, expected: type) -> None:
    publisher = opened(sandbox.http, timeout=PATIENCE * 2)
    await publisher.form("mairie")
    message = post(pictures=(picture(colour="navy"),))
    asked_for = {"provider": "mastodon_media", "kind": kind, "count": 1, "retry_after": 7}
    async with httpx.AsyncClient(base_url=sandbox.http) as client:
        (await client.post("/sandbox/faults", json=asked_for)).raise_for_status()
    assert type(await outcome(publisher, message)) is expected
    assert message.key not in {line.get("idempotency_key") for line in sandbox.journal("mastodon")}
    await publisher.aclose()
