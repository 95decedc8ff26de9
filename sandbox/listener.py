"""Somebody else's system: takes our webhooks (Standard Webhooks) and what Apprise posts, and keeps it.

``POST /listener/{name}``: a signed webhook; the same ``webhook-id`` again is answered as before and kept once.
``POST /listener/{name}/json``: Apprise's ``json://``. ``POST /gotify/message``: Gotify's, with its own kind of token.

Journals ``webhook.jsonl`` and ``apprise.jsonl``: ``at``, ``kind``, ``outcome``, ``status``, ``reason``,
``account`` (the listener's name), and of what was taken: ``webhook_id`` (also as ``idempotency_key``, as the other
journals have it) and ``body``, or ``title`` and ``text``.
"""

import base64
import hmac
import json
import time
from typing import Any, NoReturn

from aiohttp import web

from sandbox.faults import Faults
from sandbox.journal import Journal, Line, now, stamp
from sandbox.options import Options, secret_key
from sandbox.tally import Tally
from sandbox.webhooks import signature
from sandbox.wire import drop, hang, refused

SECRET = "whsec_c2FuZGJveCBsaXN0ZW5lciBzZWNyZXQh"
"""What webhooks to any listener are signed with; no secret at all, like the tokens of the other providers."""

BODY_OCTETS = 65_536
_TOLERANCE = 300
_FAULTS = {
    "throttle": (429, "too many requests"),
    "refuse": (422, "refused by the operator"),
    "error": (503, "not now"),
}
_REFUSED_NAMES = ("wrong", "expired")


class Book:
    """The journal and the tally of one channel."""

    def __init__(self, options: Options, network: str) -> None:
        self.network = network
        self.journal = Journal(options.home / "journal" / f"{network}.jsonl")
        self.tally = Tally()
        self.ids: set[str] = set()
        for _, line in self.journal.scan():
            self._note(line)

    def write(self, account: str, kind: str, outcome: str, status: int, reason: str | None, **fields: Any) -> None:
        """One decision."""
        head = {"at": stamp(now()), "kind": kind, "outcome": outcome, "status": status, "reason": reason}
        line = {**head, "account": account, **fields}
        self.journal.append(line)
        self._note(line)

    def _note(self, line: Line) -> None:
        self.tally.record(line["outcome"], line["account"], line.get("webhook_id") or line.get("text") or "")
        if line["outcome"] in ("accepted", "dropped") and line.get("webhook_id"):
            self.ids.add(line["webhook_id"])


class Listener:
    """The handlers under /listener and /gotify. Faults: "webhook" and "apprise"."""

    def __init__(self, options: Options, faults: Faults) -> None:
        self._faults = faults
        self._key = secret_key(SECRET)
        self._calls, self._notes = Book(options, "webhook"), Book(options, "apprise")
        self.books = (self._calls, self._notes)

    def routes(self) -> list[web.RouteDef]:
        """For the application."""
        return [
            web.post("/listener/{name}", self.call),
            web.post("/listener/{name}/json", self.note),
            web.post("/gotify/message", self.gotify),
        ]

    async def call(self, request: web.Request) -> web.StreamResponse:
        """POST /listener/{name}: 204, or 401 for a signature that is not ours, 413, 400."""
        name = request.match_info["name"]
        dropped = await self._meet_fault(self._calls, name, "webhook")
        body = await self._body(request, self._calls, name)
        identity = request.headers.get("webhook-id", "")
        if (reason := self._forged(request, identity, body)) is not None:
            self._refuse(self._calls, name, "call", 401, reason)
        if identity in self._calls.ids:
            self._calls.write(name, "call", "replayed", 204, None, webhook_id=identity)
            return web.Response(status=204)
        try:
            content = json.loads(body)
        except ValueError:
            self._refuse(self._calls, name, "call", 400, "the body is not JSON")
        outcome, status = ("dropped", 0) if dropped else ("accepted", 204)
        self._calls.write(
            name, "call", outcome, status, None, webhook_id=identity, idempotency_key=identity, body=content
        )
        return drop(request) if dropped else web.Response(status=204)

    async def note(self, request: web.Request) -> web.StreamResponse:
        """POST /listener/{name}/json: what Apprise's json:// sends; a user "wrong" or "expired" is 401."""
        return await self._noted(request, request.match_info["name"], _user(request))

    async def gotify(self, request: web.Request) -> web.StreamResponse:
        """POST /gotify/message, with X-Gotify-Key; the token is the listener's name."""
        token = request.headers.get("X-Gotify-Key", "")
        return await self._noted(request, token, token)

    async def _noted(self, request: web.Request, name: str, user: str) -> web.StreamResponse:
        dropped = await self._meet_fault(self._notes, name, "apprise")
        body = await self._body(request, self._notes, name)
        if user in _REFUSED_NAMES:
            self._refuse(self._notes, name, "note", 401, "who are you?")
        try:
            content = json.loads(body)
            title, text = str(content.get("title") or ""), str(content["message"])
        except (ValueError, KeyError, AttributeError):
            self._refuse(self._notes, name, "note", 400, "no message in the body")
        outcome, status = ("dropped", 0) if dropped else ("accepted", 200)
        self._notes.write(name, "note", outcome, status, None, title=title, text=text)
        return drop(request) if dropped else web.json_response({"id": 1})

    def _forged(self, request: web.Request, identity: str, body: bytes) -> str | None:
        """What is wrong with the signature, None when nothing is."""
        timestamp = request.headers.get("webhook-timestamp", "")
        if not identity or not timestamp.isdecimal():
            return "no webhook-id or webhook-timestamp"
        if abs(time.time() - int(timestamp)) > _TOLERANCE:
            return "signed too long ago, or ahead of time"
        ours = signature(self._key, identity, int(timestamp), body).encode()
        theirs = request.headers.get("webhook-signature", "").encode().split(b" ")
        return None if any(hmac.compare_digest(ours, one) for one in theirs) else "no signature matches"

    async def _body(self, request: web.Request, book: Book, name: str) -> bytes:
        body = await request.read()
        if len(body) > BODY_OCTETS:
            self._refuse(book, name, "call", 413, f"more than {BODY_OCTETS} bytes")
        return body

    async def _meet_fault(self, book: Book, name: str, provider: str) -> bool:
        """Whether to take it and then drop the connection; raises or hangs for the other faults."""
        fault = self._faults.take(provider)
        if fault is None:
            return False
        if fault.kind == "drop":
            return True
        status, reason = _FAULTS.get(fault.kind, (0, "no answer"))
        kind, outcome = ("refuse", "refused") if fault.kind == "refuse" else (fault.kind, "deferred")
        book.write(name, kind, outcome, status, reason)
        if fault.kind == "hang":
            await hang()
        raise _answer(status, reason, fault.retry_after if fault.kind != "refuse" else None)

    def _refuse(self, book: Book, name: str, kind: str, status: int, reason: str) -> NoReturn:
        book.write(name, kind, "refused", status, reason)
        raise _answer(status, reason)


def _user(request: web.Request) -> str:
    """The user name of Basic credentials, empty without."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(given).decode().partition(":")[0]
    except ValueError:
        return ""


def _answer(status: int, reason: str, retry_after: int | None = None) -> web.HTTPException:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return refused(status, {"error": reason}, headers)
