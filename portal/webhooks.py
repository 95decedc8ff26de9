"""The door for providers: what they report is checked, stored and committed, and only then acknowledged."""

from datetime import UTC, datetime

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from hub.settings import Settings
from portal.database import Database
from schemas.webhooks import BadSignature, BadWebhook, SmsReceipt, parse, verify
from store import receipts
from store.database import Connection

LIMIT = 64 * 1024
_log = structlog.get_logger(__name__)


def routes(database: Database, settings: Settings) -> APIRouter:
    """``POST /webhooks/sms``: 204 kept, 400 not understood, 401 not signed by the gateway, 413 too long.

    503 while PostgreSQL is away: the gateway then tries again, as Standard Webhooks asks of it.
    """
    router = APIRouter()

    @router.post("/webhooks/sms")
    async def sms(request: Request) -> Response:
        options = settings.channels.get("sms")
        if options is None:
            return PlainTextResponse("The channel sms is not set up here.\n", 404)
        body = await _body(request)
        if body is None:
            return PlainTextResponse(f"A webhook has at most {LIMIT} bytes.\n", 413)
        try:
            webhook_id = verify(dict(request.headers), body, options.webhook_secrets, datetime.now(UTC))
        except BadSignature as error:
            _log.warning("webhook refused", reason=str(error))
            return PlainTextResponse(f"Not signed by the gateway: {error}.\n", 401)
        try:
            said = parse(body)
        except BadWebhook as error:
            return PlainTextResponse(f"Not understood: {error}.\n", 400)
        async with database.connection() as connection:
            await _keep(connection, said, body, webhook_id)
        return Response(status_code=204)

    return router


async def _keep(connection: Connection, said: object, body: bytes, webhook_id: str) -> None:
    receipt = said if isinstance(said, SmsReceipt) else None
    await receipts.keep(
        connection,
        channel="sms",
        kind="receipt" if receipt else "inbound",
        body=body,
        hint=receipt.client_reference if receipt else None,
        reference=getattr(said, "id", None),
        arrival=webhook_id,
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
