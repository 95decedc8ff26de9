"""Account servers that the Bluesky publisher meets: a model behind the fault server, the sandbox, and the real PDS,
with the fault server as the way to it."""

import hashlib
import json
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from publishers.bluesky.channel import Bluesky, BlueskyOptions
from publishers.bluesky.record import Reference
from schemas.messages import Picture, Post
from tests.contract.bluesky.pds import Pds
from tests.contract.conftest import Sandbox
from tests.contract.fault_server import FaultServer, Reply, Request
from tests.contract.peers import PeerInSandbox, PeerOnFaultServer, post
from tests.contract.suite import AT_MOST, Peer, Trouble

POSTS = "app.bsky.feed.post"
LEAST = 1.5
"""Seconds to leave the real server: it takes a third of one for every log-in, so that passwords can't be timed."""


def is_write(request: Request) -> bool:
    """What troubles are meant for: the calls that publish or take back."""
    return request.path.endswith(("putRecord", "deleteRecord"))


class BlueskyPeer(Peer):
    deduplicates = True
    too_long = "é" * 301

    def __init__(self, url: str, handle: str, password: str) -> None:
        self.url = url
        self.handle = handle
        self.password = password

    def open(self, *, timeout: float = AT_MOST, token: str | None = None, url: str | None = None) -> Bluesky:
        account = {"url": url or self.url, "handle": self.handle, "app_password": token or self.password}
        return Bluesky(BlueskyOptions.model_validate({"accounts": {"valmerande": account}, "timeout": timeout}))

    def message(self, text: str | None = None) -> Post:
        return post(text)


@dataclass
class Model:
    """An account server that keeps the contract, for whatever is not told otherwise."""

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    sessions: int = 0
    valid: set[str] = field(default_factory=set)
    compares_first: bool = False
    """Whether a repeat is refused for what stands there, as @atproto/pds does not."""

    def __call__(self, request: Request) -> Reply:
        name = request.path.rpartition(".")[2]
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if name == "createSession":
            wrong = Reply(401, {"error": "AuthenticationRequired", "message": "Invalid identifier or password"})
            return self.session() if request.json["password"] == "abcd-efgh-ijkl-mnop" else wrong
        if token not in self.valid:
            return Reply(400, {"error": "ExpiredToken", "message": "Token has expired"})
        if name == "getRecord" and request.query["rkey"][0] not in self.records:
            return Reply(400, {"error": "RecordNotFound", "message": "Could not locate record"})
        return self.put(request.json) if name == "putRecord" else Reply(200, self.answer(name, request))

    def session(self) -> Reply:
        """A session of its own tokens."""
        self.sessions += 1
        access, refresh = f"access-{self.sessions}", f"refresh-{self.sessions}"
        self.valid |= {access, refresh}
        who = {"did": "did:plc:valmerande", "handle": "valmerande.example", "active": True}
        return Reply(200, {**who, "accessJwt": access, "refreshJwt": refresh})

    def answer(self, name: str, request: Request) -> Any:
        """What the methods answer that refuse nothing."""
        match name:
            case "refreshSession":
                return self.session().content
            case "uploadBlob":
                cid = "bafkrei" + hashlib.sha256(request.content).hexdigest()
                kind, size = request.headers["content-type"], len(request.content)
                return {"blob": {"$type": "blob", "ref": {"$link": cid}, "mimeType": kind, "size": size}}
            case "deleteRecord":
                return {"gone": self.records.pop(request.json["rkey"], None) is not None}
            case "getRecord":
                key = request.query["rkey"][0]
                return {**self.written(key), "value": self.records[key]}
            case _:
                return {"did": "did:plc:valmerande", "handle": "valmerande.example", "active": True}

    def put(self, asked: Any) -> Reply:
        """putRecord."""
        key, record = asked["rkey"], asked["record"]
        if len(record["text"]) > 300:
            reason = f"Invalid {POSTS} record: text must not be longer than 300 graphemes"
            return Reply(400, {"error": "InvalidRequest", "message": reason})
        standing = self.records.get(key)
        different = standing is not None and (standing != record or self.compares_first)
        if different and asked.get("swapRecord", "any") is None:
            return Reply(400, {"error": "InvalidSwap", "message": "Record was at bafyrei"})
        self.records[key] = record
        return Reply(200, self.written(key))

    def written(self, key: str) -> dict[str, Any]:
        """Where a record is, and which version."""
        cid = "bafyrei" + hashlib.sha256(json.dumps(self.records[key]).encode()).hexdigest()
        return {"uri": f"at://did:plc:valmerande/{POSTS}/{key}", "cid": cid}


REPLIES: dict[Trouble, Reply | bytes] = {
    Trouble.REFUSE: Reply(400, {"error": "InvalidRequest", "message": "Invalid record"}),
    Trouble.THROTTLE: Reply(
        429, {"error": "RateLimitExceeded", "message": "Rate Limit Exceeded"}, {"Retry-After": "7"}
    ),
    Trouble.UNAVAILABLE: Reply(503, b"<h1>We are moving</h1>"),
}


class OverFaults(PeerOnFaultServer, BlueskyPeer):
    replies = REPLIES

    def __init__(self, server: FaultServer) -> None:
        super().__init__(server.url, "valmerande.example", "abcd-efgh-ijkl-mnop")
        self.server = server
        self.model = Model()
        server.application = self.model
        server.meets = is_write

    async def taken(self, message: Any) -> int:
        return [record["text"] for record in self.model.records.values()].count(message.text)

    async def shown(self, reference: str) -> str | None:
        record = self.model.records.get(Reference.parse(reference).key)
        return record["text"] if record else None

    def asked(self, method: str) -> int:
        """How many times a method has been called."""
        return sum(request.path.endswith(method) for request in self.server.requests)


class OverSandbox(PeerInSandbox, BlueskyPeer):
    provider = "bluesky"

    def __init__(self, sandbox: Sandbox, handle: str) -> None:
        super().__init__(f"{sandbox.http}/bluesky", handle, "abcd-efgh-ijkl-mnop")
        self.sandbox = sandbox

    async def shown(self, reference: str) -> str | None:
        return shown(self.url, reference)


class OverPds(PeerOnFaultServer, BlueskyPeer):
    """The real PDS. ``server`` stands before it, and can lose what it says."""

    replies = REPLIES

    def __init__(self, server: FaultServer, pds: Pds) -> None:
        self.pds = pds.url
        handle = f"v{uuid.uuid4().hex[:12]}.test"
        self.did, password = new_account(pds, handle)
        super().__init__(server.url, handle, password)
        self.server = server
        server.application = self.forward
        server.meets = is_write
        self.spoils: list[str] = []
        self._client = httpx.Client(base_url=pds.url, timeout=AT_MOST)

    def open(self, *, timeout: float = AT_MOST, token: str | None = None, url: str | None = None) -> Bluesky:
        return super().open(timeout=max(timeout, LEAST), token=token, url=url)

    def forward(self, request: Request) -> Reply:
        """The PDS's own answer; to a spoilt request when it is to refuse one."""
        passed = ("authorization", "content-type")
        headers: dict[str, str] = {name: value for name, value in request.headers.items() if name in passed}
        content = request.content
        if self.spoils and is_write(request):
            spoilt = self.spoils.pop()
            if spoilt == "text":
                asked = request.json
                content = json.dumps({**asked, "record": {**asked["record"], "text": "x" * 301}}).encode()
            else:
                headers["authorization"] = f"Bearer {spoilt}"
        found = self._client.request(
            request.method, request.path, params=request.query, headers=headers, content=content
        )
        told = {name: value for name, value in found.headers.items() if name.startswith(("ratelimit", "retry"))}
        return Reply(found.status_code, found.content, told)

    async def will(self, trouble: Trouble) -> None:
        if trouble is Trouble.REFUSE:
            self.spoils.append("text")
        else:
            await super().will(trouble)

    async def taken(self, message: Any) -> int:
        return [record["value"]["text"] for record in self.records()].count(message.text)

    async def shown(self, reference: str) -> str | None:
        return shown(self.pds, reference)

    def get(self, method: str, **params: Any) -> httpx.Response:
        """A query to the PDS itself."""
        return self._client.get(f"/xrpc/{method}", params=params)

    def records(self) -> list[dict[str, Any]]:
        """All posts of the account."""
        found = self.get("com.atproto.repo.listRecords", repo=self.did, collection=POSTS, limit=100)
        records: list[dict[str, Any]] = found.json()["records"]
        return records

    def procedure(self, method: str, body: dict[str, str] | None) -> httpx.Response:
        """A procedure of the account's owner, signed in with the account's own password."""
        credentials = {"identifier": self.handle, "password": _OWN_PASSWORD}
        session = self._client.post("/xrpc/com.atproto.server.createSession", json=credentials).json()
        headers = {"Authorization": f"Bearer {session['accessJwt']}"}
        return self._client.post(f"/xrpc/{method}", headers=headers, json=body).raise_for_status()


_OWN_PASSWORD = "the account's own"


def new_account(pds: Pds, handle: str) -> tuple[str, str]:
    """A new account on the PDS: its DID, and an app password."""
    headers = {"x-ratelimit-bypass": pds.bypass}  # a hundred in five minutes else
    with httpx.Client(base_url=f"{pds.url}/xrpc", timeout=AT_MOST, headers=headers) as client:
        asked = {"handle": handle, "email": f"{handle}@valmerande.example", "password": _OWN_PASSWORD}
        made = client.post("/com.atproto.server.createAccount", json=asked).raise_for_status().json()
        headers = {"Authorization": f"Bearer {made['accessJwt']}"}
        password = client.post("/com.atproto.server.createAppPassword", json={"name": "tambour"}, headers=headers)
        return made["did"], password.raise_for_status().json()["password"]


def picture(content: bytes = b"a dot", alt: str = "La rue des Tisserands, fermée") -> Picture:
    """A PNG by its first bytes, which is all that servers look at."""
    return Picture(b"\x89PNG\r\n\x1a\n" + content, "image/png", alt, 4, 3)


def pictured(message: Post, *pictures: Picture) -> Post:
    """The same post with pictures."""
    return replace(message, pictures=pictures or (picture(),))


def shown(url: str, reference: str) -> str | None:
    """The text of a post, as its server gives it to anybody."""
    found = Reference.parse(reference)
    place = {"repo": found.repository, "collection": POSTS, "rkey": found.key}
    answer = httpx.get(f"{url}/xrpc/com.atproto.repo.getRecord", params=place)
    if answer.json().get("error") == "RecordNotFound":
        return None
    text: str = answer.raise_for_status().json()["value"]["text"]
    return text
