"""The portal's web application, and the process that serves it."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
import uvicorn
from fastapi import FastAPI, Form, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.base import RequestResponseEndpoint

from hub.settings import Settings
from portal import health, tracking, unsubscribe, webhooks
from portal.access import COOKIE, SESSION_S, Officers, SecurityHeaders, TokenBucket, client_of, is_open
from portal.database import Database, DatabaseAway
from portal.filters import BadFilter
from portal.pages import HERE, Pages
from portal.texts import TEXTS
from publishers.registry import CHANNELS

_log = structlog.get_logger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """The application of one process. Its database is reached when it is there; meanwhile pages answer 503."""
    database = Database(settings.database.get_secret_value())
    pages = Pages(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await database.aclose()

    app = FastAPI(title="Tambour", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    app.include_router(health.routes(database, figures=settings.observe.portal))
    app.include_router(webhooks.routes(database, settings))
    app.include_router(unsubscribe.routes(database, pages, settings))
    app.include_router(tracking.routes(database, pages, tuple(CHANNELS)))
    _guard(app, pages, Officers.of(settings))
    _explain(app, pages)
    app.add_middleware(SecurityHeaders)
    return app


def _guard(app: FastAPI, pages: Pages, officers: Officers) -> None:
    """Keep tracking pages for officers, with a sign-in page where there is a token."""
    attempts = TokenBucket(burst=10, per_second=0.1)

    @app.middleware("http")
    async def officers_only(request: Request, call_next: RequestResponseEndpoint) -> Response:
        cookie = request.cookies.get(COOKIE)
        if is_open(request.url.path) or officers.admits(request.headers, cookie, time.time()):
            return await call_next(request)
        if officers.token is not None and request.method == "GET" and not _wants_json(request):
            return RedirectResponse("/login", 303)
        return _error(request, pages, 401 if officers.token is not None else 403)

    @app.get("/login")
    async def login_form(request: Request) -> Response:
        if officers.token is None:
            return RedirectResponse("/", 303)
        return pages.page(request, "login.html", wrong=False)

    @app.post("/login")
    async def login(request: Request, token: str = Form(default="", max_length=500)) -> Response:
        if not attempts.take(client_of(request)):
            raise HTTPException(429)
        if not officers.knows(token):
            return pages.page(request, "login.html", status=401, wrong=True)
        response = RedirectResponse("/", 303)
        response.set_cookie(
            COOKIE,
            officers.session(time.time()),
            max_age=SESSION_S,
            httponly=True,
            samesite="strict",
            secure=officers.secure,
        )
        return response

    @app.post("/logout")
    async def logout() -> Response:
        response = RedirectResponse("/login", 303)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=officers.secure)
        return response


def _explain(app: FastAPI, pages: Pages) -> None:
    """Every failure as a page in words, or as JSON where JSON was asked for."""

    @app.exception_handler(DatabaseAway)
    async def away(request: Request, _: Exception) -> Response:
        response = _error(request, pages, 503)
        response.headers["Retry-After"] = "5"
        return response

    @app.exception_handler(BadFilter)
    async def bad_filter(request: Request, error: Exception) -> Response:
        return _error(request, pages, 400, str(error))

    @app.exception_handler(RequestValidationError)
    async def not_found(request: Request, _: Exception) -> Response:
        return _error(request, pages, 404)  # the parts of an address are all that is validated

    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, StarletteHTTPException)
        response = _error(request, pages, error.status_code)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> Response:
        _log.error(
            "request failed", path=request.scope["route"].path if "route" in request.scope else None, exc_info=error
        )
        return _error(request, pages, 500)


def _wants_json(request: Request) -> bool:
    return request.url.path.startswith("/api/") or request.url.path.endswith(".json")


def _error(request: Request, pages: Pages, status: int, detail: str | None = None) -> Response:
    key = f"error.{status}"
    english = detail or (TEXTS[key][1] if key in TEXTS else f"HTTP {status}")
    if _wants_json(request):
        return JSONResponse({"error": english}, status)
    if request.url.path.startswith("/webhooks/"):
        return PlainTextResponse(f"{english}\n", status)
    title = f"{key}.title" if f"{key}.title" in TEXTS else "error.400.title"
    text = key if detail is None and key in TEXTS else None
    return pages.page(request, "error.html", status=status, title_key=title, text_key=text, detail=detail)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then let running requests end (5 s) and return. Logs no address or token."""
    config = uvicorn.Config(
        create_app(settings),
        host=settings.portal.host,
        port=settings.portal.port,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,
        lifespan="on",
    )
    # uvicorn raises the signal again once it has shut down: an end that was asked for is a success
    for asked in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked, lambda *_: None)
    asyncio.run(uvicorn.Server(config).serve())
