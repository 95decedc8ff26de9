"""Twilio's Messages API, as its documentation describes it: forms in, JSON out, its error codes, signed callbacks.

Any account is known; an API key's secret must be ``sandbox-secret``. Receipts, and what people answer, go to the
StatusCallback that came with the message, signed with the auth token that the options name.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

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

SECRET = "sandbox-secret"
_LONGEST = 1600

# What a number's behaviour, or a faulty request, is in Twilio's words: status, code, message.
_REFUSALS = {
    "forbidden": (400, 21610, "Attempt to send to unsubscribed recipient"),
    "invalid_number": (400, 21211, "Invalid 'To' Phone Number"),
    "insufficient_credit": (401, 20005, "Account not active"),
    "throttled": (429, 20429, "Too Many Requests"),
    "unavailable": (503, 20503, "Service unavailable"),
    "internal_error": (500, 20500, "Internal Server Error"),
    "no_sender": (400, 21603, "A 'From' phone number is required."),
    "no_text": (400, 21602, "Message body is required."),
    "too_long": (400, 21617, "The concatenated message body exceeds the 1600 character limit"),
    "unauthorised": (401, 20003, "Authenticate"),
}
_STATUSES = {"accepted": "queued", "expired": "undelivered"}
_CODES = {"absent_subscriber": "30003", "unknown_subscriber": "30005"}


class Twilio:
    """The handlers under /twilio."""

    def __init__(self, options: Options, faults: Faults, handsets: Handsets) -> None:
        self._options = options
        self._faults = faults
        self._handsets = handsets

    def routes(self) -> list[web.RouteDef]:
        """For the application."""
        place = "/twilio/2010-04-01/Accounts/{account}"
        return [
            web.get(f"{place}.json", self.account),
            web.post(f"{place}/Messages.json", self.send),
            web.get(f"{place}/Messages.json", self.listing),
        ]

    async def account(self, request: web.Request) -> web.Response:
        """GET Accounts/{sid}.json."""
        content = {"sid": request.match_info["account"], "status": "active", "friendly_name": "sandbox"}
        return _unauthorised(request) or web.json_response(content)

    async def send(self, request: web.Request) -> web.Response:
        """POST Messages.json: 201 with the message's sid."""
        if refusal := _unauthorised(request):
            return refusal
        answer = self._decide(request, {name: str(value) for name, value in (await request.post()).items()})
        if answer is None:
            await hang()
        if self._options.latency:
            await asyncio.sleep(self._options.latency)
        return answer

    async def listing(self, request: web.Request) -> web.Response:
        """GET Messages.json?To=…: the latest first."""
        if refusal := _unauthorised(request):
            return refusal
        lines = await asyncio.to_thread(self._handsets.conversation, request.query.get("To", ""))
        sent = [line for line in lines if line.get("gateway") == "twilio"]
        size = int(request.query.get("PageSize", "50"))
        page = [self._described(request, line) for line in reversed(sent)][:size]
        return web.json_response({"messages": page, "page": 0, "page_size": size, "next_page_uri": None})

    def _decide(self, request: web.Request, form: Line) -> web.Response | None:
        """The answer, journalled; None: never answer."""
        message = _message(form)
        if fault := _invalid(form):
            self._handsets.record(message, "refused", _REFUSALS[fault][0], fault, None)
            return error(fault)
        behaviour, pause = self._handsets.behaviour(message["number"], self._faults)
        if behaviour.outcome not in ("accepted", "dropped"):
            self._handsets.record(message, behaviour.outcome, behaviour.status, behaviour.code, behaviour.name)
            return error(behaviour.code or "", pause) if behaviour.status else None
        route = {"by": "twilio", "callback": form.get("StatusCallback", "")}
        line = self._handsets.take(message, behaviour, bool(form.get("StatusCallback")), route)
        if behaviour.outcome == "dropped":
            return drop(request)
        return web.json_response(self._described(request, line), status=201)

    def _described(self, request: web.Request, line: Line) -> dict[str, Any]:
        created = format_datetime(datetime.fromisoformat(line["at"]))
        account, sid, status = request.match_info["account"], sid_of(self._options.realm, line), status_now(line)
        return {
            "sid": sid,
            "account_sid": account,
            "api_version": "2010-04-01",
            "body": line["text"],
            "date_created": created,
            "date_sent": None,
            "date_updated": created,
            "direction": "outbound-api",
            "error_code": None,
            "error_message": None,
            "from": line["sender"],
            "messaging_service_sid": None,
            "num_media": "0",
            "num_segments": str(line["segments"]),
            "price": None,
            "price_unit": "USD",
            "status": _STATUSES.get(status, status),
            "to": line["number"],
            "uri": f"/2010-04-01/Accounts/{account}/Messages/{sid}.json",
        }


class Callback:
    """Posts to the StatusCallback of each message, signed with the account's auth token."""

    def __init__(self, token: str, realm: str) -> None:
        self._token = token
        self._realm = realm
        self._client: aiohttp.ClientSession | None = None

    async def bring(self, line: Line) -> None:
        """Tell what became of a message, or what somebody answered; NotTaken: come again."""
        webhook = line["webhook"]
        if line["kind"] == "inbound":
            form = {
                "MessageSid": f"SM{hashlib.md5(webhook['id'].encode()).hexdigest()}",
                "From": line["number"],
                "To": line["sender"],
                "Body": line["text"],
                "NumMedia": "0",
            }
            return await self._post(webhook["callback"].partition("?")[0], form)
        status = _STATUSES.get(webhook["status"], webhook["status"])
        sid = sid_of(self._realm, line)
        form = {"MessageSid": sid, "SmsSid": sid, "MessageStatus": status, "To": line["number"], "From": line["sender"]}
        if webhook["error"]:
            form["ErrorCode"] = _CODES[webhook["error"]]
        await self._post(webhook["callback"], form)

    async def _post(self, url: str, form: dict[str, str]) -> None:
        if self._client is None:
            self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        headers = {"X-Twilio-Signature": signature(self._token, url, form)}
        try:
            async with self._client.post(url, data=form, headers=headers) as answer:
                if not 200 <= answer.status < 300:
                    raise NotTaken(f"{url} answered {answer.status}")
        except (aiohttp.ClientError, TimeoutError) as failure:
            raise NotTaken(f"{url}: {failure!r}") from failure

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()


def signature(token: str, url: str, form: dict[str, str]) -> str:
    """X-Twilio-Signature."""
    signed = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    return base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


def sid_of(realm: str, line: Line) -> str:
    """The sid that a message has at Twilio."""
    return f"SM{int(realm, 16):016x}{int(line['id'].rpartition('-')[2]):016x}"


def error(reason: str, retry_after: int = 1) -> web.Response:
    """``{"code", "message", "more_info", "status"}``, with Retry-After when it is about time."""
    status, code, message = _REFUSALS[reason]
    headers = {"Retry-After": str(retry_after)} if status in (429, 503) else {}
    content = {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return web.json_response(content, status=status, headers=headers)


def _unauthorised(request: web.Request) -> web.Response | None:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    try:
        key, _, secret = base64.b64decode(given, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return error("unauthorised")
    known = scheme.lower() == "basic" and key.startswith(("SK", "AC")) and secret == SECRET
    return None if known else error("unauthorised")


def _invalid(form: Line) -> str | None:
    if not is_number(form.get("To", "")):
        return "invalid_number"
    if not form.get("From") and not form.get("MessagingServiceSid"):
        return "no_sender"
    if not form.get("Body"):
        return "no_text"
    return "too_long" if len(form["Body"]) > _LONGEST else None


def _message(form: Line) -> Line:
    text = form.get("Body")
    size = measure(text) if text else None
    callback = urlsplit(form.get("StatusCallback", ""))
    seconds = form.get("ValidityPeriod", "")
    return {
        "number": form.get("To"),
        "sender": form.get("From") or "38000",
        "text": text,
        "client_reference": parse_qs(callback.query).get("key", [None])[0],
        "validity_seconds": int(seconds) if seconds.isdecimal() else None,
        "segments": size.segments if size else None,
        "encoding": size.encoding if size else None,
        "gateway": "twilio",
    }
