"""Who answers at the other end: the sandbox, and a Bot API in this process on the server that misbehaves."""

import itertools
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import httpx

from publishers.telegram.channel import Telegram, TelegramOptions
from schemas.messages import Picture, Post
from tests.contract.conftest import Sandbox
from tests.contract.fault_server import FaultServer, Reply, Request
from tests.contract.suite import AT_MOST, Peer, Trouble

TOKEN = "96001:valmerande"
CHAT = "@valmerande"
CHAT_ID = -1001096001000
PNG = bytes.fromhex("89504e470d0a1a0a") + b"not more of a picture than its signature"


def picture(content: bytes = PNG, alt: str = "Plan de la déviation") -> Picture:
    return Picture(content, "image/png", alt, 800, 600)


def error(code: int, description: str, **parameters: Any) -> Reply:
    """A refusal as the Bot API's."""
    body: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
    return Reply(code, body | ({"parameters": parameters} if parameters else {}))


class TelegramPeer(Peer):
    deduplicates = False
    too_long = "é" * 4097
    web = "https://t.me"

    def options(
        self, *, timeout: float = AT_MOST, url: str | None = None, token: str = TOKEN, chat: str = CHAT
    ) -> TelegramOptions:
        told = {"accounts": {"valmerande": {"token": token, "chat": chat}}, "url": url or self.url, "web": self.web}
        return TelegramOptions.model_validate(told | {"timeout": timeout})

    def open(self, *, timeout: float = AT_MOST, token: str | None = None, url: str | None = None) -> Telegram:
        return Telegram(self.options(timeout=timeout, url=url, token=token or TOKEN))

    def message(self, text: str | None = None) -> Post:
        name = uuid.uuid4().hex
        text = text or f"Rue des Tisserands barrée ({name})"
        return Post(f"order-{name}.1", "valmerande", text, "fr", at=datetime.now(UTC))


class OverSandbox(TelegramPeer):
    def __init__(self, sandbox: Sandbox) -> None:
        self.url = f"{sandbox.http}/telegram"
        self.web = f"{sandbox.http}/wall/telegram"
        self.sandbox = sandbox

    async def will(self, trouble: Trouble) -> None:
        kind = {
            Trouble.REFUSE: "refuse",
            Trouble.THROTTLE: "throttle",
            Trouble.UNAVAILABLE: "error",
            Trouble.HANG: "hang",
            Trouble.TAKE_AND_CUT: "drop",
        }[trouble]
        asked = {"provider": "telegram", "kind": kind, "count": 1, "retry_after": 7}
        async with httpx.AsyncClient(base_url=self.sandbox.http) as client:
            (await client.post("/sandbox/faults", json=asked)).raise_for_status()

    async def taken(self, message: Any) -> int:
        return sum(
            (line["kind"], line.get("text")) == ("create", message.text) and line["outcome"] in ("accepted", "dropped")
            for line in self.sandbox.journal("telegram")
        )

    def latest(self, reference: str) -> dict[str, Any]:
        """The last line of the journal about a message."""
        first = int(reference.partition(":")[2].partition("#")[0].split(",")[0])
        identity = f"{CHAT[1:]}/{first}"
        return [line for line in self.sandbox.journal("telegram") if line.get("id") == identity][-1]

    async def shown(self, reference: str) -> str | None:
        latest = self.latest(reference)
        return None if latest["kind"] == "delete" else str(latest["text"])


class OverFaults(TelegramPeer):
    """``messages`` are those of the channel, by their id."""

    def __init__(self, server: FaultServer) -> None:
        self.url = server.url
        self.server = server
        self.messages: dict[int, str] = {}
        self.ever: list[str] = []
        self._ids = itertools.count(1)
        server.application = self.bot_api

    def bot_api(self, request: Request) -> Reply:
        """A Bot API that keeps its word, for whatever is not told otherwise."""
        _, bot, method = request.path.split("/")
        if bot != f"bot{TOKEN}":
            return error(401, "Unauthorized")
        fields = parameters(request)
        match method:
            case "getMe":
                return self._result({"id": 96001, "is_bot": True, "username": "valmerande_bot"})
            case "getChat":
                return self._result({"id": CHAT_ID, "type": "channel", "title": "Valmerande"})
            case "getChatMember":
                return self._result({"status": "administrator", "can_post_messages": True})
            case "sendMessage" | "sendPhoto":
                return self._send(fields.get("text") or fields.get("caption") or "")
            case "sendMediaGroup":
                sent = [self._message(one.get("caption", "")) for one in fields["media"]]
                return self._result(sent)
        which = fields.get("message_ids") or [fields["message_id"]]
        if method != "deleteMessages" and int(which[0]) not in self.messages:
            return error(400, f"Bad Request: message to {method[:4].replace('dele', 'delete')} not found")
        if method.startswith("delete"):
            for identity in which:
                self.messages.pop(int(identity), None)
            return self._result(True)
        text = fields.get("text") or fields.get("caption") or (fields.get("media") or {}).get("caption", "")
        if self.messages[int(which[0])] == text:
            return error(400, "Bad Request: message is not modified: specified new message content and …")
        self.messages[int(which[0])] = text
        return self._result({"message_id": int(which[0]), "chat": {"id": CHAT_ID}})

    def _send(self, text: str) -> Reply:
        if len(text) > 4096:
            return error(400, "Bad Request: message is too long")
        return self._result(self._message(text))

    def _message(self, text: str) -> dict[str, Any]:
        identity = next(self._ids)
        self.messages[identity] = text
        self.ever.append(text)
        return {"message_id": identity, "chat": {"id": CHAT_ID, "type": "channel", "username": CHAT[1:]}, "text": text}

    def _result(self, result: Any) -> Reply:
        return Reply(200, {"ok": True, "result": result})

    async def will(self, trouble: Trouble) -> None:
        replies: dict[Trouble, Reply] = {
            Trouble.REFUSE: error(400, "Bad Request: can't parse entities: Can't find end of Bold entity"),
            Trouble.THROTTLE: error(429, "Too Many Requests: retry after 7", retry_after=7),
            Trouble.UNAVAILABLE: error(503, "Service Unavailable"),
        }
        self.server.next.append(replies.get(trouble, trouble))

    async def taken(self, message: Any) -> int:
        return self.ever.count(message.text)

    async def shown(self, reference: str) -> str | None:
        return self.messages.get(int(reference.partition(":")[2].partition("#")[0].split(",")[0]))

    async def reached(self, count: int = 1) -> None:
        await self.server.reached(count)

    async def hung_up(self) -> None:
        await self.server.until(lambda: self.server.closed > 0)


def parameters(request: Request) -> dict[str, Any]:
    """The parameters of a call; of a multipart one, those that are texts, and files by their names."""
    if request.headers["content-type"] == "application/json":
        return dict(request.json)
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    found: dict[str, Any] = {}
    for part in request.content.split(b"--" + boundary)[1:-1]:
        head, _, value = part.strip(b"\r\n").partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0].decode()
        if b"filename=" in head:
            found[name] = value
        else:
            text = value.decode()
            found[name] = json.loads(text) if text[:1] in ("{", "[") else text
    return found
