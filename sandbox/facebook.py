"""The Graph API of Facebook pages, as far as posting, finding, editing and withdrawing go.

Written from developers.facebook.com/docs/pages-api/posts, …/graph-api/guides/error-handling and
…/graph-api/overview/rate-limiting. ``token-NAME-NUMBER`` is the token of page NUMBER, whose account is NAME; page 1
where there is no number. Refused as Facebook does: ``wrong``, ``expired``, ``password`` (changed since); ``user`` is
a person's token, and those of an account ``unread`` may not read their page.
"""

import json
import math
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from aiohttp import web

from sandbox.faults import Fault, Faults
from sandbox.journal import Line, now
from sandbox.options import Options
from sandbox.pictures import Pictures
from sandbox.statuses import Statuses
from sandbox.wire import bearer, drop, hang, refused

_TOKEN = re.compile(r"(?:token-)?(?P<name>.*?)(?:-(?P<page>\d+))?")
_MAX = 63_206
_MAX_PICTURE = 4_000_000
_PAGE = 25
_TOKENS: Mapping[str, tuple[int, int | None, str]] = {
    "wrong": (190, None, "Invalid OAuth access token - Cannot parse access token"),
    "expired": (
        190,
        463,
        "Error validating access token: Session has expired on Sunday, 22-Nov-26 08:00:00 PST. "
        "The current time is Tuesday, 24-Nov-26 00:00:00 PST.",
    ),
    "password": (
        190,
        460,
        "Error validating access token: The session has been invalidated because the user changed their password or "
        "Facebook has changed the session for security reasons.",
    ),
}
_GONE = (
    "Unsupported {method} request. Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, "
    "or does not support this operation. Please read the Graph API documentation at "
    "https://developers.facebook.com/docs/graph-api"
)
_TRANSIENT = frozenset({2, 4, 17, 32, 613, 80001})


class Facebook:
    """The handlers under /facebook/v…"""

    def __init__(self, options: Options, faults: Faults, statuses: Statuses, pictures: Pictures) -> None:
        self._options = options
        self._faults = faults
        self._statuses = statuses
        self._pictures = pictures
        self._photos: dict[str, tuple[str, Line]] = {}
        self._by_page: defaultdict[str, list[str]] = defaultdict(list)
        for _, offset, _ in statuses.places():
            identity = statuses.line(offset)["id"]
            self._by_page[identity.partition("_")[0]].append(identity)
        self._last = 0

    def routes(self) -> list[web.RouteDef]:
        """For the application."""
        base = r"/facebook/{version:v\d+\.\d+}"
        return [
            web.get(f"{base}/me", self.me),
            web.post(base + r"/{page:\d+}/feed", self.create),
            web.post(base + r"/{page:\d+}/photos", self.upload),
            web.get(base + r"/{page:\d+}/{edge:feed|posts|published_posts}", self.posts),
            web.get(base + r"/{page:\d+}", self.show_page),
            # Meta's own Python library asks with a slash at the end
            web.get(base + r"/{id:\d+_\d+}{slash:/?}", self.show),
            web.post(base + r"/{id:\d+_\d+}{slash:/?}", self.edit),
            web.delete(base + r"/{id:\d+_\d+}{slash:/?}", self.delete),
        ]

    async def me(self, request: web.Request) -> web.Response:
        """GET /me: the page that the token is of; a person for the token ``user``."""
        account, page = self._account(request)
        if account == "user":
            return web.json_response({"id": "10150000000000001", "name": "Camille Moreau"})
        return web.json_response({"id": page, "name": account.replace("_", " ").title()})

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST /{page}/feed with message, link, attached_media."""
        account, page = self._on_page(request)
        dropped = await self._meet_fault(account, "create")
        fields = await _fields(request)
        if fields.get("published") in ("false", False):
            raise self._refused(account, "create", 100, None, "(#100) The sandbox publishes at once")
        pictures = self._attached(account, fields.get("attached_media"))
        self._check(account, "create", fields, pictures)
        latest = next(self._of_page(page), None)
        if latest and latest["text"].strip() == str(fields.get("message") or "").strip() and not pictures:
            raise self._refused(
                account,
                "create",
                506,
                1455006,
                "(#506) Duplicate status message",
                "This status update is identical to the last one you posted. Try posting something different, or "
                "delete your previous update.",
            )
        post = {
            "text": str(fields.get("message") or ""),
            "link": fields.get("link") or None,
            "pictures": pictures,
        }
        line = self._statuses.create(account, post, None, dropped, identity=f"{page}_{self._next()}")
        self._by_page[page].append(line["id"])
        return drop(request) if dropped else web.json_response({"id": line["id"]})

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """POST /{page}/photos, multipart with source, published=false and alt_text_custom; kept in memory."""
        account, _ = self._on_page(request)
        dropped = await self._meet_fault(account, "upload", ("hang", "drop"))
        fields = await request.post()
        source = fields.get("source")
        content = source.file.read() if isinstance(source, web.FileField) else b""
        if fields.get("published") != "false":
            raise self._refused(account, "create", 100, None, "(#100) The sandbox takes unpublished photos only")
        try:
            if len(content) > _MAX_PICTURE:
                raise ValueError("too large")
            kept = self._pictures.keep(content, str(fields.get("alt_text_custom") or ""))
        except ValueError:
            raise self._refused(
                account,
                "create",
                100,
                1366046,
                "Invalid parameter",
                "Your photos couldn't be uploaded. Photos should be smaller than 4 MB and saved as JPG or PNG.",
            ) from None
        identity = str(self._next())
        self._photos[identity] = (account, kept)
        return drop(request) if dropped else web.json_response({"id": identity})

    async def posts(self, request: web.Request) -> web.Response:
        """GET /{page}/published_posts with fields, since (seconds since 1970), limit, after."""
        account, page = self._on_page(request)
        if account == "unread":
            message = (
                "(#10) This endpoint requires the 'pages_read_engagement' permission or the 'Page Public Content "
                "Access' feature."
            )
            raise _error(403, 10, None, message)
        since, limit = request.query.get("since", "0"), request.query.get("limit", str(_PAGE))
        if not since.isdecimal() or not limit.isdecimal():
            raise _error(400, 100, None, "(#100) since and limit must be numbers")
        found = []
        for line in self._of_page(page):
            if datetime.fromisoformat(line["created_at"]).timestamp() < int(since):
                break
            found.append(line)
        start = int(request.query.get("after") or 0)
        shown = found[start : start + max(1, min(100, int(limit)))]
        body: dict[str, Any] = {"data": [_node(request, line) for line in shown]}
        if shown:
            after = str(start + len(shown))
            body["paging"] = {"cursors": {"before": str(start), "after": after}}
            if len(found) > start + len(shown):
                body["paging"]["next"] = f"http://{request.host}{request.path}?access_token=…&after={after}"
        return web.json_response(body)

    async def show_page(self, request: web.Request) -> web.Response:
        """GET /{page}."""
        account, page = self._on_page(request)
        return web.json_response({"id": page, "name": account.replace("_", " ").title()})

    async def show(self, request: web.Request) -> web.Response:
        """GET /{post}."""
        return web.json_response(_node(request, self._found(request, self._account(request)[0], "get")))

    async def edit(self, request: web.Request) -> web.StreamResponse:
        """POST /{post} with message."""
        account, _ = self._account(request)
        dropped = await self._meet_fault(account, "edit")
        fields = await _fields(request)
        first = self._found(request, account, "post")
        self._check(account, "edit", fields, first["pictures"])
        self._statuses.edit(first, {"text": str(fields.get("message") or "")})
        return drop(request) if dropped else web.json_response({"success": True})

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """DELETE /{post}."""
        account, _ = self._account(request)
        dropped = await self._meet_fault(account, "delete")
        self._statuses.delete(self._found(request, account, "delete"))
        return drop(request) if dropped else web.json_response({"success": True})

    def _account(self, request: web.Request) -> tuple[str, str]:
        """The account and the page that the token is of."""
        token = bearer(request) or request.query.get("access_token")
        if token is None:
            raise _error(400, 2500, None, "An active access token must be used to query information about the user.")
        if token in _TOKENS:
            code, subcode, message = _TOKENS[token]
            raise _error(400, code, subcode, message)
        read = _TOKEN.fullmatch(token)
        name, page = (read["name"], read["page"]) if read else (token, None)
        return re.sub(r"[^a-z0-9]+", "_", name.lower()) or "page", page or "1"

    def _on_page(self, request: web.Request) -> tuple[str, str]:
        """The same, when it is the page that the request is about."""
        account, page = self._account(request)
        asked = request.match_info["page"]
        if page != asked:
            message = _GONE.format(method=request.method.lower(), id=asked)
            raise _error(400, 100, 33, message, kind="GraphMethodException")
        return account, page

    async def _meet_fault(self, account: str, kind: str, kinds: tuple[str, ...] | None = None) -> bool:
        """Whether to work and then drop; raises or hangs for the other faults."""
        fault = self._faults.take("facebook", kinds) if kinds else self._faults.take("facebook")
        if fault is None:
            return False
        if fault.kind == "drop":
            return True
        noted = kind if kind in ("create", "edit", "delete") else "create"
        outcome = "refused" if fault.kind == "refuse" else "deferred"
        status = {"throttle": 403, "refuse": 400, "error": 503}.get(fault.kind, 0)
        self._statuses.record(account, noted, outcome, status, f"asked for: {fault.kind}")
        if fault.kind == "hang":
            await hang()
        raise _faulty(fault)

    def _check(self, account: str, kind: str, fields: Line, pictures: list[Line]) -> None:
        text = str(fields.get("message") or "")
        if not text.strip() and not fields.get("link") and not pictures:
            raise self._refused(account, kind, 100, None, "(#100) Missing message or attachment")
        if len(text.encode("utf-16-le", "surrogatepass")) // 2 > _MAX:
            raise self._refused(account, kind, 100, None, "(#100) Param message must be at most 63206 characters long")
        link = fields.get("link")
        if link and "facebook.com" in str(link):
            raise self._refused(account, kind, 200, 1609008, "Permissions error", "Cannot post Facebook.com links")
        if link and "unscrapable" in str(link):
            raise self._refused(account, kind, 100, 1609005, "Invalid parameter", "The url could not be processed")

    def _attached(self, account: str, attached: Any) -> list[Line]:
        pictures = []
        for one in attached or []:
            identity = str(one.get("media_fbid")) if isinstance(one, dict) else ""
            owner, kept = self._photos.pop(identity, ("", {}))
            if owner != account:
                raise self._refused(account, "create", 100, 33, _GONE.format(method="post", id=identity))
            pictures.append(kept)
        return pictures

    def _of_page(self, page: str) -> Iterator[Line]:
        """The page's posts, newest first."""
        for identity in reversed(self._by_page[page]):
            line = self._statuses.get(identity)
            if line is not None:
                yield line

    def _found(self, request: web.Request, account: str, method: str) -> Line:
        identity = request.match_info["id"]
        line = self._statuses.get(identity)
        if line is None or line["account"] != account:
            raise _error(400, 100, 33, _GONE.format(method=method, id=identity), kind="GraphMethodException")
        return line

    def _refused(
        self, account: str, kind: str, code: int, subcode: int | None, message: str, told: str | None = None
    ) -> web.HTTPException:
        self._statuses.record(account, kind, "refused", 400, told or message)
        return _error(400, code, subcode, message, told=told)

    def _next(self) -> int:
        self._last = max(int(now().timestamp() * 1000) << 16, self._last + 1)
        return self._last


def _faulty(fault: Fault) -> web.HTTPException:
    if fault.kind == "throttle":
        minutes = math.ceil(fault.retry_after / 60)
        use = {"type": "pages", "call_count": 90, "total_cputime": 25, "total_time": 25}
        told = {"101": [use | {"estimated_time_to_regain_access": minutes}]}
        headers = {"X-Business-Use-Case-Usage": json.dumps(told)}
        return _error(403, 80001, None, "(#80001) There have been too many calls to this Page account.", headers)
    if fault.kind == "error":
        return _error(503, 2, None, "(#2) Service temporarily unavailable")
    return _error(400, 368, 1346003, "The action attempted has been deemed abusive or is otherwise disallowed")


def _node(request: web.Request, line: Line) -> Line:
    created = datetime.fromisoformat(line["created_at"]).strftime("%Y-%m-%dT%H:%M:%S+0000")
    post = {
        "id": line["id"],
        "created_time": created,
        "permalink_url": f"http://{request.host}/wall/facebook/{line['id']}",
        **({"message": line["text"]} if line["text"] else {}),
    }
    asked = request.query.get("fields")
    wanted = {"id", *asked.split(",")} if asked else {"id", "created_time", "message"}
    return {name: value for name, value in post.items() if name in wanted}


async def _fields(request: web.Request) -> Line:
    if request.content_type != "application/json":
        return dict(await request.post())
    try:
        fields = json.loads(await request.read())
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise _error(400, 100, None, "(#100) The body is not JSON")
    return fields


def _error(
    status: int,
    code: int,
    subcode: int | None,
    message: str,
    headers: dict[str, str] | None = None,
    *,
    kind: str = "OAuthException",
    told: str | None = None,
) -> web.HTTPException:
    """Facebook's error body as an exception that aiohttp turns into the response."""
    error: dict[str, Any] = {"message": message, "type": kind, "code": code}
    if subcode is not None:
        error["error_subcode"] = subcode
    if code in _TRANSIENT:
        error["is_transient"] = True
    if told:
        error |= {"error_user_title": "Sandbox", "error_user_msg": told}
    error["fbtrace_id"] = f"A{time.monotonic_ns():x}"
    return refused(status, {"error": error}, headers)
