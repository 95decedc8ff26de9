"""Mastodon: posts on the authority's own accounts (docs.joinmastodon.org, /api/v1/statuses).

Spoken over httpx and not by Mastodon.py, which the first design named: that one is synchronous, so that a
deadline leaves a thread posting behind our back, and reports a refused connection and a lost reply by the same
exception, where "nothing left" and "it may be out there" are exactly what must be told apart. Three calls of
the API are all that is needed.

``Idempotency-Key`` makes a repeated post return the first one, for as long as the server keeps the key
(``KEY_KEPT``). After that, and only then, a post of unknown outcome must be looked for with ``find`` before it
is sent again.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Annotated

import httpx
import structlog
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
)

from publishers.base import Limits, PublishError, Receipt, Transient, Unclear, Unknown
from publishers.http_errors import by_status, is_settings_fault, retry_after, until
from publishers.http_exchange import Exchange, Wire, bearer
from schemas.messages import Post

log = structlog.get_logger(__name__)

KEY_KEPT = timedelta(minutes=55)
"""Until when after the first try a repeat is safe: servers keep keys for an hour, less a margin for clocks.

Nor should it follow at once: the key is known when the first post is stored, so a server still busy with it
could make two. A retry's ordinary pause is enough."""

_LOOKED_AT = 40  # the most that the server gives on one page


class Account(BaseModel):
    """One account of the authority: its server's address and a token with the scopes read and write:statuses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: HttpUrl
    token: SecretStr = Field(min_length=1)


class MastodonOptions(BaseModel):
    """Settings of the channel. ``accounts`` by the name that authorities use; ``timeout`` in seconds, of a post.

    ``max_characters`` is the server's limit (500 unless its administrator raised it).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    accounts: dict[str, Account] = Field(min_length=1)
    timeout: float = Field(default=4.0, gt=0, le=60)
    max_characters: int = Field(default=500, ge=1)


class _Status(BaseModel):
    id: Annotated[str, Field(min_length=1)]
    created_at: AwareDatetime
    url: str | None = None


class _Source(BaseModel):
    text: str


class _Me(BaseModel):
    id: Annotated[str, Field(min_length=1)]


class _Error(BaseModel):
    error: str


_STATUSES = TypeAdapter(list[_Status])

SETTINGS_FAULTS: Mapping[int, str] = MappingProxyType(
    {
        401: "the server refuses the account's token: it was revoked, or is another server's",
        403: "the account may not post: its token lacks write:statuses, or it was suspended or limited",
        404: "there is no Mastodon interface at the account's address",
    }
)
"""Refusals that blame the account, not the post: it waits (Transient) while somebody mends the settings,
because a permanent failure of every announcement would outlive the mending. Others go by their HTTP class:
422 (too long, empty, not valid) is Permanent, 429 and 503 are Transient, other 5xx are Unknown, which the key
makes harmless."""


class Mastodon:
    """The Mastodon channel; one HTTP client for each account, so that no token can reach another's server."""

    channel = "mastodon"
    unclear = Unclear.SEND_AGAIN

    def __init__(self, options: MastodonOptions) -> None:
        self.limits = Limits(window=10, concurrency=4, max_characters=options.max_characters)
        self._wires = {
            name: Wire(
                str(account.url), bearer(account.token.get_secret_value()), self.limits.concurrency, options.timeout
            )
            for name, account in options.accounts.items()
        }

    async def publish(self, message: Post) -> Receipt:
        """Post it; the receipt has the status's id and public address. See ``Publisher.publish``."""
        wire = self._wires.get(message.account)
        if wire is None:
            # Waits like a revoked token: naming the account in the settings mends it
            log.error("mastodon.settings_fault", account=message.account)
            reason = f"no account {message.account!r} in the settings"
            raise Transient(reason, code="no_account")
        request = wire.request(
            "POST",
            "/api/v1/statuses",
            json={"status": message.text, "language": message.language, "visibility": "public"},
            headers={"Idempotency-Key": message.key},
        )
        response = await wire.send(request, Exchange())
        if not response.is_success:
            raise refusal(response, message.account)
        try:
            status = _Status.model_validate_json(response.content)
        except ValidationError as error:
            raise Unknown(f"answer {response.status_code} without the post's id") from error
        return Receipt(reference=status.id, url=status.url)

    @property
    def key_kept(self) -> timedelta:
        """See KEY_KEPT."""
        return KEY_KEPT

    async def find(self, message: Post, since: datetime, /) -> Receipt | None:
        """The account's post with exactly this text, made at ``since`` (the first try) or later; else None.

        For a post still unknown after ``KEY_KEPT``. The API can't be asked by key, so this compares texts as
        they were sent, among the last 40 posts: it can't tell two posts of the same words apart, and finds
        nothing that somebody has edited since. Raises Transient when the server can't say now.
        """
        wire = self._wires.get(message.account)
        if wire is None:
            raise Transient(f"no account {message.account!r} in the settings", code="no_account")
        try:
            me = _Me.model_validate_json(await self._get(wire, "accounts/verify_credentials"))
            recent = f"accounts/{me.id}/statuses?exclude_reblogs=true&limit={_LOOKED_AT}"
            for status in _STATUSES.validate_json(await self._get(wire, recent)):
                if status.created_at < since:
                    continue
                source = await self._get(wire, f"statuses/{status.id}/source")
                if _Source.model_validate_json(source).text == message.text:
                    return Receipt(reference=status.id, url=status.url)
        except ValidationError as error:
            raise Transient("the server's answer can't be read") from error
        return None

    async def aclose(self) -> None:
        """Close the connections; a post under way ends Unknown, a later one Untried."""
        for wire in self._wires.values():
            await wire.aclose()

    async def _get(self, wire: Wire, path: str) -> bytes:
        request = wire.request("GET", f"/api/v1/{path}")
        try:
            response = await wire.send(request, Exchange())
        except Unknown as error:
            raise Transient(error.reason) from error
        if not response.is_success:
            raise Transient(f"the server answered {response.status_code}", retry_after=pause(response.headers))
        return response.content


def refusal(response: httpx.Response, account: str) -> PublishError:
    """The error that a reply other than a success means."""
    status = response.status_code
    try:
        said = _Error.model_validate_json(response.content).error
    except ValidationError:
        said = f"the server answered {status}"
    if is_settings_fault(status):
        log.error("mastodon.settings_fault", account=account, status=status, message=said)
        said = f"{SETTINGS_FAULTS.get(status, 'the account or its address is wrong')} ({said})"
    return by_status(status, said, code=str(status), retry_after=pause(response.headers))


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
