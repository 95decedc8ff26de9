"""Who answers at the other end: the sandbox, and a Bot API in this process on the server that misbehaves."""

import itertools
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from publishers.telegram.channel import Telegram, TelegramOptions
from publishers.telegram.reference import Reference
from schemas.messages import Post
from tests.contract.conftest import Sandbox
from tests.contract.fault_server import FaultServer, Reply, Request
from tests.contract.peers import PeerInSandbox, PeerOnFaultServer, post
from tests.contract.suite import AT_MOST, Peer, Trouble

TOKEN = "96001:valmerande"
CHAT = "@valmerande"
CHAT_ID = -1001096001000


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
        return post(text)


class OverSandbox(PeerInSandbox, TelegramPeer):
    provider = "telegram"

    def __init__(self, sandbox: Sandbox) -> None:
        self.url = f"{sandbox.http}/telegram"
        self.web = f"{sandbox.http}/wall/telegram"
        self.sandbox = sandbox

    def latest(self, reference: str) -> dict[str, Any]:
        return super().latest(f"{CHAT[1:]}/{first_of(reference)}")

    async def shown(self, reference: str) -> str | None:
        latest = self.latest(reference)
        return None if latest["kind"] == "delete" else str(latest["text"])


class OverFaults(PeerOnFaultServer, TelegramPeer):
    """``messages`` are those of the channel, by their id."""

    replies: ClassVar[Mapping[Trouble, Reply | bytes]] = {
        Trouble.REFUSE: error(400, "Bad Request: can't parse entities: Can't find end of Bold entity"),
        Trouble.THROTTLE: error(429, "Too Many Requests: retry after 7", retry_after=7),
        Trouble.UNAVAILABLE: error(503, "Service Unavailable"),
    }

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

    async def taken(self, message: Any) -> int:
        return self.ever.count(message.text)

    async def shown(self, reference: str) -> str | None:
        return self.messages.get(first_of(reference))


def first_of(reference: str) -> int:
    """The message that a reference names, of an album the first."""
    return Reference.of(reference).messages[0]


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
