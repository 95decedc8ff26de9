"""The sandbox's media, spoken to by Mastodon.py: a client written by others."""

import io
import time
from typing import Any

import pytest
from mastodon import Mastodon, MastodonAPIError, MastodonNotFoundError
from PIL import Image

from sandbox import entities
from tests.contract.conftest import Sandbox
from tests.contract.suite import AT_MOST

pytestmark = pytest.mark.contract


@pytest.fixture
def client(sandbox: Sandbox) -> Mastodon:
    return Mastodon(access_token="token-media", api_base_url=sandbox.http, ratelimit_method="throw", request_timeout=5)


def uploaded(client: Mastodon, alt: str, **more: Any) -> Any:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(content, "JPEG")
    media = client.media_post(content.getvalue(), mime_type="image/jpeg", description=alt, **more)
    assert media.url is None, "it is still being processed"
    deadline = time.monotonic() + AT_MOST
    while client.media(media.id).url is None:  # Mastodon.py's own way of waiting is five seconds long
        assert time.monotonic() < deadline
    return media


def test_upload_is_processed_attached_described_and_edited(client: Mastodon) -> None:
    media = uploaded(client, "Plan", focus=(0.5, -0.5))
    assert client.media(media.id).meta.focus.x == 0.5
    made = client.status_post("Déviation", media_ids=[media.id])
    [shown] = made.media_attachments
    assert (shown.id, shown.description, shown.type) == (media.id, "Plan", "image")
    with pytest.raises(MastodonNotFoundError):
        client.media(media.id)  # a post has taken it
    kept = client.status_update(made.id, "Déviation prolongée", media_ids=[media.id])
    assert [one.description for one in kept.media_attachments] == ["Plan"]
    other = uploaded(client, "Autre plan")
    changed = client.status_update(made.id, "Déviation prolongée", media_ids=[other.id])
    assert [one.description for one in changed.media_attachments] == ["Autre plan"]
    assert client.status_update(made.id, "Fin").media_attachments == []


def test_what_is_no_picture_is_refused(client: Mastodon) -> None:
    with pytest.raises(MastodonAPIError) as caught:
        client.media_post(b"#!/bin/sh", mime_type="image/png")
    assert 422 in caught.value.args


def test_upload_of_another_account_is_not_attached(client: Mastodon, sandbox: Sandbox) -> None:
    other = Mastodon(access_token="token-somebody", api_base_url=sandbox.http, ratelimit_method="throw")
    media = uploaded(other, "À eux")
    assert client.status_post("À nous", media_ids=[media.id]).media_attachments == []


def test_no_more_than_four_pictures(client: Mastodon) -> None:
    with pytest.raises(MastodonAPIError) as caught:
        client.status_post("Trop", media_ids=[str(number) for number in range(5)])
    assert 422 in caught.value.args


def test_limit_is_of_graphemes_and_counts_the_warning(client: Mastodon) -> None:
    family = "👩‍👩‍👧‍👦"
    assert entities.length(family * 3) == 3
    assert client.status_post(family * 490, spoiler_text="Attention ").spoiler_text == "Attention "
    with pytest.raises(MastodonAPIError):
        client.status_post(family * 491, spoiler_text="Attention ")
