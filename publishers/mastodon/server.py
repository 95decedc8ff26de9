"""The way to one Mastodon account: its calls, what refusals mean, and the pauses that the server asks for."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import httpx
import structlog
from pydantic import BaseModel, ValidationError

from publishers.base import Permanent, PublishError, Transient, Unknown, Untried
from publishers.http_errors import by_status, harmless, is_settings_fault, retry_after, until
from publishers.http_exchange import Exchange, Wire
from publishers.rest import Rest
from publishers.verdicts import Verdict, settings

log = structlog.get_logger(__name__)

REFUSALS: Mapping[int, Verdict] = MappingProxyType(
    {
        400: Verdict(Permanent, "the server can't read the request"),
        # These blame the account or its address.
        401: settings("the server refuses the account's token: it was revoked, or is another server's"),
        403: settings(
            "the account may not do this: its token lacks write:statuses or write:media, or it was suspended"
        ),
        404: settings("there is no Mastodon interface at the account's address"),
        # The post, or its reference, was deleted, and will not come back.
        410: Verdict(Permanent, "there is no such post any more"),
        413: Verdict(Permanent, "the server's front takes no picture of that size"),
        # Too long, empty, a picture that is none: the same at every try.
        422: Verdict(Permanent, "the server does not accept this post"),
        # The server says that it has taken nothing.
        429: Verdict(Transient, "the server asks to slow down"),
        503: Verdict(Transient, "the server takes nothing at present"),
        # A proxy, or the server after the post was stored: the key makes another try harmless.
        500: Verdict(Unknown, "the server failed, perhaps after it had taken the post"),
        502: Verdict(Unknown, "the server's front got no answer from it"),
        504: Verdict(Unknown, "the server's front waited too long for it"),
    }
)
"""Mastodon tells errors by status and a sentence, without codes. A status that is not here is judged by its class
(RFC 9110), and logged as new."""


class _Error(BaseModel):
    error: str


@dataclass(slots=True)
class Server:
    """One account's server, by the account's ``name`` in the settings. ``seconds`` are those of a whole exchange."""

    name: str
    wire: Wire
    seconds: float
    rest: Rest = field(default_factory=Rest)

    def ends(self, share: float = 1.0) -> float:
        """When that share of an exchange which begins now is over, on the loop's clock."""
        return asyncio.get_running_loop().time() + self.seconds * share

    async def call(
        self, method: str, path: str, exchange: Exchange, ends: float | None = None, **content: Any
    ) -> httpx.Response:
        """The reply, whatever its status, before ``ends``. Each kind of call rests when the server wants it to.

        Raises Untried when nothing left, Unknown when no reply came, Transient while this kind of call rests.
        """
        kind = f"{method} {path.split('/')[3].partition('?')[0]}"  # /api/v1/statuses: their limits are apart
        limit = f"{self.name} {kind}"
        self.rest.check(limit)
        request = self.wire.request(method, path, **content)
        within = self.seconds if ends is None else ends - asyncio.get_running_loop().time()
        if within <= 0:
            raise Untried("its time was over before its turn")
        response = await self.wire.send(request, exchange, within)
        limited = response.status_code == 429 or response.headers.get("x-ratelimit-remaining") == "0"
        if limited:
            self.rest.ask(limit, pause(response.headers), f"the server takes no more of {kind} for now")
        return response

    async def read(self, path: str, ends: float | None = None) -> bytes:
        """What a GET brings. Raises Transient when the server can't say now."""
        response = await self.ask("GET", path, ends)
        if not response.is_success:
            error = self.refusal(response)  # loud when somebody must mend something
            raise Transient(error.reason, code=error.code, retry_after=pause(response.headers)) from error
        return response.content

    async def ask(self, method: str, path: str, ends: float | None = None, **content: Any) -> httpx.Response:
        """The reply to a call that publishes nothing. Raises Transient, or Untried, when none came."""
        try:
            return await self.call(method, path, Exchange(), ends, **content)
        except Unknown as error:
            raise harmless(error) from error

    def refusal(self, response: httpx.Response) -> PublishError:
        """The error that a reply other than a success means."""
        status = response.status_code
        said = words(response)
        verdict = REFUSALS.get(status)
        if verdict is None and is_settings_fault(status):
            verdict = settings("the account's address is wrong, or does not speak to us")
        rest = pause(response.headers)
        if verdict is None:
            log.error("mastodon.new_error_code", account=self.name, code=str(status), message=said)
            return by_status(status, said, code=str(status), retry_after=rest)
        if verdict.settings_fault:
            log.error("mastodon.settings_fault", account=self.name, code=str(status), message=said)
        return verdict.error_of(str(status), rest, said)


def words(response: httpx.Response) -> str:
    """The server's own sentence, or its status when it has none."""
    try:
        return _Error.model_validate_json(response.content).error
    except ValidationError:
        return f"the server answered {response.status_code}"


def is_missing(response: httpx.Response) -> bool:
    """Whether the interface itself says that a post is gone, and not some web server that knows no such address."""
    if response.status_code == httpx.codes.GONE:
        return True
    try:
        return response.status_code == httpx.codes.NOT_FOUND and bool(_Error.model_validate_json(response.content))
    except ValidationError:
        return False


def pause(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: ``Retry-After``, else until ``X-RateLimit-Reset`` (ISO 8601) when nothing remains."""
    now = datetime.now(UTC)
    asked = retry_after(headers, now)
    if asked is not None or headers.get("x-ratelimit-remaining") != "0":
        return asked
    reset = headers.get("x-ratelimit-reset", "")
    try:
        moment = datetime.fromtimestamp(int(reset), UTC) if reset.isdigit() else datetime.fromisoformat(reset)
    except (ValueError, OverflowError, OSError):
        return None
    return until(moment, now)
