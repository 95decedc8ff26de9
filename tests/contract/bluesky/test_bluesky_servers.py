"""The sandbox refuses what the real server refuses, in the same words of the protocol."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from publishers.bluesky.record import record_key
from schemas.messages import Post
from tests.contract.bluesky.pds import PATIENCE, Pds
from tests.contract.bluesky.peers import POSTS, new_account, picture
from tests.contract.conftest import Sandbox
from tests.contract.peers import post

pytestmark = [pytest.mark.contract, pytest.mark.timeout(PATIENCE)]

METHOD = "/xrpc/com.atproto.repo"


@dataclass
class Visitor:
    """Somebody who has signed in, and asks for what the publisher never would."""

    handle: str
    password: str
    client: httpx.AsyncClient
    did: str = ""

    async def session(self) -> dict[str, Any]:
        """Another session."""
        credentials = {"identifier": self.handle, "password": self.password}
        found = await self.client.post("/xrpc/com.atproto.server.createSession", json=credentials)
        session: dict[str, Any] = found.raise_for_status().json()
        return session

    def place(self, message: Post) -> dict[str, Any]:
        return {"repo": self.did, "collection": POSTS, "rkey": record_key(message.at, message.key)}

    def record(self, message: Post) -> dict[str, Any]:
        return {"$type": POSTS, "text": message.text, "createdAt": message.at.isoformat()}

    async def put(self, **change: Any) -> httpx.Response:
        message = post()
        body = {**self.place(message), "record": self.record(message)} | change
        return await self.client.post(f"{METHOD}.putRecord", json=body)

    async def upload(self, content: bytes) -> httpx.Response:
        headers = {"Content-Type": "image/png"}
        return await self.client.post(f"{METHOD}.uploadBlob", content=content, headers=headers)


@pytest.fixture(params=["sandbox", "pds"])
async def visitor(request: pytest.FixtureRequest) -> AsyncIterator[Visitor]:
    handle, password = f"v{uuid.uuid4().hex[:12]}.test", "abcd-efgh-ijkl-mnop"
    if request.param == "sandbox":
        url = f"{request.getfixturevalue('sandbox').http}/bluesky"
    else:
        pds: Pds = request.getfixturevalue("pds")
        url = pds.url
        _, password = new_account(pds, handle)
    async with httpx.AsyncClient(base_url=url, timeout=10) as client:
        visitor = Visitor(handle, password, client)
        session = await visitor.session()
        visitor.did = session["did"]
        client.headers["Authorization"] = f"Bearer {session['accessJwt']}"
        yield visitor


def refusal(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]


@pytest.mark.parametrize("key", ["", "self", "3n32a44dh427", "zn32a44dh427x", "3N32A44DH427X", "3n32a44dh4271"])
async def test_key_of_a_post_is_a_tid(visitor: Visitor, key: str) -> None:
    assert refusal(await visitor.put(rkey=key)) == (400, "InvalidRequest")


@pytest.mark.parametrize(
    "change",
    [
        {"text": "x" * 301},
        {"text": "👨‍👩‍👧‍👦" * 121},
        {"text": None},
        {"createdAt": "yesterday"},
        {"langs": ["fr", "en", "de", "es"]},
        {"$type": "app.bsky.feed.like"},
        {"reply": {"parent": {"uri": "at://did:plc:x/app.bsky.feed.post/3n32a44dh427x"}}},
        {"embed": {"$type": "app.bsky.embed.external", "external": {"uri": "https://valmerande.example"}}},
        {"facets": [{"index": {"byteStart": 0}, "features": []}]},
    ],
)
async def test_record_that_is_no_post_is_refused(visitor: Visitor, change: dict[str, Any]) -> None:
    record = visitor.record(post()) | change
    assert refusal(await visitor.put(record=record)) == (400, "InvalidRequest")


async def test_same_record_again_has_the_same_answer_whatever_was_to_stand_there(visitor: Visitor) -> None:
    message = post()
    body = {**visitor.place(message), "record": visitor.record(message), "swapRecord": None}
    first = (await visitor.put(**body)).raise_for_status().json()
    second = (await visitor.put(**body)).raise_for_status().json()
    assert (first["uri"], first["cid"]) == (second["uri"], second["cid"])
    other = {**body, "record": visitor.record(post())}
    assert refusal(await visitor.put(**other)) == (400, "InvalidSwap")
    edited = (await visitor.put(**(other | {"swapRecord": first["cid"]}))).raise_for_status().json()
    assert edited["uri"] == first["uri"] and edited["cid"] != first["cid"]


async def test_record_can_be_read_listed_and_deleted_more_than_once(visitor: Visitor) -> None:
    made = [(await visitor.put()).raise_for_status().json() for _ in range(3)]
    listed = await visitor.client.get(f"{METHOD}.listRecords", params={"repo": visitor.did, "collection": POSTS})
    newest_first = sorted((each["uri"] for each in made), reverse=True)
    assert [record["uri"] for record in listed.json()["records"]] == newest_first
    page: dict[str, Any] = {"repo": visitor.did, "collection": POSTS, "limit": 2}
    first = (await visitor.client.get(f"{METHOD}.listRecords", params=page)).json()
    rest = (await visitor.client.get(f"{METHOD}.listRecords", params=page | {"cursor": first["cursor"]})).json()
    assert [record["uri"] for record in first["records"] + rest["records"]] == newest_first
    place = {"repo": visitor.did, "collection": POSTS, "rkey": made[0]["uri"].rpartition("/")[2]}
    found = (await visitor.client.get(f"{METHOD}.getRecord", params=place)).json()
    assert (found["uri"], found["cid"]) == (made[0]["uri"], made[0]["cid"])
    for _ in range(2):
        (await visitor.client.post(f"{METHOD}.deleteRecord", json=place)).raise_for_status()
    assert refusal(await visitor.client.get(f"{METHOD}.getRecord", params=place)) == (400, "RecordNotFound")


async def test_record_may_be_made_without_a_key(visitor: Visitor) -> None:
    message = post()
    body = {"repo": visitor.handle, "collection": POSTS, "record": visitor.record(message)}
    made = (await visitor.client.post(f"{METHOD}.createRecord", json=body)).raise_for_status().json()
    assert made["uri"].startswith(f"at://{visitor.did}/{POSTS}/") and made["cid"].startswith("bafyrei")


async def test_file_has_the_same_name_everywhere(visitor: Visitor) -> None:
    content = picture().content
    for _ in range(2):
        blob = (await visitor.upload(content)).raise_for_status().json()["blob"]
        assert blob == {
            "$type": "blob",
            "ref": {"$link": "bafkreicsxzeem4f64wo2qnthsc6ejxxjb7fotc3uhduevqdy4iuci6a75i"},
            "mimeType": "image/png",
            "size": len(content),
        }


async def test_file_that_is_too_large_is_refused(visitor: Visitor) -> None:
    assert refusal(await visitor.upload(picture(bytes(5 << 20)).content)) == (413, "PayloadTooLarge")


async def test_picture_that_was_not_sent_is_missed(visitor: Visitor) -> None:
    link = {"$link": "bafkreidsxzeem4f64wo2qnthsc6ejxxjb7fotc3uhduevqdy4iuci6a75i"}
    blob = {"$type": "blob", "ref": link, "mimeType": "image/png", "size": 13}
    embed = {"$type": "app.bsky.embed.images", "images": [{"alt": "", "image": blob}]}
    record = visitor.record(post()) | {"embed": embed}
    assert refusal(await visitor.put(record=record)) == (400, "BlobNotFound")


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [("", (401, "AuthMissing")), ("Bearer gibberish", (400, "InvalidToken"))],
)
async def test_token_is_asked_for(visitor: Visitor, authorization: str, expected: tuple[int, str]) -> None:
    visitor.client.headers["Authorization"] = authorization
    if not authorization:
        del visitor.client.headers["Authorization"]
    assert refusal(await visitor.put()) == expected


async def test_nobody_writes_in_anothers_repository(visitor: Visitor) -> None:
    found = await visitor.put(repo="did:plc:ewvi7nxzyoun6zhxrhs64oiz")
    assert found.status_code in (401, 403)


@pytest.mark.parametrize("password", ["wrong", "expired"])
async def test_wrong_password_is_refused(visitor: Visitor, password: str) -> None:
    credentials = {"identifier": visitor.handle, "password": password}
    found = await visitor.client.post("/xrpc/com.atproto.server.createSession", json=credentials)
    assert refusal(found) == (401, "AuthenticationRequired")


async def test_refresh_token_is_no_access_token(visitor: Visitor) -> None:
    visitor.client.headers["Authorization"] = f"Bearer {(await visitor.session())['refreshJwt']}"
    assert refusal(await visitor.put()) == (400, "InvalidToken")
    (await visitor.client.post("/xrpc/com.atproto.server.refreshSession")).raise_for_status()


async def test_server_describes_itself(visitor: Visitor) -> None:
    del visitor.client.headers["Authorization"]
    described = (await visitor.client.get("/xrpc/com.atproto.server.describeServer")).raise_for_status().json()
    assert described["did"].startswith("did:web:") and described["availableUserDomains"]


async def test_method_that_the_sandbox_lacks_is_said_to_be_missing(sandbox: Sandbox) -> None:
    async with httpx.AsyncClient(base_url=f"{sandbox.http}/bluesky") as client:
        found = await client.get("/xrpc/app.bsky.feed.getTimeline")
    assert refusal(found) == (501, "MethodNotImplemented")
