"""Who answers at the other end: the sandbox, and a page in this process on the server that misbehaves."""

import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from publishers.facebook.channel import Facebook, FacebookOptions
from schemas.messages import Post
from tests.contract.conftest import Sandbox
from tests.contract.fault_server import FaultServer, Reply, Request
from tests.contract.peers import PeerInSandbox, PeerOnFaultServer, post
from tests.contract.suite import AT_MOST, Peer, Trouble

PAGE = "96001"
TOKEN = f"token-valmerande-{PAGE}"


def error(code: int, subcode: int | None = None, message: str = "its own words", **more: Any) -> dict[str, Any]:
    """A body as the Graph API's."""
    named = {} if subcode is None else {"error_subcode": subcode}
    return {"error": {"message": message, "type": "OAuthException", "code": code, **named, **more, "fbtrace_id": "A1"}}


USED_UP = {
    "X-Business-Use-Case-Usage": json.dumps(
        {PAGE: [{"type": "pages", "call_count": 100, "total_time": 9, "estimated_time_to_regain_access": 2}]}
    )
}


class FacebookPeer(Peer):
    deduplicates = True  # the page's last post, that is
    too_long = "é" * 63_207
    web: str

    def options(self, *, timeout: float = AT_MOST, **page: str) -> FacebookOptions:
        account = {"page_id": PAGE, "token": TOKEN} | page
        told = {"accounts": {"valmerande": account}, "url": self.url, "timeout": timeout, "web": self.web}
        return FacebookOptions.model_validate(told)

    def open(self, *, timeout: float = AT_MOST, token: str | None = None, url: str | None = None) -> Facebook:
        options = self.options(timeout=timeout, **({"token": token} if token else {}))
        return Facebook(options.model_copy(update={"url": url or self.url}))

    def message(self, text: str | None = None) -> Post:
        return post(text)


class OverSandbox(PeerInSandbox, FacebookPeer):
    provider = "facebook"

    def __init__(self, sandbox: Sandbox) -> None:
        self.url = f"{sandbox.http}/facebook"
        self.web = f"{sandbox.http}/wall/facebook"
        self.sandbox = sandbox

    async def shown(self, reference: str) -> str | None:
        latest = self.latest(reference.partition("#")[0])
        return None if latest["kind"] == "delete" else str(latest["text"])


class OverFaults(PeerOnFaultServer, FacebookPeer):
    """``posts`` are those of the page, by their id; ``pictures`` what was uploaded."""

    web = "https://www.facebook.com"

    replies: ClassVar[Mapping[Trouble, Reply | bytes]] = {
        Trouble.REFUSE: Reply(400, error(100)),
        Trouble.THROTTLE: Reply(403, error(80001), USED_UP),
        Trouble.UNAVAILABLE: Reply(503, error(2, is_transient=True)),
    }

    def __init__(self, server: FaultServer) -> None:
        self.url = server.url
        self.server = server
        self.posts: dict[str, dict[str, Any]] = {}
        self.ever: list[str] = []
        self.pictures: dict[str, bytes] = {}
        self._ids = itertools.count(1)
        server.application = self.graph

    def graph(self, request: Request) -> Reply:
        """A page that keeps the interface, for whatever is not told otherwise."""
        if request.headers["authorization"] == "Bearer expired":
            return Reply(400, error(190, 463))
        if request.headers["authorization"] != f"Bearer {TOKEN}":
            return Reply(400, error(190))
        _, _, *path = request.path.split("/")
        match request.method, path:
            case "POST", [page, "feed"] if page == PAGE:
                return self._feed(request.json)
            case "POST", [page, "photos"] if page == PAGE:
                identity = str(next(self._ids))
                self.pictures[identity] = request.content
                return Reply(200, {"id": identity})
            case "GET", [page, "published_posts"] if page == PAGE:
                return Reply(200, {"data": [*reversed(self.posts.values())]})
            case "GET", ["me"] | ["96001"]:
                return Reply(200, {"id": PAGE, "name": "Valmerande"})
            case "POST", [post] if post in self.posts:
                self.posts[post]["message"] = request.json["message"]
                return Reply(200, {"success": True})
            case "DELETE", [post] if post in self.posts:
                del self.posts[post]
                return Reply(200, {"success": True})
        return Reply(400, error(100, 33))

    def _feed(self, fields: dict[str, Any]) -> Reply:
        text = fields["message"]
        if len(text) > 63_206:
            return Reply(400, error(100, message="(#100) Param message must be at most 63206 characters long"))
        if self.posts and [*self.posts.values()][-1]["message"] == text:
            return Reply(400, error(506, 1455006))
        identity = f"{PAGE}_{next(self._ids)}"
        created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
        self.posts[identity] = fields | {"id": identity, "created_time": created}
        self.ever.append(text)
        return Reply(200, {"id": identity})

    async def taken(self, message: Any) -> int:
        return self.ever.count(message.text)

    async def shown(self, reference: str) -> str | None:
        post = self.posts.get(reference.partition("#")[0])
        return None if post is None else str(post["message"])
