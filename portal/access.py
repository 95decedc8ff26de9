"""Who may read what: citizens' and providers' doors are open, tracking pages are for officers only.

Without an officer token, tracking pages are served to this machine alone: the server must be bound to loopback,
the Host header must name loopback (so that no foreign page reaches us by DNS rebinding), and nothing may have
been forwarded by a proxy. With a token (``portal.officer_token``), it is asked for everywhere.
"""

import hashlib
import hmac
import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.settings import Settings

OPEN = ("/u/", "/webhooks/", "/static/", "/healthz", "/readyz", "/login")
"""Paths (prefixes) that need no officer: each has its own proof, or shows nothing."""

COOKIE = "tambour_officer"
SESSION_S = 12 * 3600
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class SecurityHeaders:
    """ASGI middleware: the same strict headers on every answer; nothing but static files may be kept by caches."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                static = scope["path"].startswith("/static/") and message["status"] == 200
                headers["Cache-Control"] = "public, max-age=86400" if static else "no-store"
            await send(message)

        await self._app(scope, receive, guarded)


def _loopback(name: str) -> bool:
    bare = name.strip("[]").lower()
    try:
        return bare == "localhost" or ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Officers:
    """Decides whether a request comes from an officer. ``token`` is None where only this machine may look."""

    bound_to: str
    token: str | None
    key: bytes
    secure: bool

    @classmethod
    def of(cls, settings: Settings) -> "Officers":
        """From the settings; the key that signs sessions changes with the link secret and with the token."""
        secret: Any = getattr(settings.portal, "officer_token", None)
        token: str | None = secret.get_secret_value() if secret is not None else None
        material = f"officer session\0{settings.links.secret.get_secret_value()}\0{token}".encode()
        return cls(
            settings.portal.host,
            token,
            hashlib.sha256(material).digest(),
            settings.links.public_url.scheme == "https",
        )

    def admits(self, headers: Headers, cookie: str | None, now: float) -> bool:
        """Whether these headers come from an officer (token, session), or from this very machine."""
        if self.token is None:
            host = headers.get("host", "")
            name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
            forwarded = any(header in headers for header in _FORWARDED)
            return _loopback(self.bound_to) and _loopback(name) and not forwarded
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.knows(bearer):
            return True
        return cookie is not None and self._session_holds(cookie, now)

    def knows(self, token: str) -> bool:
        """Whether that is the token; takes the same time whichever part is wrong."""
        return self.token is not None and hmac.compare_digest(token.strip().encode(), self.token.encode())

    def session(self, now: float) -> str:
        """The value of a new session cookie: when it ends, signed."""
        until = str(int(now + SESSION_S))
        return f"{until}.{self._mac(until)}"

    def _session_holds(self, cookie: str, now: float) -> bool:
        until, _, mac = cookie.partition(".")
        # the signature first: an unsigned number is not even read
        return hmac.compare_digest(mac.encode(), self._mac(until).encode()) and int(until) > now

    def _mac(self, text: str) -> str:
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()


def is_open(path: str) -> bool:
    """Whether a path needs no officer."""
    return any(path == prefix.rstrip("/") or path.startswith(prefix) for prefix in OPEN)


class TokenBucket:
    """So many at once, then so many a second, for each key. In this process only; forgets the keys used least."""

    def __init__(
        self, burst: int, per_second: float, *, keys: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst, self._rate, self._keys, self._clock = burst, per_second, keys, clock
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, key: str) -> bool:
        """Take one; False when the bucket of that key is empty."""
        now = self._clock()
        level, at = self._levels.pop(key, (float(self._burst), now))
        level = min(self._burst, level + (now - at) * self._rate)
        allowed = level >= 1
        self._levels[key] = (level - 1 if allowed else level, now)
        if len(self._levels) > self._keys:
            self._levels.pop(next(iter(self._levels)))
        return allowed


def client_of(request: Request) -> str:
    """The address a request came from, as far as this server can know."""
    return request.client.host if request.client else ""
