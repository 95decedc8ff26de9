"""The Mastodon API (docs.joinmastodon.org/methods), as far as posting, editing and withdrawing go."""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from sandbox import entities
from sandbox.attachments import Attachments, Refused
from sandbox.faults import Faults
from sandbox.journal import Line
from sandbox.options import Options
from sandbox.pictures import Pictures
from sandbox.statuses import Statuses
from sandbox.wire import bearer, drop, hang, refused

_PERIOD = 300.0
_USERNAME = re.compile(r"[a-z0-9_]{1,30}")
_VISIBILITIES = ("public", "unlisted", "private", "direct")
_FAULTS = {
    "throttle": (429, "Too many requests"),
    "refuse": (422, "Validation failed: refused by the operator"),
    "error": (503, "Service unavailable"),
}


class Mastodon:
    """The handlers under /api. Any token is an account; ``wrong`` and ``expired`` are refused.

    Faults: "mastodon" for posts, edits and deletions, "mastodon_media" for uploads.
    """

    def __init__(self, options: Options, faults: Faults, statuses: Statuses, pictures: Pictures) -> None:
        self._options = options
        self._faults = faults
        self._statuses = statuses
        self._media = Attachments(pictures, options.media_delay)
        self._periods: dict[str, tuple[float, int]] = {}

    def routes(self) -> list[web.RouteDef]:
        """For the application."""
        return [
            web.post("/api/v1/statuses", self.create),
            web.get("/api/v1/statuses/{id}", self.show),
            web.get("/api/v1/statuses/{id}/source", self.source),
            web.put("/api/v1/statuses/{id}", self.edit),
            web.delete("/api/v1/statuses/{id}", self.delete),
            web.post("/api/v2/media", self.upload),
            web.get("/api/v1/media/{id}", self.media),
            web.get("/api/v1/accounts/verify_credentials", self.me),
            web.get("/api/v1/apps/verify_credentials", self.application),
            web.get("/api/v1/accounts/{id}/statuses", self.of_account),
            # Mastodon.py asks with a slash at the end, which Rails does not mind
            web.get(r"/api/v1/instance{slash:/?}", self.instance_v1),
            web.get(r"/api/v2/instance{slash:/?}", self.instance_v2),
        ]

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST /api/v1/statuses."""
        account = self._account(request)
        headers = self._spend(account, "create")
        dropped = await self._meet_fault(account, "create", headers)
        fields = await _fields(request)
        key = request.headers.get("Idempotency-Key")
        post = _posted(fields)
        self._check(account, "create", post, headers)
        post["pictures"] = self._wanted(account, "create", fields, headers)
        try:
            line = self._statuses.create(account, post, key, dropped)
        except OSError as error:
            raise _error(503, f"The journal could not be written: {error}", headers) from error
        self._media.attach(line.get("pictures") or [], line["id"])  # a replayed post keeps those that it has
        await self._wait()
        return drop(request) if dropped else self._status(request, line, headers)

    async def show(self, request: web.Request) -> web.Response:
        """GET /api/v1/statuses/{id}; public, as statuses are."""
        return self._status(request, self._found(request), {})

    async def source(self, request: web.Request) -> web.Response:
        """GET /api/v1/statuses/{id}/source: the text as it was sent, for its author."""
        line = self._found(request, self._account(request))
        found = {"id": line["id"], "text": line["text"], "spoiler_text": line["spoiler_text"]}
        return web.json_response(found)

    async def edit(self, request: web.Request) -> web.StreamResponse:
        """PUT /api/v1/statuses/{id}, by its author."""
        account = self._account(request)
        headers = self._spend(account, "edit")
        dropped = await self._meet_fault(account, "edit", headers)
        fields = await _fields(request)
        first = self._found(request, account)
        post = {name: value for name, value in _posted(fields).items() if name not in ("visibility", "in_reply_to_id")}
        self._check(account, "edit", post | {"visibility": "public", "in_reply_to_id": None}, headers)
        post["pictures"] = self._wanted(account, "edit", fields, headers, first.get("pictures") or [])
        if all(first.get(name, []) == value for name, value in post.items()):
            # what changes nothing is no edit, and readers are told of none
            self._statuses.record(account, "edit", "replayed", 200, None, id=first["id"])
            line = first
        else:
            line = self._statuses.edit(first, post)
        self._media.attach(post["pictures"], line["id"])
        await self._wait()
        return drop(request) if dropped else self._status(request, line, headers)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """DELETE /api/v1/statuses/{id}, by its author; answers with the status and its source text."""
        account = self._account(request)
        headers = self._spend(account, "delete")
        dropped = await self._meet_fault(account, "delete", headers)
        line = self._found(request, account)
        self._statuses.delete(line)
        await self._wait()
        entity = entities.status(line, _base(request), self._author(request, account)) | {"text": line["text"]}
        return drop(request) if dropped else web.json_response(entity, headers=headers)

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """POST /api/v2/media: 202 while it is being processed."""
        account = self._account(request)
        headers = self._spend(account, "read")
        dropped = await self._meet_fault(account, "upload", headers, "mastodon_media")
        try:
            picture = await self._media.take(request, account)
        except Refused as error:
            raise _error(422, str(error), headers) from error
        if dropped:
            return drop(request)
        processed = self._media.processed(picture["media_id"])
        entity = entities.attachment(picture, _base(request), processed=processed)
        return web.json_response(entity, status=200 if processed else 202, headers=headers)

    async def media(self, request: web.Request) -> web.Response:
        """GET /api/v1/media/{id}: 206 while it is being processed, 404 once a post has taken it."""
        account = self._account(request)
        headers = self._spend(account, "read")
        picture = self._media.free(request.match_info["id"], account)
        if picture is None:
            raise _error(404, "Record not found", headers)
        processed = self._media.processed(picture["media_id"])
        entity = entities.attachment(picture, _base(request), processed=processed)
        return web.json_response(entity, status=200 if processed else 206, headers=headers)

    async def application(self, request: web.Request) -> web.Response:
        """GET /api/v1/apps/verify_credentials."""
        self._account(request)
        return web.json_response({"name": "sandbox", "website": None, "scopes": ["read", "write"]})

    async def me(self, request: web.Request) -> web.Response:
        """GET /api/v1/accounts/verify_credentials."""
        account = self._account(request)
        headers = self._spend(account, "read")
        source = {
            "privacy": "public",
            "sensitive": False,
            "language": "fr",
            "note": "",
            "fields": [],
            "follow_requests_count": 0,
        }
        return web.json_response(self._author(request, account) | {"source": source}, headers=headers)

    async def of_account(self, request: web.Request) -> web.Response:
        """GET /api/v1/accounts/{id}/statuses with limit, max_id, since_id, min_id."""
        names = self._statuses.accounts()
        token = bearer(request)
        if token is not None:
            names.add(_name(token))
        account = next((name for name in names if entities.account_id(name) == request.match_info["id"]), None)
        if account is None:
            raise _error(404, "Record not found")
        bounds = [request.query.get(name) for name in ("max_id", "since_id", "min_id")]
        limit = request.query.get("limit", "20")
        if not limit.isdecimal() or any(bound and not bound.isdecimal() for bound in bounds):
            raise _error(400, "limit, max_id, since_id and min_id are numbers")
        author = self._author(request, account)
        lines = self._statuses.of_account(account, max(1, min(40, int(limit))), *bounds)
        return web.json_response([entities.status(line, _base(request), author) for line in lines])

    async def instance_v1(self, request: web.Request) -> web.Response:
        """GET /api/v1/instance."""
        return web.json_response(
            entities.instance_v1(_base(request), len(self._statuses.accounts()), self._statuses.count())
        )

    async def instance_v2(self, request: web.Request) -> web.Response:
        """GET /api/v2/instance."""
        return web.json_response(entities.instance_v2(_base(request), len(self._statuses.accounts())))

    def _account(self, request: web.Request) -> str:
        token = bearer(request)
        if token is None or token in ("wrong", "expired"):
            raise _error(401, "The access token is invalid")
        return _name(token)

    def _spend(self, account: str, kind: str) -> dict[str, str]:
        """The X-RateLimit headers after this request; raises the 429 when nothing was left."""
        clock, limit = time.time(), self._options.mastodon_rate_limit
        ends, used = self._periods.get(account, (0.0, 0))
        if ends <= clock:
            ends, used = clock + (self._options.rate_period or _PERIOD), 0
        self._periods[account] = (ends, used + 1)
        headers = _limits(limit, max(0, limit - used - 1), ends)
        if used >= limit:
            if kind != "read":
                self._statuses.record(account, kind, "deferred", 429, "Too many requests")
            raise _error(429, "Too many requests", headers)
        return headers

    async def _meet_fault(self, account: str, kind: str, headers: dict[str, str], provider: str = "mastodon") -> bool:
        """Whether to work and then drop; raises or hangs for the other faults."""
        fault = self._faults.take(provider)
        if fault is None:
            return False
        if fault.kind == "drop":
            return True
        status, message = _FAULTS.get(fault.kind, (0, "no answer"))
        outcome = "refused" if fault.kind == "refuse" else "deferred"
        self._statuses.record(account, kind, outcome, status, message)
        if fault.kind == "hang":
            await hang()
        if fault.kind == "throttle":
            headers = _limits(self._options.mastodon_rate_limit, 0, time.time() + fault.retry_after)
        elif fault.kind == "error":
            headers = headers | {"Retry-After": str(fault.retry_after)}
        raise _error(status, message, headers)

    def _check(self, account: str, kind: str, post: Line, headers: dict[str, str]) -> None:
        """Journal and raise the 422 of a post that Mastodon would not take."""
        reason = None
        if not post["text"].strip():
            reason = "Validation failed: Text can't be blank"
        elif entities.length(post["spoiler_text"] + post["text"]) > entities.MAX_CHARACTERS:
            reason = f"Validation failed: Text character limit of {entities.MAX_CHARACTERS} exceeded"
        elif post["visibility"] not in _VISIBILITIES:
            reason = "Validation failed: Visibility is not included in the list"
        elif post["in_reply_to_id"] and self._statuses.get(post["in_reply_to_id"]) is None:
            self._statuses.record(account, kind, "refused", 404, "in_reply_to_id is not known")
            raise _error(404, "The post you are trying to reply to does not appear to exist.", headers)
        if reason:
            self._statuses.record(account, kind, "refused", 422, reason)
            raise _error(422, reason, headers)

    def _wanted(
        self, account: str, kind: str, fields: Line, headers: dict[str, str], before: Sequence[Line] = ()
    ) -> list[Line]:
        """The pictures of a post; journals and raises the 422 of those that can't be attached."""
        try:
            return self._media.wanted(account, fields, before)
        except Refused as error:
            self._statuses.record(account, kind, "refused", 422, str(error))
            raise _error(422, str(error), headers) from error

    def _found(self, request: web.Request, account: str | None = None) -> Line:
        line = self._statuses.get(request.match_info["id"])
        if line is None or (account is not None and line["account"] != account):
            raise _error(404, "Record not found")
        return line

    def _author(self, request: web.Request, account: str) -> Line:
        return entities.account(account, _base(request), self._statuses.count_of(account))

    def _status(self, request: web.Request, line: Line, headers: dict[str, str]) -> web.Response:
        author = self._author(request, line["account"])
        return web.json_response(entities.status(line, _base(request), author), headers=headers)

    async def _wait(self) -> None:
        if self._options.latency:
            await asyncio.sleep(self._options.latency)


async def _fields(request: web.Request) -> dict[str, Any]:
    """What was posted, as a form or JSON."""
    if request.content_type == "application/json":
        try:
            fields = json.loads(await request.read())
        except ValueError:
            raise _error(400, "Error occurred while parsing request parameters") from None
        if not isinstance(fields, dict):
            raise _error(400, "Error occurred while parsing request parameters")
        return fields
    form = await request.post()
    return dict(form) | {"media_ids": form.getall("media_ids[]", [])}


def _posted(fields: dict[str, Any]) -> Line:
    """The fields of a post."""
    reply = fields.get("in_reply_to_id")
    warning = str(fields.get("spoiler_text") or "")
    return {
        "text": str(fields.get("status") or ""),
        "language": fields.get("language") or None,
        "visibility": str(fields.get("visibility") or "public"),
        "spoiler_text": warning,
        "sensitive": bool(warning) or str(fields.get("sensitive", "")).lower() in ("true", "1", "on"),
        "in_reply_to_id": str(reply) if reply else None,
    }


def _name(token: str) -> str:
    """The account of a token: what follows ``token-``, or the token, when that is a user name."""
    name = token.removeprefix("token-").lower().replace("-", "_")
    return name if _USERNAME.fullmatch(name) else "compte_" + hashlib.blake2b(token.encode()).hexdigest()[:8]


def _base(request: web.Request) -> str:
    return f"http://{request.host}"


def _limits(limit: int, remaining: int, ends: float) -> dict[str, str]:
    reset = datetime.fromtimestamp(ends, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": reset,
    }


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.HTTPException:
    """Mastodon's ``{"error": …}`` as an exception that aiohttp turns into the response."""
    return refused(status, {"error": message}, headers)
