"""The SMS part of OVHcloud's API, as its console and guides describe it: signed calls, its errors, its history.

The keys it knows: application ``sandbox-application`` with secret ``sandbox-secret``, consumer key
``sandbox-consumer`` (``sandbox-expired`` was valid once). Any service name is an account with a thousand credits.
"""

import asyncio
import hashlib
import json
import time
from typing import Any

import aiohttp
from aiohttp import web

from sandbox.alphabet import measure
from sandbox.courier import NotTaken
from sandbox.faults import Faults
from sandbox.handsets import Handsets, status_now
from sandbox.journal import Line
from sandbox.options import Options
from sandbox.phones import is_number
from sandbox.wire import drop, hang

APPLICATION, SECRET, CONSUMER, EXPIRED = "sandbox-application", "sandbox-secret", "sandbox-consumer", "sandbox-expired"
_MAX_SEGMENTS = 6
_OLDEST = 300  # seconds that a signed call may be away from our clock

# What a number's behaviour is in OVHcloud's words: status, class and message; None: among the invalid receivers.
_REFUSALS: dict[str, tuple[int, str, str] | None] = {
    "forbidden": None,
    "invalid_number": None,
    "insufficient_credit": (402, "Client::PaymentRequired", "This account has not enough credits"),
    "throttled": (429, "Client::TooManyRequests", "Too many requests"),
    "unavailable": (503, "Server::ServiceUnavailable", "Service unavailable"),
    "internal_error": (500, "Server::InternalServerError", "Internal server error"),
}
_PTTS = {"delivered": (4, 1), "undelivered": (23, 2), "expired": (24, 2)}


class Ovh:
    """The handlers under /ovh/1.0."""

    def __init__(self, options: Options, faults: Faults, handsets: Handsets) -> None:
        self._options = options
        self._faults = faults
        self._handsets = handsets

    def routes(self) -> list[web.RouteDef]:
        """For the application."""
        place = "/ovh/1.0/sms/{service}"
        return [
            web.get("/ovh/1.0/auth/time", self.clock),
            web.get(place, self.account),
            web.post(f"{place}/jobs", self.send),
            web.get(f"{place}/jobs", self.jobs),
            web.get(f"{place}/outgoing", self.history),
            web.get(f"{place}/outgoing/{{id}}", self.sent),
        ]

    async def clock(self, request: web.Request) -> web.Response:
        """GET /auth/time: seconds, unsigned."""
        return web.json_response(int(time.time()))

    async def account(self, request: web.Request) -> web.Response:
        """GET /sms/{service}."""
        if refusal := await _unauthorised(request):
            return refusal
        name = request.match_info["service"]
        return web.json_response({"name": name, "status": "enable", "creditsLeft": 1000, "description": "sandbox"})

    async def send(self, request: web.Request) -> web.Response:
        """POST /sms/{service}/jobs."""
        if refusal := await _unauthorised(request):
            return refusal
        try:
            answer = self._decide(request, json.loads(await request.read()))
        except ValueError:
            answer = error(400, "Client::BadRequest", "Invalid JSON")
        if answer is None:
            await hang()
        if self._options.latency:
            await asyncio.sleep(self._options.latency)
        return answer

    async def jobs(self, request: web.Request) -> web.Response:
        """GET /sms/{service}/jobs: what waits to be sent, which is nothing here."""
        return await _unauthorised(request) or web.json_response([])

    async def history(self, request: web.Request) -> web.Response:
        """GET /sms/{service}/outgoing?tag=…: ids of what was sent."""
        if refusal := await _unauthorised(request):
            return refusal
        known = self._handsets.with_reference(request.query.get("tag", ""))
        found = [line for line in known if line.get("gateway") == "ovh"]
        return web.json_response([number_of(self._options.realm, line) for line in found])

    async def sent(self, request: web.Request) -> web.Response:
        """GET /sms/{service}/outgoing/{id}."""
        if refusal := await _unauthorised(request):
            return refusal
        asked = request.match_info["id"]
        count = int(asked) - _first(self._options.realm) if asked.isdecimal() else 0
        line = self._handsets.message(f"sms-{self._options.realm}-{count}")
        if line is None:
            return error(404, "Client::NotFound", "The requested object (id) does not exist")
        ptt, receipt = _PTTS.get(status_now(line), (3, 4))
        return web.json_response(
            {
                "id": int(asked),
                "creationDatetime": line["at"],
                "sender": line["sender"],
                "receiver": line["number"],
                "message": line["text"],
                "messageLength": len(line["text"] or ""),
                "numberOfSms": line["segments"],
                "credits": line["segments"],
                "tag": line["client_reference"],
                "ptt": ptt,
                "deliveryReceipt": receipt,
                "differedDelivery": 0,
                "tariffCode": "sandbox",
            }
        )

    def _decide(self, request: web.Request, body: Any) -> web.Response | None:
        """The answer, journalled; None: never answer."""
        if fault := _invalid(body):
            self._handsets.record(_message(body if isinstance(body, dict) else {}), "refused", 400, fault, None)
            return error(400, "Client::BadRequest", fault)
        message = _message(body)
        if not is_number(message["number"]):
            self._handsets.record(message, "refused", 200, "invalid_number", None)
            return _report([], [message["number"]], 0)
        behaviour, pause = self._handsets.behaviour(message["number"], self._faults)
        if behaviour.outcome not in ("accepted", "dropped"):
            self._handsets.record(message, behaviour.outcome, behaviour.status, behaviour.code, behaviour.name)
            if not behaviour.status:
                return None
            refusal = _REFUSALS[behaviour.code or ""]
            if refusal is None:
                return _report([], [message["number"]], 0)
            return error(*refusal, retry_after=pause)
        line = self._handsets.take(message, behaviour, True, {"by": "ovh"})
        if behaviour.outcome == "dropped":
            return drop(request)
        return _report([number_of(self._options.realm, line)], [], line["segments"], [message["number"]])


class Callback:
    """Calls the address that an account entered, with what became of a message in the query."""

    def __init__(self, url: str, realm: str) -> None:
        self._url = url
        self._realm = realm
        self._client: aiohttp.ClientSession | None = None

    async def bring(self, line: Line) -> None:
        """Tell what became of a message; NotTaken: come again. Answers of people are not told this way."""
        if line["kind"] != "message":
            return
        if self._client is None:
            self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        ptt, receipt = _PTTS.get(line["webhook"]["status"], (5, 2))
        date = time.strftime("%Y%m%d%H%M%S", time.gmtime(line["webhook"]["due"]))
        query = {"id": str(number_of(self._realm, line)), "ptt": str(ptt), "date": date, "description": str(receipt)}
        try:
            async with self._client.get(self._url, params=query) as answer:
                if answer.status != 200:
                    raise NotTaken(f"the callback answered {answer.status}")
        except (aiohttp.ClientError, TimeoutError) as failure:
            raise NotTaken(f"the callback: {failure!r}") from failure

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()


def number_of(realm: str, line: Line) -> int:
    """The number that a message has at OVHcloud."""
    return _first(realm) + int(line["id"].rpartition("-")[2])


def error(status: int, kind: str, message: str, retry_after: int = 1) -> web.Response:
    """``{"class", "message"}``, with Retry-After when it is about time."""
    headers = {"Retry-After": str(retry_after)} if status in (429, 503) else {}
    return web.json_response({"class": kind, "message": message}, status=status, headers=headers)


def _first(realm: str) -> int:
    return int(realm, 16) * 1_000_000


def _key_error(status: int, code: str, message: str) -> web.Response:
    reason = {400: "400 Bad Request", 403: "403 Forbidden"}[status]
    return web.json_response({"errorCode": code, "httpCode": reason, "message": message}, status=status)


async def _unauthorised(request: web.Request) -> web.Response | None:
    """What OVHcloud says to keys that it does not know, or a signature that is not theirs; None when all is well."""
    if request.headers.get("X-Ovh-Application") != APPLICATION:
        return _key_error(403, "INVALID_KEY", "This application key is invalid")
    consumer = request.headers.get("X-Ovh-Consumer", "")
    if consumer == EXPIRED:
        return _key_error(403, "INVALID_CREDENTIAL", "This credential is not valid")
    if consumer != CONSUMER:
        return _key_error(403, "NOT_CREDENTIAL", "This credential does not exist")
    moment = request.headers.get("X-Ovh-Timestamp", "")
    if not moment.isdecimal() or abs(int(moment) - time.time()) > _OLDEST:
        return _key_error(400, "QUERY_TIME_OUT", "Query out of time")
    url = f"{request.scheme}://{request.host}{request.raw_path}"
    signed = "+".join((SECRET, consumer, request.method, url)).encode() + b"+" + await request.read()
    if request.headers.get("X-Ovh-Signature") != "$1$" + hashlib.sha1(signed + f"+{moment}".encode()).hexdigest():
        return _key_error(400, "INVALID_SIGNATURE", "Invalid signature")
    return None


def _invalid(body: Any) -> str | None:
    if not isinstance(body, dict):
        return "The body must be an object"
    receivers, text = body.get("receivers"), body.get("message")
    if not isinstance(receivers, list) or len(receivers) != 1 or not isinstance(receivers[0], str):
        return "Missing or invalid parameter: receivers"
    if not isinstance(text, str) or not text:
        return "Missing parameter: message"
    if measure(text).segments > _MAX_SEGMENTS:
        return f"The message is too long, {_MAX_SEGMENTS} segments at most"
    if not body.get("senderForResponse") and not isinstance(body.get("sender"), str):
        return "You must give a sender or set senderForResponse"
    if len(str(body.get("tag", ""))) > 64:
        return "tag: 64 characters at most"
    return None


def _message(body: Line) -> Line:
    text, receivers = body.get("message"), body.get("receivers") or [None]
    size = measure(text) if isinstance(text, str) else None
    minutes = body.get("validityPeriod")
    return {
        "number": receivers[0],
        "sender": "38000" if body.get("senderForResponse") else body.get("sender"),
        "text": text,
        "client_reference": body.get("tag"),
        "validity_seconds": minutes * 60 if isinstance(minutes, int) else None,
        "segments": size.segments if size else None,
        "encoding": size.encoding if size else None,
        "gateway": "ovh",
    }


def _report(ids: list[int], invalid: list[str], credits_used: int, valid: list[str] | None = None) -> web.Response:
    content = {
        "totalCreditsRemoved": credits_used,
        "invalidReceivers": invalid,
        "validReceivers": valid or [],
        "ids": ids,
    }
    return web.json_response(content)
