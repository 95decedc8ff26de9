"""Publishers and posts for the tests of what a post may hold, and a server that processes pictures."""

import io
import uuid
from typing import Any

from PIL import Image

from publishers.mastodon.channel import Mastodon, MastodonOptions
from schemas.messages import Picture, Post
from tests.contract.fault_server import FaultServer, Reply, Request

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


def asked(server: FaultServer) -> list[str]:
    return [f"{request.method} {request.path}" for request in server.requests]
