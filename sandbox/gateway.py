"""The SMS provider: a generic JSON gateway over HTTP, as many operators' aggregators offer it."""

import asyncio
import json
import re
from typing import Any

from aiohttp import web
from yarl import URL

from sandbox.alphabet import measure
from sandbox.faults import Faults
from sandbox.handsets import Handsets, status_now
from sandbox.journal import Line
from sandbox.options import Options
from sandbox.phones import is_number
from sandbox.wire import bearer, drop, hang

MAX_SEGMENTS = 10

SENDER = re.compile(r"[A-Za-z0-9 ]{1,11}|\d{3,8}")
_MESSAGES = {
    "invalid_number": "the number is not one we can reach",
    "insufficient_credit": "the account has no credit left",
    "forbidden": "the account may not send this",
    "throttled": "too many requests, slow down",
    "internal_error": "something broke on our side",
    "unavailable": "down for maintenance",
    "unwritten": "the journal could not be written",
}


class Gateway:
    """The handlers under /sms."""

    def __init__(self, options: Options, faults: Faults, handsets: Handsets) -> None:
        self._options = options
        self._faults = faults
        self._handsets = handsets

    def routes(self) -> list[web.RouteDef]:
        """For the application."""
        return [
            web.post("/sms/messages", self.send),
            web.get("/sms/messages", self.find),
            web.get("/sms/messages/{id}", self.show),
            web.post("/sms/handset/{number}/reply", self.reply),
        ]

    async def send(self, request: web.Request) -> web.Response:
        """POST /sms/messages: 202 with id, segments and encoding."""
        if refusal := _unauthorised(request):
            return refusal
        try:
            body = json.loads(await request.read())
        except ValueError:
            return error(400, "invalid_json", "the body is not JSON")
        try:
            answer = self._decide(request, body)
        except OSError:
            answer = error(503, "unwritten", retry_after=1)
        if answer is None:
            await hang()
        if self._options.latency:
            await asyncio.sleep(self._options.latency)
        return answer

    async def find(self, request: web.Request) -> web.Response:
        """GET /sms/messages?client_reference=…: the messages taken under it, perhaps none."""
        if refusal := _unauthorised(request):
            return refusal
        reference = request.query.get("client_reference")
        if not reference:
            return error(400, "invalid_request", "client_reference is missing")
        found = [line for line in self._handsets.with_reference(reference) if "gateway" not in line]
        return web.json_response({"messages": [_described(line) for line in found]})

    async def show(self, request: web.Request) -> web.Response:
        """GET /sms/messages/{id}."""
        if refusal := _unauthorised(request):
            return refusal
        line = self._handsets.message(request.match_info["id"])
        return error(404, "not_found", "no such message") if line is None else web.json_response(_described(line))

    async def reply(self, request: web.Request) -> web.Response:
        """POST /sms/handset/{number}/reply: what a person answers, from the page (a form) or a test (JSON).

        ``to`` may be left out: then it is whoever wrote last.
        """
        number, form = request.match_info["number"], request.content_type != "application/json"
        if form:
            fields: Line = dict(await request.post())
        else:
            try:
                fields = json.loads(await request.read())
            except ValueError:
                return error(400, "invalid_json", "the body is not JSON")
        text, sender = fields.get("text"), fields.get("to") or await self._last_sender(number)
        if not is_number(number):
            return error(400, "invalid_number", "this is not an E.164 number")
        if not isinstance(text, str) or not text.strip():
            return error(400, "invalid_text", "text is missing")
        if not isinstance(sender, str):
            return error(400, "invalid_sender", "nobody wrote to this number: say to whom it answers")
        try:
            line = self._handsets.reply(number, sender, text.strip())
        except OSError:
            return error(503, "unwritten")
        if form:
            language = request.query.get("lang", "")
            back = URL.build(path=f"/handset/{number}", query={"lang": language} if language else {})
            raise web.HTTPSeeOther(back)
        return web.json_response({"at": line["at"], "from": number, "to": sender, "text": line["text"]}, status=202)

    async def _last_sender(self, number: str) -> str | None:
        lines = await asyncio.to_thread(self._handsets.conversation, number)
        return next((line["sender"] for line in reversed(lines) if line["kind"] == "message"), None)

    def _decide(self, request: web.Request, body: Any) -> web.Response | None:
        """The answer, journalled; None: never answer."""
        if fault := _invalid(body):
            message = _message(body if isinstance(body, dict) else {})
            self._handsets.record(message, "refused", fault[0], fault[1], None)
            return error(*fault)
        message = _message(body)
        reference = message["client_reference"]
        if self._options.sms_deduplicates and reference:
            for first in self._handsets.with_reference(reference):
                self._handsets.record(message, "replayed", 202, None, None)
                return _accepted(first)
        behaviour, retry_after = self._handsets.behaviour(message["number"], self._faults)
        if behaviour.outcome not in ("accepted", "dropped"):
            self._handsets.record(message, behaviour.outcome, behaviour.status, behaviour.code, behaviour.name)
            if not behaviour.status:
                return None
            return error(behaviour.status, behaviour.code or "", retry_after=retry_after)
        line = self._handsets.take(message, behaviour, body.get("receipt", True) is not False)
        return drop(request) if behaviour.outcome == "dropped" else _accepted(line)


def error(status: int, code: str, message: str | None = None, retry_after: int = 1) -> web.Response:
    """``{"error": {"code", "message"}}``, with Retry-After when it is about time."""
    headers = {"Retry-After": str(retry_after)} if status in (429, 503) else {}
    content = {"error": {"code": code, "message": message or _MESSAGES.get(code, code)}}
    return web.json_response(content, status=status, headers=headers)


def _unauthorised(request: web.Request) -> web.Response | None:
    token = bearer(request)
    if token is None:
        return error(401, "missing_token", "an Authorization: Bearer header is needed")
    if token == "wrong":
        return error(401, "invalid_token", "this token is not known")
    if token == "expired":
        return error(401, "expired_token", "this token has expired")
    return None


def _invalid(body: Any) -> tuple[int, str, str] | None:
    """What is wrong with a request, None when nothing is."""
    if not isinstance(body, dict):
        return 400, "invalid_request", "the body is not an object"
    number, sender, text = body.get("to"), body.get("from"), body.get("text")
    if not isinstance(number, str) or not is_number(number):
        return 400, "invalid_number", "to is not an E.164 number"
    if not isinstance(sender, str) or not (is_number(sender) or SENDER.fullmatch(sender)):
        return 400, "invalid_sender", "from is neither a number nor 1 to 11 letters and digits"
    if not isinstance(text, str) or not text:
        return 400, "invalid_text", "text is missing"
    reference, validity = body.get("client_reference"), body.get("validity_seconds")
    if reference is not None and (not isinstance(reference, str) or len(reference) > 255):
        return 400, "invalid_request", "client_reference is not a text of at most 255 characters"
    if validity is not None and (not isinstance(validity, int) or validity <= 0):
        return 400, "invalid_request", "validity_seconds is not a positive whole number"
    if measure(text).segments > MAX_SEGMENTS:
        return 413, "too_long", f"the text makes more than {MAX_SEGMENTS} segments"
    return None


def _message(body: Line) -> Line:
    text = body.get("text")
    size = measure(text) if isinstance(text, str) else None
    return {
        "number": body.get("to"),
        "sender": body.get("from"),
        "text": text,
        "client_reference": body.get("client_reference"),
        "validity_seconds": body.get("validity_seconds"),
        "segments": size.segments if size else None,
        "encoding": size.encoding if size else None,
    }


def _accepted(line: Line) -> web.Response:
    content = {name: line[name] for name in ("id", "segments", "encoding")}
    return web.json_response(content, status=202)


def _described(line: Line) -> Line:
    names = ("id", "client_reference", "segments", "encoding", "at")
    return {
        **{name: line[name] for name in names},
        "to": line["number"],
        "from": line["sender"],
        "status": status_now(line),
    }
