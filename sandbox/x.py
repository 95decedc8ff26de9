"""The API of X, version 2, as far as posting, finding and withdrawing go.

Written from docs.x.com (Posts, Media, Users, "Rate limits", "Response codes and errors"), with bodies of errors as
its users reported them. An account is named by its token: ``token-NAME`` or, as X has them, ``NUMBER-NAME``; a
bearer token is taken as it is, a signed request (OAuth 1.0a) when it is signed with ``secret-`` and the
application's key, and ``secret-`` and the token. ``wrong`` and ``expired`` are refused as X does; accounts whose
names begin with ``unread`` have a plan that may post but not read.
"""

import asyncio
import hashlib
import hmac
import json
import math
import re
import time
from collections import defaultdict
from datetime import datetime
from typing import Any

from aiohttp import web

from sandbox import entities
from sandbox.faults import Fault, Faults
from sandbox.journal import Line
from sandbox.options import Options
from sandbox.pictures import Pictures
from sandbox.statuses import Statuses
from sandbox.wire import bearer, drop, hang, refused
from sandbox.x_entities import MAX_WEIGHT, shown, signature, signed_with, weight
from sandbox.x_problems import NOT_ENROLLED, invalid, missing, numbered, problem

_TOKEN = re.compile(r"(?:token-|(?P<number>\d+)-)?(?P<name>.*)")
_USERNAME = re.compile(r"[a-z0-9_]{1,30}")
_EPOCH = 1_288_834_974_657
_CLOCK_SKEW = 300
_QUARTER, _DAY = 900.0, 86_400.0
_DAY_LIMIT = 30_000
_RECENT = 200  # posts of an account whose texts X does not take again
_MAX_PICTURE = 5_242_880
_MAX_ALT = 1000


class X:
    """The handlers under /x."""

    def __init__(self, options: Options, faults: Faults, statuses: Statuses, pictures: Pictures) -> None:
        self._options = options
        self._faults = faults
        self._statuses = statuses
        self._pictures = pictures
        self._media: dict[str, tuple[str, bytes, str]] = {}
        self._used: dict[tuple[str, str], tuple[float, int]] = {}
        self._said: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
        self._last = 0
        for _, offset, gone in statuses.places():
            line = statuses.line(offset)
            self._last = max(self._last, int(line["id"]))
            if not gone:
                self._remember(line)

    def routes(self) -> list[web.RouteDef]:
        """For the application."""
        return [
            web.post("/x/2/tweets", self.create),
            web.delete(r"/x/2/tweets/{id:\d+}", self.delete),
            web.get("/x/2/users/me", self.me),
            web.get(r"/x/2/users/{id:\d+}/tweets", self.of_account),
            web.post("/x/2/media/upload", self.upload),
            web.post("/x/2/media/metadata", self.describe),
            web.get(r"/x/i/web/status/{id:\d+}", self.page),
        ]

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST /2/tweets."""
        account = self._account(request)
        headers = self._spend(account, "create")
        dropped = await self._meet_fault(account, "create", headers)
        post = await self._posted(request, account, headers)
        digest = _digest(post["text"])
        if digest in self._said[account].values():
            raise self._refused(account, 403, "You are not allowed to create a Tweet with duplicate content.", headers)
        try:
            line = self._statuses.create(account, post, None, dropped, identity=self._number())
        except OSError as fault:
            raise problem(503, f"The journal could not be written: {fault}", headers) from fault
        self._remember(line)
        await self._wait()
        if dropped:
            return drop(request)
        text, _ = shown(line, _site(request))
        made = {"id": line["id"], "text": text, "edit_history_tweet_ids": [line["id"]]}
        return web.json_response({"data": made}, status=201, headers=headers)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """DELETE /2/tweets/{id}, by its author."""
        account = self._account(request)
        headers = self._spend(account, "delete")
        dropped = await self._meet_fault(account, "delete", headers)
        identity = request.match_info["id"]
        line = self._statuses.get(identity)
        if line is None:
            raise missing(identity)
        if line["account"] != account:
            raise numbered(403, 183, "You may not delete another user's status.")
        self._statuses.delete(line)
        self._said[account].pop(identity, None)
        await self._wait()
        return drop(request) if dropped else web.json_response({"data": {"deleted": True}}, headers=headers)

    async def me(self, request: web.Request) -> web.Response:
        """GET /2/users/me."""
        account = self._account(request)
        number = _number_of(request) or entities.account_id(account)
        found = {"id": number, "name": account.replace("_", " ").title(), "username": account}
        return web.json_response(
            {"data": found}, headers=self._spend(account, "read") | {"x-access-level": "read-write"}
        )

    async def of_account(self, request: web.Request) -> web.Response:
        """GET /2/users/{id}/tweets with max_results, start_time, pagination_token; of the token's own account."""
        account = self._account(request)
        if account.startswith("unread"):
            raise refused(403, NOT_ENROLLED)
        if request.match_info["id"] not in (entities.account_id(account), _number_of(request)):
            raise missing(request.match_info["id"])
        query = request.query
        size, after = query.get("max_results", "10"), query.get("pagination_token")
        if not (size.isdecimal() and 5 <= int(size) <= 100) or (after and not after.isdecimal()):
            raise invalid(
                "max_results", size, f"The `max_results` query parameter value [{size}] is not between 5 and 100"
            )
        since = self._since(query.get("start_time"))
        lines = self._statuses.of_account(account, int(size) + 1, after, None)
        lines = [line for line in lines if since is None or datetime.fromisoformat(line["created_at"]) >= since]
        page = lines[: int(size)]
        meta: dict[str, Any] = {"result_count": len(page)}
        if page:
            meta |= {"newest_id": page[0]["id"], "oldest_id": page[-1]["id"]}
        if len(lines) > len(page):
            meta["next_token"] = page[-1]["id"]
        found = {"data": [_tweet(line, request) for line in page]} if page else {}
        return web.json_response(found | {"meta": meta}, headers=self._spend(account, "read"))

    async def upload(self, request: web.Request) -> web.Response:
        """POST /2/media/upload: one picture, in a form."""
        account = self._account(request)
        form = await request.post()
        field = form.get("media")
        if not isinstance(field, web.FileField) or form.get("media_category") != "tweet_image":
            raise invalid("media", "", "a picture and the media_category tweet_image are needed")
        content = field.file.read()
        if len(content) > _MAX_PICTURE:
            raise problem(400, f"File size exceeds {_MAX_PICTURE} bytes.", {})
        try:
            self._pictures.keep(content, "")
        except ValueError as fault:
            raise problem(400, f"media type unrecognized: {fault}", {}) from fault
        identity = self._number()
        self._media[identity] = (account, content, "")
        made = {"id": identity, "media_key": f"3_{identity}", "size": len(content), "expires_after_secs": 86_400}
        return web.json_response({"data": made}, headers=self._spend(account, "read"))

    async def describe(self, request: web.Request) -> web.Response:
        """POST /2/media/metadata: a picture's description."""
        account = self._account(request)
        asked = await _json(request)
        identity = str(asked.get("id"))
        alt = str(((asked.get("metadata") or {}).get("alt_text") or {}).get("text") or "")
        owner, content, _ = self._media.get(identity, ("", b"", ""))
        if owner != account:
            raise missing(identity)
        if not 0 < len(alt) <= _MAX_ALT:
            raise invalid("metadata.alt_text.text", alt[:20], f"must have 1 to {_MAX_ALT} characters")
        self._media[identity] = (account, content, alt)
        made = {"id": identity, "associated_metadata": {"alt_text": {"text": alt}}}
        return web.json_response({"data": made}, headers=self._spend(account, "read"))

    async def page(self, request: web.Request) -> web.Response:
        """GET /i/web/status/{id}: where X's readers see it, here the wall."""
        raise web.HTTPFound(f"/wall/x/{request.match_info['id']}")

    def _account(self, request: web.Request) -> str:
        token = bearer(request) or self._signer(request)
        if token is None or token.endswith("wrong"):
            raise problem(401, "Unauthorized", {})
        if token.endswith("expired"):
            raise numbered(401, 89, "Invalid or expired token.")
        return _name(token)

    def _signer(self, request: web.Request) -> str | None:
        header = request.headers.get("Authorization", "")
        if not header.startswith("OAuth "):
            return None
        given = signed_with(header)
        token = given.get("oauth_token", "")
        if token.endswith(("wrong", "expired")):
            return token
        stamp = given.get("oauth_timestamp", "")
        if not stamp.isdecimal() or abs(int(stamp) - time.time()) > _CLOCK_SKEW:
            raise numbered(401, 135, "Timestamp out of bounds.")
        url = f"http://{request.host}{request.rel_url.raw_path}"
        secrets = (f"secret-{given.get('oauth_consumer_key')}", f"secret-{token}")
        wanted = signature(request.method, url, request.rel_url.raw_query_string, given, secrets)
        if not hmac.compare_digest(wanted.encode(), given.get("oauth_signature", "").encode()):
            raise numbered(401, 32, "Could not authenticate you.")
        return token

    def _spend(self, account: str, kind: str) -> dict[str, str]:
        """The headers of limits after this request; raises the 429 when nothing was left."""
        clock, over = time.time(), False
        headers: dict[str, str] = {}
        quarter = self._options.rate_period or _QUARTER
        limits = [("x-rate-limit", quarter, self._options.x_rate_limit)]
        if kind == "create":
            limits.append(("x-user-limit-24hour", _DAY, _DAY_LIMIT))
        for name, seconds, limit in limits:
            ends, used = self._used.get((f"{account}/{kind}", name), (0.0, 0))
            if ends <= clock:
                ends, used = float(math.ceil(clock + seconds)), 0  # a whole second, as its header can say no other
            self._used[f"{account}/{kind}", name] = (ends, used + 1)
            over = over or used >= limit
            headers |= _limits(name, limit, max(0, limit - used - 1), ends)
        if over:
            if kind != "read":
                self._statuses.record(account, kind, "deferred", 429, "Too Many Requests")
            raise problem(429, "Too Many Requests", headers)
        return headers

    async def _meet_fault(self, account: str, kind: str, headers: dict[str, str]) -> bool:
        """Whether to work and then drop; raises or hangs for the other faults."""
        fault = self._faults.take("x")
        if fault is None:
            return False
        if fault.kind == "drop":
            return True
        refused = fault.kind == "refuse"
        status = {"throttle": 429, "refuse": 400, "error": 503}.get(fault.kind, 0)
        self._statuses.record(account, kind, "refused" if refused else "deferred", status, fault.kind)
        raise await _fault(fault, headers)

    async def _posted(self, request: web.Request, account: str, headers: dict[str, str]) -> Line:
        """The post asked for; journals and raises what X says of one it doesn't take."""
        asked = await _json(request)
        text = str(asked.get("text") or "")
        reply = (asked.get("reply") or {}).get("in_reply_to_tweet_id")
        media = (asked.get("media") or {}).get("media_ids") or []
        if not text.strip() and not media:
            self._statuses.record(account, "create", "refused", 400, "no text")
            raise invalid("text", "", "One of text, media or poll is required")
        if weight(text) > MAX_WEIGHT:
            words = "Your Tweet text is too long. For more information on how Twitter determines text length see "
            raise self._refused(account, 400, words + "https://github.com/twitter/twitter-text.", headers)
        if reply and self._statuses.get(str(reply)) is None:
            words = "You attempted to reply to a Tweet that is deleted or not visible to you."
            raise self._refused(account, 403, words, headers)
        if len(media) > 4 or any(self._media.get(str(one), ("",))[0] != account for one in media):
            self._statuses.record(account, "create", "refused", 400, "media")
            raise invalid("media.media_ids", ",".join(map(str, media)), "Your media IDs are invalid.")
        kept = [self._pictures.keep(content, alt) for _, content, alt in (self._media[str(one)] for one in media)]
        return {"text": text, "in_reply_to_id": str(reply) if reply else None, "pictures": kept}

    def _refused(self, account: str, status: int, words: str, headers: dict[str, str]) -> web.HTTPException:
        self._statuses.record(account, "create", "refused", status, words)
        return problem(status, words, headers)

    def _since(self, given: str | None) -> datetime | None:
        if given is None:
            return None
        try:
            since = datetime.fromisoformat(given)
        except ValueError:
            raise invalid("start_time", given, "'start_time' is no time") from None
        if since.timestamp() > time.time() or since.year < 2010:
            raise invalid("start_time", given, "Invalid 'start_time'. 'start_time' must be before now, and after 2010.")
        return since

    def _remember(self, line: Line) -> None:
        said = self._said[line["account"]]
        said[line["id"]] = _digest(line["text"])
        if len(said) > _RECENT:
            del said[next(iter(said))]

    def _number(self) -> str:
        """A number that says when it was made, as X's do, and grows."""
        self._last = max((int(time.time() * 1000) - _EPOCH) << 22, self._last + 1)
        return str(self._last)

    async def _wait(self) -> None:
        if self._options.latency:
            await asyncio.sleep(self._options.latency)


def _tweet(line: Line, request: web.Request) -> Line:
    text, urls = shown(line, _site(request))
    made = datetime.fromisoformat(line["created_at"]).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    found = {"id": line["id"], "text": text, "created_at": made, "edit_history_tweet_ids": [line["id"]]}
    return found | ({"entities": {"urls": urls}} if urls else {})


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        asked = json.loads(await request.read())
    except ValueError:
        raise problem(400, "Requests with bodies must have content-type of application/json.", {}) from None
    if not isinstance(asked, dict):
        raise problem(400, "Requests with bodies must have content-type of application/json.", {})
    return asked


async def _fault(fault: Fault, headers: dict[str, str]) -> web.HTTPException:
    if fault.kind == "hang":
        await hang()
    if fault.kind == "throttle":
        ends = time.time() + fault.retry_after
        limit = int(headers["x-rate-limit-limit"])
        return problem(429, "Too Many Requests", headers | _limits("x-rate-limit", limit, 0, ends))
    if fault.kind == "refuse":
        return invalid("text", "", "refused by the operator")
    return problem(503, "Service Unavailable", headers)


def _name(token: str) -> str:
    """The account of a token: what follows ``token-`` or a number, when that is a user name."""
    found = _TOKEN.fullmatch(token)
    name = found["name"].lower().replace("-", "_") if found else ""
    return name if _USERNAME.fullmatch(name) else "compte_" + hashlib.blake2b(token.encode()).hexdigest()[:8]


def _number_of(request: web.Request) -> str | None:
    """The account's number, where its token says one."""
    token = bearer(request) or signed_with(request.headers.get("Authorization", "")).get("oauth_token", "")
    found = _TOKEN.fullmatch(token)
    return found["number"] if found else None


def _digest(text: str) -> bytes:
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=16).digest()


def _site(request: web.Request) -> str:
    return f"http://{request.host}/x"


def _limits(name: str, limit: int, remaining: int, ends: float) -> dict[str, str]:
    return {f"{name}-limit": str(limit), f"{name}-remaining": str(remaining), f"{name}-reset": str(int(ends))}
