"""HTTP misbehaviour that every provider's API may show: slowness, silence, closing without an answer."""

import asyncio
from typing import NoReturn

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


def bearer(request: web.Request) -> str | None:
    """The token of the Authorization header, None when there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
