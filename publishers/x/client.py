"""The way to one account of X: tweepy's ``AsyncClient`` knows the API's calls, this file how they are sent.

tweepy 4.17 sends by itself, but its ``request``
- has the host written into it, so that no sandbox and no test can stand in for X;
- writes the signed header, or the token, into its debug log, as does the library that signs for it;
- opens a session without a deadline, and cannot say whether anything of a request left before it failed;
- fails with a ``ContentTypeError`` on the HTML page with which X answers when it is overloaded;
- gives the headers of limits only with a 429, where those of a success say when the allowance is used up;
- carries JSON alone, while pictures go as a form: the asynchronous client of tweepy has no call for them (that of
  v1.1, which X has switched off, is in the synchronous one alone).

So ``request`` is replaced, and nothing else: no call of this client raises tweepy's own exceptions, and it never
waits for the end of a limit.
"""

import asyncio
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp
from tweepy.asynchronous import AsyncClient  # type: ignore[import-untyped]
from yarl import URL

from publishers.base import Untried
from publishers.http_exchange import KEEP_ALIVE, Exchange
from publishers.x.signature import authorization, escaped


@dataclass(frozen=True, slots=True)
class Reply:
    """What X answered, read whole. Names of headers in small letters."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        """Whether X did what it was asked."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """Who speaks: the application's key and secret and the account's (OAuth 1.0a, RFC 5849), or a token alone."""

    consumer_key: str = ""
    consumer_secret: str = ""
    access_token: str = ""
    access_token_secret: str = ""
    token: str = ""

    @property
    def sign(self) -> bool:
        """Whether requests are signed, rather than carrying the token."""
        return not self.token


_SECONDS: ContextVar[float | None] = ContextVar("seconds of the calls made here", default=None)


@contextmanager
def lasting(seconds: float) -> Iterator[None]:
    """Calls made inside last so long at most: tweepy's own have no parameter that could say it."""
    before = _SECONDS.set(seconds)
    try:
        yield
    finally:
        _SECONDS.reset(before)


class Client(AsyncClient):  # type: ignore[misc]
    """tweepy's calls for one account: ``width`` of them at a time, each within ``seconds`` altogether.

    Every call raises Untried when nothing of it left, Unknown when no whole answer came; any answer is a ``Reply``.
    """

    def __init__(self, url: str, keys: Keys, width: int, seconds: float) -> None:
        super().__init__(
            keys.token or None,
            keys.consumer_key,
            keys.consumer_secret,
            keys.access_token,
            keys.access_token_secret,
            return_type=aiohttp.ClientResponse,  # tweepy then passes on whatever ``request`` returns
        )
        self.session: aiohttp.ClientSession | None = None
        self.keys = keys
        self._url = url.rstrip("/")
        self._seconds = seconds
        self._turns = asyncio.Semaphore(width)
        self._closed = False

    async def request(
        self,
        method: str,
        route: str,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        user_auth: bool = False,
        *,
        form: aiohttp.FormData | None = None,
    ) -> Reply:
        """One exchange with X; ``form`` in place of ``json``."""
        exchange = Exchange()
        seconds = _SECONDS.get() or self._seconds
        try:
            async with asyncio.timeout(seconds), self._turns:
                if self._closed:
                    raise Untried("the channel was closed")
                url, headers = self._signed(method, route, params or {})
                async with self._opened().request(
                    method,
                    url,
                    json=json,
                    data=form,
                    headers=headers,
                    allow_redirects=False,  # they would take the token elsewhere
                    trace_request_ctx=exchange,
                ) as response:
                    names = {name.lower(): value for name, value in response.headers.items()}
                    return Reply(response.status, names, await response.read())
        except TimeoutError:
            raise exchange.lost(f"no answer within {seconds:.3g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise exchange.lost(f"{type(error).__name__}: {error}".rstrip(": ")) from error

    async def aclose(self) -> None:
        """Close the connections: what is under way ends Unknown, what waits for its turn or comes later Untried."""
        self._closed = True
        if self.session is not None:
            await self.session.close()

    def _signed(self, method: str, route: str, params: Mapping[str, Any]) -> tuple[URL, dict[str, str]]:
        url, keys = f"{self._url}{route}", self.keys
        query = sorted((name, str(value)) for name, value in params.items())
        header = f"Bearer {keys.token}"
        if keys.sign:
            header = authorization(
                method,
                url,
                query,
                key=(keys.consumer_key, keys.consumer_secret),
                token=(keys.access_token, keys.access_token_secret),
                nonce=secrets.token_hex(16),
                timestamp=int(time.time()),
            )
        asked = "&".join(f"{escaped(name)}={escaped(value)}" for name, value in query)
        whole = URL(f"{url}?{asked}" if asked else url, encoded=True)  # as it was signed, octet by octet
        return whole, {"User-Agent": self.user_agent, "Authorization": header}

    def _opened(self) -> aiohttp.ClientSession:
        """The session, opened at the first call: it belongs to the loop that runs then."""
        if self.session is None:
            tracing = aiohttp.TraceConfig()
            tracing.on_connection_create_start.append(_once)
            tracing.on_connection_create_end.append(_begun)
            tracing.on_connection_reuseconn.append(_once)
            tracing.on_connection_reuseconn.append(_begun)
            self.session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # the time of the whole is kept above
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=True,  # town halls have proxies
                trace_configs=[tracing],
            )
        return self.session


async def _begun(_: aiohttp.ClientSession, context: SimpleNamespace, __: Any) -> None:
    """A connection is there, its TLS handshake done: from now on a byte of the request may have left."""
    context.trace_request_ctx.begun = True


async def _once(_: aiohttp.ClientSession, context: SimpleNamespace, __: Any) -> None:
    """aiohttp sends a GET or DELETE again by itself when the connection broke: whether to is the hub's to say."""
    if context.trace_request_ctx.begun:
        raise aiohttp.ServerDisconnectedError
