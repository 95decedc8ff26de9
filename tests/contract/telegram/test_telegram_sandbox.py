"""The sandbox's Bot API, as any client meets it; python-telegram-bot gets on with it too."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.peers import PNG
from tests.contract.sandbox.process import SandboxProcess

pytestmark = pytest.mark.contract


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    process = SandboxProcess(tmp_path / "home")
    yield process
    process.kill()


def call(sandbox: SandboxProcess, method: str, *, token: str = "1:valmerande", files: Any = None, **fields: Any) -> Any:
    url = f"{sandbox.http}/telegram/bot{token}/{method}"
    response = httpx.post(url, data=fields, files=files) if files is not None else httpx.post(url, json=fields)
    answer = response.json()
    if answer["ok"]:
        return answer["result"]
    assert answer["error_code"] == response.status_code
    return f"{answer['error_code']} {answer['description']}"


def test_messages_outlive_a_kill_and_numbers_go_on(tmp_path: Path) -> None:
    first = SandboxProcess(tmp_path / "home")
    made = call(first, "sendMessage", chat_id="@valmerande", text="Fin d'alerte")
    album = json.dumps([{"type": "photo", "media": f"attach://{name}", "caption": name} for name in "ab"])
    files = {name: (name, PNG + name.encode(), "image/png") for name in "ab"}
    sent = call(first, "sendMediaGroup", files=files, chat_id="@valmerande", media=album)
    assert [message["message_id"] for message in sent] == [2, 3]
    assert [message.get("caption") for message in sent] == ["a", None]
    first.kill()
    second = SandboxProcess(tmp_path / "home")
    chat = made["chat"]["id"]
    edited = call(second, "editMessageText", chat_id=chat, message_id=made["message_id"], text="Retour possible")
    assert edited["text"] == "Retour possible" and edited["edit_date"] >= made["date"]
    assert call(second, "sendMessage", chat_id=chat, text="Suite")["message_id"] == 4
    assert call(second, "deleteMessages", chat_id=chat, message_ids=[2, 3, 99]) is True
    assert call(second, "deleteMessage", chat_id=chat, message_id=2) == "400 Bad Request: message to delete not found"
    kinds = [line["kind"] for line in second.journal("telegram") if line["outcome"] == "accepted"]
    assert kinds == ["create", "create", "edit", "create", "delete"]
    second.kill()


@pytest.mark.parametrize(
    ("token", "chat", "expected"),
    [
        ("wrong", "@valmerande", "401 Unauthorized"),
        ("expired", "@valmerande", "401 Unauthorized"),
        ("1:", "@valmerande", "404 Not Found"),
        ("1:kicked", "@valmerande", "403 Forbidden: bot was kicked from the channel chat"),
        ("1:reader", "@valmerande", "400 Bad Request: need administrator rights in the channel chat"),
        ("1:valmerande", "@nowhere", "400 Bad Request: chat not found"),
        ("1:valmerande", "valmerande", "400 Bad Request: chat not found"),
        ("1:valmerande", "", "400 Bad Request: chat_id is empty"),
        ("1:valmerande", "-404", "400 Bad Request: group chat was upgraded to a supergroup chat"),
    ],
)
def test_bots_are_refused_as_telegram_refuses_them(
    sandbox: SandboxProcess, token: str, chat: str, expected: str
) -> None:
    assert call(sandbox, "sendMessage", token=token, chat_id=chat, text="x") == expected


@pytest.mark.parametrize(
    ("method", "fields", "expected"),
    [
        ("sendMessage", {"text": " "}, "message text is empty"),
        ("sendMessage", {"text": "🌊" * 2049}, "message is too long"),
        ("sendMessage", {"text": "x", "reply_parameters": {"message_id": 9}}, "message to be replied not found"),
        ("sendPhoto", {"photo": "x"}, "wrong file identifier/HTTP URL specified"),
        ("sendMediaGroup", {"media": []}, "wrong number of media in the album, specify from 2 to 10"),
        ("editMessageText", {"text": "x", "message_id": 9}, "message to edit not found"),
        ("deleteMessage", {"message_id": 9}, "message to delete not found"),
    ],
)
def test_messages_are_refused_as_telegram_refuses_them(
    sandbox: SandboxProcess, method: str, fields: dict[str, Any], expected: str
) -> None:
    assert call(sandbox, method, chat_id="@valmerande", **fields) == f"400 Bad Request: {expected}"
    assert [line["outcome"] for line in sandbox.journal("telegram")] == ["refused"]


@pytest.mark.parametrize(
    ("content", "caption", "expected"),
    [
        (b"", "x", "file must be non-empty"),
        (b"not a picture", "x", "IMAGE_PROCESS_FAILED"),
        (PNG + bytes(10_000_000), "x", "file is too big"),
        (PNG, "é" * 1025, "message caption is too long"),
    ],
)
def test_pictures_are_refused_as_telegram_refuses_them(
    sandbox: SandboxProcess, content: bytes, caption: str, expected: str
) -> None:
    files = {"photo": ("a.png", content, "image/png")}
    assert call(sandbox, "sendPhoto", files=files, chat_id="@valmerande", caption=caption) == (
        f"400 Bad Request: {expected}"
    )


def test_throttling_says_how_long(sandbox: SandboxProcess) -> None:
    asked = {"provider": "telegram", "kind": "throttle", "count": 1, "retry_after": 7}
    httpx.post(f"{sandbox.http}/sandbox/faults", json=asked)
    response = httpx.post(f"{sandbox.http}/telegram/bot1:a/sendMessage", json={"chat_id": "@valmerande", "text": "x"})
    assert response.status_code == 429 and response.json() == {
        "ok": False,
        "error_code": 429,
        "description": "Too Many Requests: retry after 7",
        "parameters": {"retry_after": 7},
    }


def test_what_the_api_does_not_have_is_not_found(sandbox: SandboxProcess) -> None:
    assert call(sandbox, "sendTelepathy", chat_id="@valmerande") == "404 Not Found"
