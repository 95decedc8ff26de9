"""The pages: what arrived at each provider. Texts are read from the journals by offset, one page at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from sandbox import addresses, mime, phones
from sandbox.admin import Admin
from sandbox.faults import Faults
from sandbox.handsets import Handsets, status_now
from sandbox.journal import Line
from sandbox.mailbox import Mailbox
from sandbox.options import Options
from sandbox.view import View, page_asked, paged
from sandbox.wall import NAMES

_SIZE = 50
_SENDER = "Valmerande"
_MAIL_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"


@web.middleware
async def guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse what another site's page makes a browser send here."""
    origin = request.headers.get("Origin")
    if origin is not None and request.method not in ("GET", "HEAD") and urlsplit(origin).netloc != request.host:
        raise web.HTTPForbidden(text="from another site")
    return await handler(request)


class Pages:
    """The handlers of /, /inbox and /handset."""

    def __init__(
        self,
        options: Options,
        admin: Admin,
        faults: Faults,
        mailbox: Mailbox,
        handsets: Handsets,
    ) -> None:
        self._view = View(options.default_language)
        self._admin = admin
        self._faults = faults
        self._mailbox = mailbox
        self._handsets = handsets

    def routes(self) -> list[web.AbstractRouteDef]:
        """For the application."""
        return [
            web.get("/", self.index),
            web.get("/inbox", self.inbox),
            web.get(r"/inbox/{n:\d+}", self.mail),
            web.get(r"/inbox/{n:\d+}/html", self.mail_html),
            web.get(r"/inbox/{n:\d+}/source", self.mail_source),
            web.get("/handset", self.list_handsets),
            web.get("/handset/{number}", self.handset),
            web.static("/static", Path(__file__).parent / "static"),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """GET /."""
        return self._view.page(
            request,
            "index.html",
            "home",
            networks=list(NAMES.items()),
            counts=self._admin.counts(),
            faults=self._faults.as_json(),
            addresses=list(addresses.BEHAVIOURS),
            endings=list(phones.BEHAVIOURS),
            block=phones.BLOCK,
        )

    async def inbox(self, request: web.Request) -> web.Response:
        """GET /inbox?q=&page=: newest first."""
        page, asked = page_asked(request), request.query.get("q", "").strip()
        # scanning a large journal takes a while: not on the loop that answers SMTP
        mails, total = await asyncio.to_thread(self._mailbox.newest, (page - 1) * _SIZE, _SIZE, asked)
        return self._view.page(request, "inbox.html", "inbox", mails=mails, asked=asked, **paged(page, total, _SIZE))

    async def mail(self, request: web.Request) -> web.Response:
        """GET /inbox/{n}."""
        found = self._mail(request)
        if found is None:
            return self._missing(request, "inbox")
        line, content = found
        return self._view.page(
            request,
            "mail.html",
            "inbox",
            mail=line,
            bodies=None if content is None else mime.bodies(content),
            headers=None if content is None else mime.headers(content),
        )

    async def mail_html(self, request: web.Request) -> web.Response:
        """GET /inbox/{n}/html: the HTML part, cut off from everything by its own policy."""
        found = self._mail(request)
        html = mime.bodies(found[1]).html if found and found[1] is not None else None
        if html is None:
            return self._missing(request, "inbox")
        return _cut_off(html, "text/html")

    async def mail_source(self, request: web.Request) -> web.Response:
        """GET /inbox/{n}/source: the mail as it came."""
        found = self._mail(request)
        if found is None or found[1] is None:
            return self._missing(request, "inbox")
        return _cut_off(found[1].decode("utf-8", "replace"), "text/plain")

    async def list_handsets(self, request: web.Request) -> web.Response:
        """GET /handset?q=&page=: numbers, the latest first."""
        page, asked = page_asked(request), request.query.get("q", "").strip()
        wanted = "".join(asked.split()).replace("+", "")
        numbers = [entry for entry in await asyncio.to_thread(self._handsets.numbers) if wanted in entry[0]]
        shown = numbers[(page - 1) * _SIZE : page * _SIZE]
        return self._view.page(
            request, "handsets.html", "handset", numbers=shown, asked=asked, **paged(page, len(numbers), _SIZE)
        )

    async def handset(self, request: web.Request) -> web.Response:
        """GET /handset/{number}."""
        number = request.match_info["number"]
        if not phones.is_number(number):
            return self._missing(request, "handset")
        lines = await asyncio.to_thread(self._handsets.conversation, number)
        senders = [line["sender"] for line in lines if line["kind"] == "message"]
        return self._view.page(
            request,
            "handset.html",
            "handset",
            number=number,
            lines=lines,
            told=status_now,
            last_sender=senders[-1] if senders else _SENDER,
        )

    def _mail(self, request: web.Request) -> tuple[Line, bytes | None] | None:
        try:
            line = self._mailbox.mail(int(request.match_info["n"]))
        except IndexError:
            return None
        return line, self._mailbox.content(line)

    def _missing(self, request: web.Request, section: str) -> web.Response:
        return self._view.page(request, "missing.html", section, status=404)


def _cut_off(text: str, kind: str) -> web.Response:
    headers = {
        "Content-Security-Policy": _MAIL_POLICY,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(text=text, content_type=kind, charset="utf-8", headers=headers)
