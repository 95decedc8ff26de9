"""One HTTP exchange with a provider, and the two questions that decide between "try again" and "it may be out
there": did any byte of the request leave, and did a whole reply come.

httpx's exceptions blur the first (the same ReadError for a reused connection and for a lost reply), so the
exchange watches httpcore's trace instead.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from publishers.base import PublishError, Unknown, Untried
from publishers.deadline import is_over

KEEP_ALIVE = 2.0
"""Seconds an idle connection is kept. Servers commonly close theirs after 5 s; reusing one in that instant
would leave an outcome unknown for nothing."""

_WRITES = ("send_request_headers.started", "send_request_body.started")
_OF_THE_CONTENT = frozenset({"content-encoding", "content-length", "transfer-encoding"})


@dataclass(slots=True)
class Exchange:
    """What is known of one request. ``begun`` turns true when its first byte is about to leave."""

    begun: bool = False

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Listens to httpcore (its "trace" extension)."""
        # CONNECT asks a proxy for the way; nothing of the message leaves before that is open
        if event.endswith(_WRITES) and info["request"].method != b"CONNECT":
            # A worker that was stopped and goes on: another may have asked about its messages, and sent them. Between
            # headers and body others have their turn, and a stop meets many there: a provider has no message yet.
            if is_over():
                raise self.lost("its turn came when the send was over")
            self.begun = True

    def lost(self, why: str) -> PublishError:
        """The error of a message whose reply will not come: Unknown once it may have left, else Untried."""
        return Unknown(why) if self.begun else Untried(why)


def bearer(token: str) -> dict[str, str]:
    """The header of a token (RFC 6750)."""
    return {"Authorization": f"Bearer {token}"}


class Wire:
    """The way to one account at a provider: ``width`` requests at a time, each within ``seconds`` altogether.

    ``headers`` go with every request. Redirects are not followed: they would take the token elsewhere. ``verify``:
    the certificates to trust, where those of the system are not the ones.

    Takes turns by itself, because httpx's pool goes on opening connections for those in its queue after it was
    closed: they would be sent when everybody believes that nothing is.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        width: int,
        seconds: float,
        *,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        self._url = url.rstrip("/")
        self._seconds = seconds
        self._turns = asyncio.Semaphore(width)
        self._closed = False
        self._client = httpx.AsyncClient(
            headers=dict(headers),
            limits=httpx.Limits(max_connections=width, max_keepalive_connections=width, keepalive_expiry=KEEP_ALIVE),
            verify=verify,
            timeout=None,  # the time of the whole is kept here, waiting for a turn included
        )

    def request(self, method: str, path: str, **content: Any) -> httpx.Request:
        """A request to ``path`` ("/…") at the provider; ``content`` as ``httpx.AsyncClient.build_request`` takes it."""
        return self._client.build_request(method, f"{self._url}{path}", **content)

    async def send(
        self, request: httpx.Request, exchange: Exchange, within: float | None = None, *, at_most: int | None = None
    ) -> httpx.Response:
        """The whole reply, whatever its status, ``within`` these seconds instead of the wire's own.

        With ``at_most``, no more than so many bytes of its content are read, as they came (compressed, perhaps).
        Raises Untried when nothing left, Unknown when no reply came.
        """
        seconds = self._seconds if within is None else within
        request.extensions = {**request.extensions, "trace": exchange.trace}
        try:
            async with asyncio.timeout(seconds), self._turns:
                if self._closed:
                    raise Untried("the channel was closed")
                if at_most is None:
                    return await self._client.send(request)
                return await self._begun(request, at_most)
        except TimeoutError:
            raise exchange.lost(f"no answer within {seconds:.3g} s") from None
        except httpx.RequestError as error:
            raise exchange.lost(f"{type(error).__name__}: {error}".rstrip(": ")) from error

    async def _begun(self, request: httpx.Request, at_most: int) -> httpx.Response:
        response = await self._client.send(request, stream=True)
        content = bytearray()
        try:
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > at_most:
                    break
        finally:
            await response.aclose()
        headers = [pair for pair in response.headers.multi_items() if pair[0] not in _OF_THE_CONTENT]
        return httpx.Response(response.status_code, headers=headers, content=bytes(content[:at_most]), request=request)

    async def aclose(self) -> None:
        """Close the connections: what is under way ends Unknown, what waits for its turn or comes later Untried."""
        self._closed = True
        await self._client.aclose()
