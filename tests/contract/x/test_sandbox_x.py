"""The sandbox as any client of X's API meets it."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from publishers.x.text import count
from sandbox.x_entities import weight
from tests.contract.conftest import Sandbox, running_sandbox
from tests.contract.peers import PNG

pytestmark = pytest.mark.contract

TEXTS = st.lists(
    st.sampled_from(
        [
            "👨‍👩‍👧‍👦",
            "👍🏽",
            "🇫🇷",
            "🇽🇽",
            "1️⃣",
            "⚡️",
            "🥱",
            "🤏🏽",
            "日本語",
            "é",
            "…",
            "€",
            " ",
            "(https://a.fr)",
            "http://valmerande.example/x ",
        ]
    )
    | st.text(max_size=5)
).map("".join)


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer token-c{uuid.uuid4().hex[:10]}"}
    async with httpx.AsyncClient(base_url=f"{sandbox.http}/x/2", headers=headers) as opened:
        yield opened


async def post(client: httpx.AsyncClient, text: str, **more: Any) -> httpx.Response:
    return await client.post("/tweets", json={"text": text, **more})


@given(TEXTS)
def test_nothing_that_x_takes_is_refused_for_its_weight(text: str) -> None:
    assert weight(text) <= count(text)


async def test_limits_are_told_with_every_post(client: httpx.AsyncClient) -> None:
    left = []
    for _ in range(2):
        made = await post(client, uuid.uuid4().hex)
        assert made.status_code == 201
        left.append([int(made.headers[f"{name}-remaining"]) for name in ("x-rate-limit", "x-user-limit-24hour")])
    assert left[1] == [left[0][0] - 1, left[0][1] - 1]


async def test_text_of_281_is_refused_and_one_of_280_is_not(client: httpx.AsyncClient) -> None:
    refused = await post(client, "日" * 140 + "a")
    assert refused.status_code == 400 and "too long" in refused.json()["detail"]
    assert (await post(client, "日" * 140)).status_code == 201


async def test_same_text_is_refused_until_it_is_deleted(client: httpx.AsyncClient) -> None:
    made = (await post(client, "Eau coupée")).json()["data"]["id"]
    refused = await post(client, "Eau coupée ")
    assert refused.status_code == 403 and "duplicate content" in refused.json()["detail"]
    assert (await client.delete(f"/tweets/{made}")).json() == {"data": {"deleted": True}}
    assert (await client.delete(f"/tweets/{made}")).status_code == 404
    assert (await post(client, "Eau coupée")).status_code == 201


async def test_timeline_gives_addresses_and_signs_as_x_changes_them(client: httpx.AsyncClient) -> None:
    await post(client, "Eau & gaz : https://valmerande.example/x?a=1&b=2")
    me = (await client.get("/users/me")).json()["data"]["id"]
    [found] = (await client.get(f"/users/{me}/tweets")).json()["data"]
    [address] = found["entities"]["urls"]
    assert address["expanded_url"] == "https://valmerande.example/x?a=1&b=2"
    assert found["text"] == f"Eau &amp; gaz : {address['url']}" and address["url"].startswith("https://t.co/")
    assert found["text"][address["start"] : address["end"]] == address["url"]
    assert found["created_at"].endswith(".000Z")


async def test_pictures_of_another_account_cannot_be_shown(sandbox: Sandbox, client: httpx.AsyncClient) -> None:
    other = {"Authorization": "Bearer token-other"}
    form: dict[str, Any] = {"files": {"media": ("p", PNG, "image/png")}, "data": {"media_category": "tweet_image"}}
    made = (await client.post("/media/upload", headers=other, **form)).json()["data"]["id"]
    assert (await post(client, "x", media={"media_ids": [made]})).status_code == 400
    assert (await client.post("/media/upload", data={"media_category": "tweet_image"})).status_code == 400


async def test_address_of_a_post_leads_to_the_wall(sandbox: Sandbox, client: httpx.AsyncClient) -> None:
    made = (await post(client, f"Marché {uuid.uuid4().hex}")).json()["data"]["id"]
    shown = await client.get(f"{sandbox.http}/x/i/web/status/{made}", follow_redirects=True)
    assert shown.status_code == 200 and "Marché" in shown.text


async def test_what_was_said_is_known_after_a_restart(tmp_path: Path) -> None:
    headers = {"Authorization": "Bearer token-valmerande"}
    for expected in (201, 403):
        with running_sandbox(tmp_path) as again:
            made = httpx.post(f"{again.http}/x/2/tweets", json={"text": "Marché samedi"}, headers=headers)
            assert made.status_code == expected
