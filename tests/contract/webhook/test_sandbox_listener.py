"""The sandbox's listener: somebody else's system, which believes nothing."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.listener import BODY_OCTETS, SECRET
from sandbox.options import secret_key
from sandbox.webhooks import signature
from tests.contract.sandbox.process import SandboxProcess

pytestmark = pytest.mark.contract

BODY = b'{"specversion": "1.0"}'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def listener(home: Path) -> Iterator[SandboxProcess]:
    process = SandboxProcess(home)
    yield process
    process.kill()


def signed(identity: str = "a-1.1", body: bytes = BODY, *, at: int | None = None, key: str = SECRET) -> dict[str, str]:
    moment = int(time.time()) if at is None else at
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(moment),
        "webhook-signature": f"v1,bm90IGl0 {signature(secret_key(key), identity, moment, body)}",
    }


def told(listener: SandboxProcess, headers: dict[str, str], body: bytes = BODY, path: str = "/listener/siren") -> int:
    return httpx.post(f"{listener.http}{path}", content=body, headers=headers).status_code


def outcomes(listener: SandboxProcess, book: str = "webhook") -> list[tuple[Any, ...]]:
    return [(line["outcome"], line["status"], line["account"]) for line in listener.journal(book)]


def test_signed_webhook_is_kept_once_whatever_happens(listener: SandboxProcess, home: Path) -> None:
    assert [told(listener, signed()) for _ in range(2)] == [204, 204]
    listener.kill()
    again = SandboxProcess(home)
    try:
        assert told(again, signed()) == 204
        assert told(again, signed("a-1.2")) == 204
        assert outcomes(again) == [
            ("accepted", 204, "siren"),
            ("replayed", 204, "siren"),
            ("replayed", 204, "siren"),
            ("accepted", 204, "siren"),
        ]
        [first, *_] = again.journal("webhook")
        assert first["webhook_id"] == "a-1.1" and first["body"] == {"specversion": "1.0"}
        counts = httpx.get(f"{again.http}/sandbox/counts").json()["webhook"]
        assert (counts["accepted"], counts["replayed"], counts["duplicates"]) == (2, 2, 0)
    finally:
        again.kill()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed() | {"webhook-id": "another"},
        signed() | {"webhook-timestamp": "1"},
        signed(at=1_700_000_000),
        signed(key="whsec_" + "QUJD" * 8),
        signed(body=b"{}"),
        signed() | {"webhook-signature": "v1,"},
        signed() | {"webhook-timestamp": "soon"},
    ],
)
def test_forged_or_stale_webhook_is_refused_and_told_in_the_journal(
    listener: SandboxProcess, headers: dict[str, str]
) -> None:
    assert told(listener, headers) == 401
    assert outcomes(listener) == [("refused", 401, "siren")]


@pytest.mark.parametrize(("body", "status"), [(b"<xml/>", 400), (b'"' + b"x" * BODY_OCTETS + b'"', 413)])
def test_body_that_is_no_document_is_refused(listener: SandboxProcess, body: bytes, status: int) -> None:
    assert told(listener, signed(body=body), body) == status
    assert outcomes(listener) == [("refused", status, "siren")]


def test_note_of_apprise_is_kept_and_one_without_a_message_is_not(listener: SandboxProcess) -> None:
    path = "/listener/siren/json"
    assert told(listener, {}, b'{"title": "Rue", "message": "barree"}', path) == 200
    for body in (b"{}", b"[]", b"hello"):
        assert told(listener, {}, body, path) == 400
    assert told(listener, {"X-Gotify-Key": "A1"}, b'{"message": "x"}', "/gotify/message") == 200
    assert outcomes(listener, "apprise")[0] == ("accepted", 200, "siren")
    assert outcomes(listener, "apprise")[-1] == ("accepted", 200, "A1")
    assert httpx.get(f"{listener.http}/sandbox/counts").json()["apprise"]["accepted"] == 2


def test_fault_asked_for_shows_and_is_over(listener: SandboxProcess) -> None:
    for kind, status in (("throttle", 429), ("refuse", 422), ("error", 503)):
        asked = {"provider": "webhook", "kind": kind, "count": 1, "retry_after": 9}
        assert httpx.post(f"{listener.http}/sandbox/faults", json=asked).status_code == 201
        answer = httpx.post(f"{listener.http}/listener/siren", content=BODY, headers=signed())
        assert answer.status_code == status
        assert answer.headers.get("Retry-After") == (None if kind == "refuse" else "9")
    assert told(listener, signed()) == 204
    assert [line["outcome"] for line in listener.journal("webhook")] == ["deferred", "refused", "deferred", "accepted"]
