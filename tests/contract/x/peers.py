"""Who answers at the other end: the sandbox, and an X in this process on the server that misbehaves."""

import html
import itertools
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from publishers.x.channel import X, XOptions
from schemas.messages import Post
from tests.contract.conftest import Sandbox
from tests.contract.fault_server import FaultServer, Reply, Request
from tests.contract.peers import PeerInSandbox, PeerOnFaultServer, post
from tests.contract.suite import AT_MOST, Peer, Trouble

ACCOUNT = "valmerande"
TOKEN = f"96001-{ACCOUNT}"

PROBLEMS = "https://api.twitter.com/2/problems"
TOO_LONG = "Your Tweet text is too long. For more information on how Twitter determines text length see …"
DUPLICATE = "You are not allowed to create a Tweet with duplicate content."
REPLY_GONE = "You attempted to reply to a Tweet that is deleted or not visible to you."


def problem(status: int, detail: str, title: str = "Forbidden", **headers: str) -> Reply:
    """A problem without a type of its own, as X writes them; headers with _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"title": title, "detail": detail, "type": "about:blank", "status": status}, named)


def numbered(status: int, code: int, message: str = "its own words") -> Reply:
    """An error of v1.1."""
    return Reply(status, {"errors": [{"code": code, "message": message}]})


INVALID = Reply(
    400,
    {
        "errors": [{"parameters": {"text": [""]}, "message": "its own words"}],
        "title": "Invalid Request",
        "detail": "One or more parameters to your request was invalid.",
        "type": f"{PROBLEMS}/invalid-request",
    },
)
CREDITS = {
    "account_id": 96001,
    "title": "CreditsDepleted",
    "detail": "Your enrolled account [96001] does not have any credits to fulfill this request.",
    "type": f"{PROBLEMS}/credits",
}
CLIENT_FORBIDDEN = {
    "client_id": "18674063",
    "detail": "When authenticating requests to the Twitter API v2 endpoints, you must use keys and tokens from a "
    "Twitter developer App that is attached to a Project.",
    "registration_url": "https://developer.twitter.com/en/docs/projects/overview",
    "title": "Client Forbidden",
    "required_enrollment": "Appropriate Level of API Access",
    "reason": "client-not-enrolled",
    "type": f"{PROBLEMS}/client-forbidden",
}
SUBSET = "You currently have access to a subset of X API V2 endpoints and limited v1.1 endpoints"


class XPeer(Peer):
    deduplicates = True  # by the text
    too_long = "é" * 281
    site: str

    def account(self, token: str = TOKEN) -> dict[str, Any]:
        return {
            "consumer_key": "app",
            "consumer_secret": "secret-app",
            "access_token": token,
            "access_token_secret": f"secret-{token}",
        }

    def open(
        self,
        *,
        timeout: float = AT_MOST,
        token: str | None = None,
        url: str | None = None,
        account: dict[str, Any] | None = None,
        **options: Any,
    ) -> X:
        told = {
            "accounts": {ACCOUNT: account or self.account(token or TOKEN)},
            "url": url or self.url,
            "site": self.site,
            "timeout": timeout,
        }
        return X(XOptions.model_validate(told | options))

    def message(self, text: str | None = None) -> Post:
        return post(text or f"Rue des Tisserands barrée & déviée ({uuid.uuid4().hex})")


class OverSandbox(PeerInSandbox, XPeer):
    provider = "x"

    def __init__(self, sandbox: Sandbox) -> None:
        self.url = self.site = f"{sandbox.http}/x"
        self.sandbox = sandbox

    async def shown(self, reference: str) -> str | None:
        latest = self.latest(reference)
        return None if latest["kind"] == "delete" else str(latest["text"])


class OverFaults(PeerOnFaultServer, XPeer):
    """``posts`` are those of the account, by number; ``ever`` the texts of all there ever were."""

    replies: ClassVar[Mapping[Trouble, Reply | bytes]] = {
        Trouble.REFUSE: INVALID,
        Trouble.UNAVAILABLE: Reply(503, b"<h1>We are moving</h1>"),
    }
    site = "https://x.com"

    def __init__(self, server: FaultServer) -> None:
        self.url = server.url
        self.server = server
        self.posts: dict[str, dict[str, Any]] = {}
        self.ever: list[str] = []
        self.media: dict[str, str] = {}
        self.blind = False
        """Whether its timeline shows nothing yet."""
        self._numbers = itertools.count((int(time.time() * 1000) - 1_288_834_974_657) << 22)
        server.application = self.api

    def api(self, request: Request) -> Reply:
        """An X that keeps its interface, for whatever is not told otherwise."""
        authorization = request.headers["authorization"]
        if 'oauth_token="expired"' in authorization:
            return numbered(401, 89, "Invalid or expired token.")
        if f'oauth_token="{TOKEN}"' not in authorization and authorization != f"Bearer {TOKEN}":
            return problem(401, "Unauthorized", "Unauthorized")
        match request.method, request.path.split("/")[2:]:
            case "POST", ["tweets"]:
                return self._create(request.json)
            case "DELETE", ["tweets", number] if number in self.posts:
                del self.posts[number]
                return Reply(200, {"data": {"deleted": True}})
            case "GET", ["users", "me"]:
                return Reply(200, {"data": {"id": "96001", "name": "Valmerande", "username": ACCOUNT}})
            case "GET", ["users", "96001", "tweets"]:
                found = [] if self.blind else [*reversed(self.posts.values())]
                return Reply(200, {"data": found, "meta": {"result_count": len(found)}})
            case "POST", ["media", "upload"]:
                number = str(next(self._numbers))
                self.media[number] = ""
                return Reply(200, {"data": {"id": number, "media_key": f"3_{number}", "expires_after_secs": 86400}})
            case "POST", ["media", "metadata"]:
                self.media[request.json["id"]] = request.json["metadata"]["alt_text"]["text"]
                return Reply(200, {"data": {"id": request.json["id"]}})
        return Reply(404, {"title": "Not Found Error", "type": f"{PROBLEMS}/resource-not-found"})

    def _create(self, asked: dict[str, Any]) -> Reply:
        text = asked["text"]
        if len(text) > 280:
            return problem(400, TOO_LONG, "Bad Request")
        if any(html.unescape(post["text"]) == text for post in self.posts.values()):
            return problem(403, DUPLICATE)
        number = str(next(self._numbers))
        created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        self.posts[number] = {"id": number, "text": html.escape(text, quote=False), "created_at": created}
        self.ever.append(text)
        return Reply(201, {"data": {"id": number, "text": text, "edit_history_tweet_ids": [number]}})

    async def will(self, trouble: Trouble) -> None:
        if trouble is not Trouble.THROTTLE:
            return await super().will(trouble)
        soon = {
            "x-rate-limit-limit": "100",
            "x-rate-limit-remaining": "0",
            "x-rate-limit-reset": str(int(time.time()) + 7),
        }
        self.server.next.append(replace(problem(429, "Too Many Requests", "Too Many Requests"), headers=soon))

    async def taken(self, message: Any) -> int:
        return self.ever.count(message.text)

    async def shown(self, reference: str) -> str | None:
        return html.unescape(self.posts[reference]["text"]) if reference in self.posts else None
