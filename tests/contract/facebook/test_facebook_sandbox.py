"""The sandbox's pages, as any client meets them; Meta's own Python library (facebook-business) gets on with it too."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.peers import PNG
from tests.contract.sandbox.process import SandboxProcess

pytestmark = pytest.mark.contract

GRAPH = "/facebook/v25.0"


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    process = SandboxProcess(tmp_path / "home")
    yield process
    process.kill()


def client(sandbox: SandboxProcess, token: str = "token-valmerande-96001") -> httpx.Client:
    return httpx.Client(base_url=sandbox.http + GRAPH, headers={"Authorization": f"Bearer {token}"})


def told(response: httpx.Response) -> tuple[int, int, int | None]:
    error = response.json()["error"]
    assert error["message"] and error["type"] and error["fbtrace_id"]
    return response.status_code, error["code"], error.get("error_subcode")


def test_posts_outlive_a_kill(tmp_path: Path) -> None:
    first = SandboxProcess(tmp_path / "home")
    made = client(first).post("/96001/feed", json={"message": "Fin d'alerte"}).json()["id"]
    first.kill()
    second = SandboxProcess(tmp_path / "home")
    graph = client(second)
    assert told(graph.post("/96001/feed", json={"message": "Fin d'alerte"})) == (400, 506, 1455006)
    assert [post["id"] for post in graph.get("/96001/published_posts").json()["data"]] == [made]
    assert graph.post(f"/{made}", data={"message": "Retour possible"}).json() == {"success": True}
    assert graph.get(f"/{made}/").json()["message"] == "Retour possible"
    newer = graph.post("/96001/feed", json={"message": "Autre chose"}).json()["id"]
    assert int(newer.partition("_")[2]) > int(made.partition("_")[2])
    assert graph.delete(f"/{made}").json() == {"success": True}
    assert told(graph.delete(f"/{made}")) == (400, 100, 33)
    assert [line["kind"] for line in second.journal("facebook")] == ["create", "create", "edit", "create", "delete"]
    second.kill()


def test_same_words_again_are_taken_once_something_stands_between(sandbox: SandboxProcess) -> None:
    graph = client(sandbox)
    for text in ("Rappel", "Autre chose", "Rappel"):
        assert graph.post("/96001/feed", json={"message": text}).status_code == 200
    latest = graph.get("/96001/feed").json()["data"][0]["id"]
    graph.delete(f"/{latest}")
    assert graph.post("/96001/feed", json={"message": "Rappel"}).status_code == 200, "the last one was deleted"


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("wrong", (400, 190, None)),
        ("expired", (400, 190, 463)),
        ("password", (400, 190, 460)),
        ("token-x-2", (400, 100, 33)),
    ],
)
def test_tokens_are_refused_as_facebook_refuses_them(
    sandbox: SandboxProcess, token: str, expected: tuple[int, int, int | None]
) -> None:
    assert told(client(sandbox, token).post("/96001/feed", json={"message": "x"})) == expected


def test_no_token_is_told_so(sandbox: SandboxProcess) -> None:
    assert told(httpx.post(f"{sandbox.http}{GRAPH}/96001/feed", json={"message": "x"})) == (400, 2500, None)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"message": "  "}, (400, 100, None)),
        ({"message": "é" * 63_207}, (400, 100, None)),
        ({"message": "x", "link": "https://www.facebook.com/a"}, (400, 200, 1609008)),
        ({"message": "x", "link": "https://valmerande.example/unscrapable"}, (400, 100, 1609005)),
        ({"message": "x", "attached_media": [{"media_fbid": "1"}]}, (400, 100, 33)),
    ],
)
def test_posts_are_refused_as_facebook_refuses_them(
    sandbox: SandboxProcess, fields: dict[str, Any], expected: tuple[int, int, int | None]
) -> None:
    assert told(client(sandbox).post("/96001/feed", json=fields)) == expected
    assert [line["outcome"] for line in sandbox.journal("facebook")] == ["refused"]


def test_pictures_are_kept_once_and_hung_on_one_post(sandbox: SandboxProcess) -> None:
    graph = client(sandbox)
    fields = {"published": "false", "alt_text_custom": "Plan"}
    refused = graph.post("/96001/photos", data=fields, files={"source": ("a.png", b"not a picture")})
    assert told(refused) == (400, 100, 1366046)
    large = graph.post("/96001/photos", data=fields, files={"source": ("a.png", PNG + bytes(4_000_000))})
    assert told(large) == (400, 100, 1366046)
    photo = graph.post("/96001/photos", data=fields, files={"source": ("a.png", PNG)}).json()["id"]
    hung = {"message": "Avec plan", "attached_media": [{"media_fbid": photo}]}
    assert graph.post("/96001/feed", json=hung).status_code == 200
    assert told(graph.post("/96001/feed", json=hung | {"message": "Encore"})) == (400, 100, 33)
    [picture] = sandbox.journal("facebook")[-2]["pictures"]
    assert picture["alt"] == "Plan" and (sandbox.home / "pictures" / picture["digest"]).read_bytes() == PNG


def test_list_is_cut_into_pages_and_by_time(sandbox: SandboxProcess) -> None:
    graph = client(sandbox)
    made = [graph.post("/96001/feed", json={"message": f"n° {number}"}).json()["id"] for number in range(5)]
    first = graph.get("/96001/published_posts", params={"limit": "3"}).json()
    assert [post["id"] for post in first["data"]] == made[:1:-1] and "next" in first["paging"]
    after = first["paging"]["cursors"]["after"]
    rest = graph.get("/96001/published_posts", params={"limit": "3", "after": after}).json()
    assert [post["id"] for post in rest["data"]] == made[1::-1] and "next" not in rest["paging"]
    assert graph.get("/96001/published_posts", params={"since": "9999999999"}).json() == {"data": []}


def test_throttling_is_told_in_the_header_of_business_use_cases(sandbox: SandboxProcess) -> None:
    asked = {"provider": "facebook", "kind": "throttle", "count": 1, "retry_after": 90}
    httpx.post(f"{sandbox.http}/sandbox/faults", json=asked)
    response = client(sandbox).post("/96001/feed", json={"message": "x"})
    assert told(response) == (403, 80001, None)
    [[use]] = json.loads(response.headers["x-business-use-case-usage"]).values()
    assert use["estimated_time_to_regain_access"] == 2, "minutes"
