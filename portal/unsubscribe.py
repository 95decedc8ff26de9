"""The way out: a link in every message, one button, and the way back. Nobody signs in, nothing is asked twice.

A mail client's own button posts ``List-Unsubscribe=One-Click`` (RFC 8058) without cookies; the signed token in
the address is all the proof there is, and all that is needed. A GET never unsubscribes: link scanners follow links.
"""

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from hub.addresses import Signer
from hub.settings import Settings
from portal.access import TokenBucket, client_of
from portal.database import Database
from portal.pages import Pages
from store import optouts
from store.optouts import OptOutRecipient

_FORM_LIMIT = 4096


def routes(database: Database, pages: Pages, settings: Settings) -> APIRouter:
    """``GET`` and ``POST /u/{token}``. Guessing tokens is slowed down; a valid token is never refused."""
    router = APIRouter()
    signer = Signer(settings.links.secret.get_secret_value().encode())
    guesses = TokenBucket(burst=20, per_second=0.2)

    def recipient_id_of(request: Request, token: str) -> int | None:
        found = signer.recipient_of(token)
        if found is None and not guesses.take(client_of(request)):
            raise HTTPException(429)
        return found if found is not None and found < 2**63 else None

    async def load(request: Request, token: str) -> OptOutRecipient | None:
        recipient_id = recipient_id_of(request, token)
        if recipient_id is None:
            return None
        async with database.connection() as connection:
            return await optouts.recipient_for(connection, recipient_id)

    @router.api_route("/u/{token}", methods=["GET", "HEAD"])
    async def ask(request: Request, token: str) -> Response:
        recipient = await load(request, token)
        if recipient is None:
            return pages.page(request, "leave_invalid.html", status=404)
        async with database.connection() as connection:
            silent = await optouts.suppression(connection, *_of(recipient), recipient.stream)
            # whoever had left everything and came back to information still hears no alerts
            still = await optouts.suppression(connection, *_of(recipient), "alerts") if recipient.stream else None
        step = "silent" if silent else "back" if "back" in request.query_params else "ask"
        return pages.page(
            request,
            "leave.html",
            language=recipient.language,
            step=step,
            silent=silent,
            alerts="on" if still is None else "off",
            recipient=recipient,
            address=masked(recipient.channel, recipient.address),
        )

    @router.post("/u/{token}")
    async def act(request: Request, token: str) -> Response:
        recipient = await load(request, token)
        if recipient is None:
            return pages.page(request, "leave_invalid.html", status=404)
        if not request.headers.get("content-length", "x").isdigit() or (
            int(request.headers["content-length"]) > _FORM_LIMIT
        ):
            raise HTTPException(413)
        async with request.form(max_files=0, max_fields=10) as form:
            one_click = form.get("List-Unsubscribe") == "One-Click"
            back = form.get("action") == "return"
            leave = form.get("action") == "leave"
        if not (one_click or back or leave):
            raise HTTPException(400)
        async with database.connection() as connection:
            if back:
                await optouts.restore(connection, *_of(recipient), recipient.stream)
            else:
                await optouts.suppress(connection, *_of(recipient), "unsubscribed", recipient.stream)
        if one_click:  # a mail client: it follows no redirect and shows nothing
            return Response(status_code=200)
        return RedirectResponse(f"{request.url.path}?back=1" if back else request.url.path, 303)

    return router


def _of(recipient: OptOutRecipient) -> tuple[int, str, str]:
    return recipient.authority_id, recipient.channel, recipient.address


def masked(channel: str, address: str) -> str:
    """An address that its owner recognises and nobody else learns."""
    dots = "•••"
    if channel == "email" and "@" in address:
        local, _, domain = address.rpartition("@")
        return f"{local[:1]}{dots}@{domain}"
    return f"{dots}{address[-2:]}"
