"""HTTP as every provider's API may show it: refusals, silence, closing without an answer, tokens."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from aiohttp import web

_HANG_SECONDS = 600.0


async def hang() -> NoReturn:
    """Say nothing until the client gives up (its leaving cancels the handler)."""
    await asyncio.sleep(_HANG_SECONDS)
    raise web.HTTPGatewayTimeout


def drop(request: web.Request) -> web.Response:
    """Close the connection with nothing said; the response returned is never written."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()


def refused(status: int, body: Any, headers: Mapping[str, str] | None = None) -> web.HTTPException:
    """An answer in JSON of any status, as an exception that aiohttp turns into the response."""
    kind: type[web.HTTPException] = type("Refused", (web.HTTPException,), {"status_code": status})
    return kind(text=json.dumps(body), content_type="application/json", headers=headers or {})


def bearer(request: web.Request) -> str | None:
    """The token of the Authorization header, None when there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
