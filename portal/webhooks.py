"""The doors for providers: what they report is checked, stored and committed, and only then acknowledged.

One door for each SMS gateway, ``/webhooks/sms/NAME``, in the form that its kind speaks; ``/webhooks/sms`` is that of
the gateway named "main". What comes in is kept in the common form (schemas.webhooks), its reference under the
gateway's name.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel

from hub.settings import Settings
from portal.database import Database
from publishers.sms import ovh_receipts, twilio_receipts
from schemas.webhooks import BadSignature, BadWebhook, SmsInbound, SmsReceipt, dump, parse, verify
from store import receipts
from store.database import Connection

LIMIT = 64 * 1024
MAIN = "main"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Told:
    """``body`` in the common form; ``arrival`` tells a repeat of this report from another one."""

    said: SmsReceipt | SmsInbound
    body: bytes
    arrival: str


def routes(database: Database, settings: Settings) -> APIRouter:
    """``/webhooks/sms/NAME``: 204 kept (200 for a GET), 400 not understood, 401 not from the gateway, 404 no such
    gateway, 413 too long. 503 while PostgreSQL is away: the gateway then tries again.
    """
    router = APIRouter()

    async def post(request: Request, name: str) -> Response:
        options = _gateway(settings, name)
        reader = _POSTED.get(getattr(options, "kind", ""))
        if reader is None:
            return PlainTextResponse(f"No SMS gateway {name!r} posts here.\n", 404)
        body = await _body(request)
        if body is None:
            return PlainTextResponse(f"A webhook has at most {LIMIT} bytes.\n", 413)
        return await answer(name, lambda: reader(options, request, body), 204)

    async def answer(name: str, read: Any, status: int) -> Response:
        try:
            told: _Told = read()
        except BadSignature as error:
            _log.warning("webhook refused", gateway=name, reason=str(error))
            return PlainTextResponse(f"Not signed by the gateway: {error}.\n", 401)
        except BadWebhook as error:
            return PlainTextResponse(f"Not understood: {error}.\n", 400)
        async with database.connection() as connection:
            await _keep(connection, name, told)
        return Response(status_code=status)

    @router.post("/webhooks/sms")
    async def main(request: Request) -> Response:
        return await post(request, MAIN)

    @router.post("/webhooks/sms/{name}")
    async def named(request: Request, name: str) -> Response:
        return await post(request, name)

    @router.get("/webhooks/sms/{name}/{token}")
    async def called(request: Request, name: str, token: str) -> Response:
        options = _gateway(settings, name)
        if getattr(options, "kind", "") != "ovh":
            return PlainTextResponse(f"No SMS gateway {name!r} calls here.\n", 404)
        return await answer(name, lambda: _ovh(options, token, dict(request.query_params)), 200)

    return router


def _gateway(settings: Settings, name: str) -> BaseModel | None:
    options = settings.channels.get("sms")
    return None if options is None else options.gateways.get(name)


def _signed(options: Any, request: Request, body: bytes) -> _Told:
    """A Standard Webhook, already in the common form."""
    webhook_id = verify(dict(request.headers), body, options.webhook_secrets, datetime.now(UTC))
    return _Told(parse(body), body, webhook_id)


def _twilio(options: Any, request: Request, body: bytes) -> _Told:
    form = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    # the address as we gave it to Twilio, not as it reached us through the town's proxies
    url = str(options.status_callback) + (f"?{request.url.query}" if request.url.query else "")
    token = options.auth_token.get_secret_value()
    twilio_receipts.verify(token, url, form, request.headers.get("x-twilio-signature"))
    said = twilio_receipts.read(dict(form), request.query_params.get("key"))
    return _Told(said, dump(said), twilio_receipts.arrival(dict(form)))


def _ovh(options: Any, token: str, query: Mapping[str, str]) -> _Told:
    if not hmac.compare_digest(token.encode(), options.receipt_token.get_secret_value().encode()):
        raise BadSignature("the token in the address is wrong")
    said = ovh_receipts.read(query)
    return _Told(said, dump(said), ovh_receipts.arrival(query))


_POSTED = {"http": _signed, "twilio": _twilio}


async def _keep(connection: Connection, name: str, told: _Told) -> None:
    receipt = told.said if isinstance(told.said, SmsReceipt) else None
    await receipts.keep(
        connection,
        channel="sms",
        kind="receipt" if receipt else "inbound",
        body=told.body,
        hint=receipt.client_reference if receipt else None,
        reference=f"{name}:{told.said.id}" if told.said.id else None,
        arrival=f"{name}:{told.arrival}",
    )


async def _body(request: Request) -> bytes | None:
    """The whole body, None when it is longer than LIMIT, whatever its headers said."""
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > LIMIT:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LIMIT:
            return None
    return bytes(body)
