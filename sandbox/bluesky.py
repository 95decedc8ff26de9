"""A Bluesky account server (the com.atproto XRPC methods), as far as posting and withdrawing go."""

import asyncio
import json
import time
from typing import Any
from urllib.parse import quote

from aiohttp import web

from sandbox import bluesky_records as records
from sandbox.faults import Faults
from sandbox.journal import Line
from sandbox.options import Options
from sandbox.pictures import Pictures
from sandbox.statuses import Statuses
from sandbox.wire import bearer, drop, hang, refused

_ACCESS_SECONDS, _REFRESH_SECONDS = 2 * 3600.0, 60 * 24 * 3600.0
_FAULTS = {
    "throttle": (429, "RateLimitExceeded", "Rate Limit Exceeded"),
    "refuse": (400, "InvalidRequest", "Refused by the operator"),
    "error": (503, "NotEnoughResources", "Not Enough Resources"),
}


class Bluesky:
    """The handlers under /bluesky. Any handle is an account, whose password is anything but ``wrong`` or ``expired``;
    with the password ``expiring``, the first access token has expired already."""

    def __init__(self, options: Options, faults: Faults, statuses: Statuses, pictures: Pictures) -> None:
        self._options = options
        self._faults = faults
        self._statuses = statuses
        self._pictures = pictures
        self._blobs: dict[str, Line] = {}

    def routes(self) -> list[web.RouteDef]:
        """For the application."""
        server, repo = "/bluesky/xrpc/com.atproto.server", "/bluesky/xrpc/com.atproto.repo"
        return [
            web.get(f"{server}.describeServer", self.describe),
            web.post(f"{server}.createSession", self.log_in),
            web.post(f"{server}.refreshSession", self.refresh),
            web.get(f"{server}.getSession", self.me),
            web.post(f"{repo}.uploadBlob", self.upload),
            web.post(f"{repo}.putRecord", self.put),
            web.post(f"{repo}.createRecord", self.create),
            web.post(f"{repo}.deleteRecord", self.delete),
            web.get(f"{repo}.getRecord", self.get),
            web.get(f"{repo}.listRecords", self.list_records),
            web.get("/bluesky/xrpc/{method}", self.other),
            web.post("/bluesky/xrpc/{method}", self.other),
            web.get("/bluesky/profile/{handle}/post/{key}", self.page),
        ]

    async def describe(self, request: web.Request) -> web.Response:
        """GET com.atproto.server.describeServer."""
        answer = {
            "did": "did:web:bluesky.sandbox.example",
            "availableUserDomains": [".sandbox.example"],
            "inviteCodeRequired": False,
            "blobUploadLimit": records.BLOB_OCTETS,
            "links": {},
            "contact": {},
        }
        return web.json_response(answer)

    async def log_in(self, request: web.Request) -> web.Response:
        """POST com.atproto.server.createSession."""
        asked = await _posted(request)
        handle, password = str(asked.get("identifier", "")).lower(), str(asked.get("password", ""))
        if not records.is_handle(handle) or password in ("", "wrong", "expired"):
            raise _error(401, "AuthenticationRequired", "Invalid identifier or password")
        return web.json_response(_session(handle, 0.0 if password == "expiring" else _ACCESS_SECONDS))

    async def refresh(self, request: web.Request) -> web.Response:
        """POST com.atproto.server.refreshSession."""
        return web.json_response(_session(_holder(request, "refresh"), _ACCESS_SECONDS))

    async def me(self, request: web.Request) -> web.Response:
        """GET com.atproto.server.getSession."""
        handle = _holder(request, "access")
        return web.json_response({"handle": handle, "did": records.did(handle), "active": True})

    async def upload(self, request: web.Request) -> web.Response:
        """POST com.atproto.repo.uploadBlob. A restart forgets what no post shows."""
        _holder(request, "access")
        content = await request.read()
        if len(content) > records.BLOB_OCTETS:
            raise _error(413, "PayloadTooLarge", "request entity too large")
        try:
            kept = self._pictures.keep(content, "")
        except ValueError as error:
            raise _error(400, "InvalidMimeType", str(error)) from error
        cid = records.blob_cid(content)
        self._blobs[cid] = kept
        blob = {"$type": "blob", "ref": {"$link": cid}, "mimeType": kept["media_type"], "size": kept["octets"]}
        return web.json_response({"blob": blob})

    async def put(self, request: web.Request) -> web.StreamResponse:
        """POST com.atproto.repo.putRecord: the same record again changes nothing."""
        return await self._write(request, keyed=True)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST com.atproto.repo.createRecord."""
        return await self._write(request, keyed=False)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """POST com.atproto.repo.deleteRecord; what is not there is no error."""
        handle, asked = await self._asked(request)
        dropped = await self._meet_fault(handle, "delete")
        line = self._statuses.get(_identity(handle, str(asked.get("rkey"))))
        if line is not None:
            self._statuses.delete(line)
        await self._wait()
        return drop(request) if dropped else web.json_response({})

    async def get(self, request: web.Request) -> web.Response:
        """GET com.atproto.repo.getRecord; public, as records are."""
        handle = self._repository(request)
        key = request.query.get("rkey", "")
        line = self._statuses.get(_identity(handle, key)) if handle else None
        if line is None:
            raise _error(400, "RecordNotFound", f"Could not locate record: {key}")
        return web.json_response(_record(line))

    async def list_records(self, request: web.Request) -> web.Response:
        """GET com.atproto.repo.listRecords with limit and cursor, the newest key first."""
        handle = self._repository(request)
        if handle is None:
            raise _error(400, "InvalidRequest", f"Could not find repo: {request.query.get('repo')}")
        limit, before = request.query.get("limit", "50"), request.query.get("cursor")
        if not limit.isdecimal() or not 1 <= int(limit) <= 100:
            raise _error(400, "InvalidRequest", "limit must be between 1 and 100")
        lines = (self._statuses.line(offset) for _, offset, gone in self._statuses.places() if not gone)
        own = sorted((line["rkey"], line) for line in lines if line["handle"] == handle)[::-1]
        chosen = [line for key, line in own if before is None or key < before][: int(limit)]
        cursor = {"cursor": chosen[-1]["rkey"]} if chosen else {}
        return web.json_response({"records": [_record(line) for line in chosen], **cursor})

    async def other(self, request: web.Request) -> web.Response:
        """Any other method."""
        raise _error(501, "MethodNotImplemented", "Method Not Implemented")

    async def page(self, request: web.Request) -> web.Response:
        """GET /bluesky/profile/{handle}/post/{key}: where bsky.app has a post's page."""
        identity = _identity(request.match_info["handle"], request.match_info["key"])
        raise web.HTTPFound(f"/wall/bluesky/{quote(identity)}")

    async def _write(self, request: web.Request, *, keyed: bool) -> web.StreamResponse:
        handle, asked = await self._asked(request)
        dropped = await self._meet_fault(handle, "create")
        key, record = (asked.get("rkey") if keyed else records.new_key()), asked.get("record")
        reason = records.fault(key, record)
        if reason is not None:
            raise self._refused(handle, "InvalidRequest", reason)
        line = self._stored(handle, str(key), record, asked, dropped)
        await self._wait()
        answer = {"uri": _uri(line), "cid": line["cid"], "validationStatus": "valid"}
        return drop(request) if dropped else web.json_response(answer)

    def _stored(self, handle: str, key: str, record: Any, asked: Line, dropped: bool) -> Line:
        account, identity, cid = records.account(handle), _identity(handle, key), records.record_cid(record)
        standing = self._statuses.get(identity)
        if standing is not None and standing["cid"] == cid:
            self._statuses.record(account, "create", "replayed", 200, None, id=identity)
            return standing
        swap = asked.get("swapRecord", "any")
        if swap != "any" and swap != (standing and standing["cid"]):
            raise self._refused(handle, "InvalidSwap", f"Record was at {standing and standing['cid']}")
        post = {
            "text": record["text"],
            "language": next(iter(record.get("langs", [])), None),
            "in_reply_to_id": record["reply"]["parent"]["uri"] if "reply" in record else None,
            "pictures": self._shown(handle, record),
            "handle": handle,
            "rkey": key,
            "cid": cid,
            "record": record,
        }
        try:
            if standing is not None:
                return self._statuses.edit(standing, post)
            return self._statuses.create(account, post, None, dropped, identity=identity)
        except OSError as error:
            raise _error(503, "NotEnoughResources", f"The journal could not be written: {error}") from error

    def _shown(self, handle: str, record: Line) -> list[Line]:
        shown = []
        for image in record.get("embed", {}).get("images", []):
            cid = image["image"]["ref"]["$link"]
            if cid not in self._blobs:
                raise self._refused(handle, "BlobNotFound", f"Could not find blob: {cid}")
            shown.append({**self._blobs[cid], "alt": image["alt"]})
        return shown

    def _refused(self, handle: str, name: str, reason: str) -> web.HTTPException:
        self._statuses.record(records.account(handle), "create", "refused", 400, reason)
        return _error(400, name, reason)

    async def _asked(self, request: web.Request) -> tuple[str, Line]:
        """Who asks, and the input of a method that changes the account's own repository."""
        handle = _holder(request, "access")
        asked = await _posted(request)
        if asked.get("repo") not in (handle, records.did(handle)):
            raise _error(401, "AuthenticationRequired", "Authentication Required")
        if asked.get("collection") != records.COLLECTION:
            raise _error(400, "InvalidRequest", f"the sandbox keeps {records.COLLECTION} only")
        return handle, asked

    async def _meet_fault(self, handle: str, kind: str) -> bool:
        """Whether to work and then drop; raises or hangs for the other faults."""
        fault = self._faults.take("bluesky")
        if fault is None:
            return False
        if fault.kind == "drop":
            return True
        status, name, message = _FAULTS.get(fault.kind, (0, "", "no answer"))
        outcome = "refused" if fault.kind == "refuse" else "deferred"
        self._statuses.record(records.account(handle), kind, outcome, status, message)
        if fault.kind == "hang":
            await hang()
        limits = {
            "RateLimit-Limit": "5000",
            "RateLimit-Remaining": "0",
            "RateLimit-Reset": str(int(time.time()) + fault.retry_after),
            "RateLimit-Policy": "5000;w=3600",
            "Retry-After": str(fault.retry_after),
        }
        raise _error(status, name, message, limits if fault.kind == "throttle" else None)

    def _repository(self, request: web.Request) -> str | None:
        """The handle of an account that ever posted, named by handle or DID."""
        asked = request.query.get("repo", "")
        handles = {self._statuses.line(offset)["handle"] for _, offset, _ in self._statuses.places()}
        return next((handle for handle in handles if asked in (handle, records.did(handle))), None)

    async def _wait(self) -> None:
        if self._options.latency:
            await asyncio.sleep(self._options.latency)


def _session(handle: str, access_seconds: float) -> Line:
    return {
        "accessJwt": records.token("access", handle, access_seconds),
        "refreshJwt": records.token("refresh", handle, _REFRESH_SECONDS),
        "handle": handle,
        "did": records.did(handle),
        "active": True,
    }


def _holder(request: web.Request, kind: str) -> str:
    token = bearer(request)
    if token is None:
        raise _error(401, "AuthMissing", "Authentication Required")
    try:
        handle, expired = records.holder(kind, token)
    except ValueError as error:
        raise _error(400, "InvalidToken", str(error)) from error
    if expired:
        raise _error(400, "ExpiredToken", "Token has expired")
    return handle


def _identity(handle: str, key: str) -> str:
    return f"{handle}/{key}"


def _uri(line: Line) -> str:
    return f"at://{records.did(line['handle'])}/{records.COLLECTION}/{line['rkey']}"


def _record(line: Line) -> Line:
    return {"uri": _uri(line), "cid": line["cid"], "value": line["record"]}


async def _posted(request: web.Request) -> Line:
    try:
        asked = json.loads(await request.read())
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise _error(400, "InvalidRequest", "Request body is not valid JSON")
    return asked


def _error(status: int, name: str, message: str, headers: dict[str, str] | None = None) -> web.HTTPException:
    """``{"error", "message"}`` as an exception that aiohttp turns into the response."""
    return refused(status, {"error": name, "message": message}, headers)
