"""Pictures, threads and limits over servers that others than the tests have written: sandbox and mastodon-mock."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from mastodon_mock.testing.server import MockServer

from publishers.base import Permanent, Transient
from publishers.mastodon.channel import Mastodon
from tests.contract.conftest import Sandbox
from tests.contract.mastodon.posting import opened, picture, post
from tests.contract.suite import PATIENCE, outcome

pytestmark = pytest.mark.contract


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
