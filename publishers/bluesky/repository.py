"""The way to one account's repository: its session, and the pictures that its server holds for the next post.

Logging in is rationed per account (30 times in five minutes and 300 a day, on bsky.social 100 a day), so a session
is kept as long as it lasts: the access token (two hours), then the refresh token (weeks). It is kept in memory
only, so that each start of a process costs one log-in for each account it posts on: ten processes restarted every
ten minutes, or one that starts in a loop of a few seconds, use the day's ration up, and posts then wait until the
server lets the account in again.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from publishers.base import PublishError, Transient, Unknown, Untried
from publishers.bluesky.errors import Stage, is_session_over, pause, refusal
from publishers.bluesky.record import Json
from publishers.http_errors import harmless
from publishers.http_exchange import Exchange, Wire, bearer
from publishers.latest import Latest
from publishers.rest import Rest
from schemas.messages import Picture

M = TypeVar("M", bound=BaseModel)

REFUSED_FOR = 900.0
"""Seconds for which a refused log-in is not tried again: 96 times a day at most, within the ration."""

FAILED_FOR = 2.0
"""The same when the server could not be reached or failed: those who waited their turn need not find out too."""

BLOB_KEPT = 300.0
"""Seconds for which an uploaded picture is not sent again. Servers keep one that no post shows yet for "minutes"
(uploadBlob); it spares a post whose time was over before its last picture from starting with the first."""

_MOST_BLOBS = 64
_LOG_IN = "com.atproto.server.createSession"


def clock() -> float:
    """Of held log-ins, kept pictures and pauses, in seconds."""
    return time.monotonic()


@dataclass(frozen=True, slots=True)
class Session:
    """What the server gave for handle and app password. ``did`` names the account for ever, ``handle`` for now."""

    did: str
    handle: str
    access: str = field(repr=False)
    refresh: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Held:
    """A log-in that failed, and until when (monotonic seconds) the next would only fail like it."""

    error: PublishError
    until: float

    def again(self) -> PublishError:
        """The same for a post that came later."""
        if isinstance(self.error, Untried):
            return Untried(self.error.reason)
        asked = isinstance(self.error, Transient) and self.error.retry_after is not None
        left = self.until - clock() if asked else None
        return Transient(self.error.reason, code=self.error.code, retry_after=left)


class _Answer(BaseModel):
    did: str = Field(pattern=r"^did:")
    handle: str
    accessJwt: SecretStr
    refreshJwt: SecretStr


class _Link(BaseModel):
    link: str = Field(alias="$link", min_length=1)


class _Blob(BaseModel):
    """What a record holds of a file; its fields as they go back to the server."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["blob"] = Field(alias="$type")
    ref: _Link
    mimeType: str
    size: int


class _Uploaded(BaseModel):
    blob: _Blob


class Repository:
    """One account's repository on its server, spoken to over XRPC."""

    def __init__(
        self, name: str, url: str, identifier: str, password: SecretStr, width: int, seconds: float, rest: Rest
    ) -> None:
        self._name = name
        self._rest = rest
        self._identifier = identifier
        self._password = password
        # redirects are not followed, and bsky.social passes requests on to the account's host by itself: what the
        # settings name is all that ever sees a token
        self._wire = Wire(url, {}, width, seconds)
        self._session: Session | None = None
        self._held: _Held | None = None
        self._turn = asyncio.Lock()
        self._blobs: Latest[bytes, tuple[Json, float]] = Latest(_MOST_BLOBS)

    async def session(self) -> Session:
        """The session, after logging in where there is none. One log-in at a time.

        Raises Untried when nobody answers, Transient when the account is not let in; for a while afterwards, at
        once and without asking.
        """
        if self._session is None:
            async with self._turn:
                if self._session is None:
                    self._session = await self._log_in()
        return self._session

    async def write(self, method: str, body: Json) -> httpx.Response:
        """A procedure that changes the repository. Raises like ``Publisher.publish``."""
        return await self._call(Stage.WRITE, "POST", method, json=body)

    async def read(self, method: str, answer: type[M], **params: str) -> M:
        """A query, its answer read. Raises Untried, Transient, or Permanent when there is no such thing."""
        return await self._quietly(answer, lambda: self._call(Stage.PREPARATION, "GET", method, params=params))

    async def upload(self, picture: Picture) -> Json:
        """The blob that a post can show: the same for the same bytes. Raises like ``read``."""
        digest = hashlib.sha256(picture.content).digest()
        blob, until = self._blobs.get(digest, ({}, 0.0))
        if until > clock():
            return blob
        sent: dict[str, Any] = {"content": picture.content, "headers": {"Content-Type": picture.media_type}}
        made = await self._quietly(
            _Uploaded, lambda: self._call(Stage.PREPARATION, "POST", "com.atproto.repo.uploadBlob", **sent)
        )
        blob = made.blob.model_dump(by_alias=True)
        self._blobs[digest] = (blob, clock() + BLOB_KEPT)
        return blob

    def forget_pictures(self) -> None:
        """Send each again the next time: the server doesn't have them any more."""
        self._blobs.clear()

    async def aclose(self) -> None:
        """Close the connections: what is under way ends Unknown, what comes later Untried."""
        await self._wire.aclose()

    async def _call(self, stage: Stage, verb: str, method: str, **content: Any) -> httpx.Response:
        self._rest.check(self._limit(method))
        session = await self.session()
        response = await self._ask(session.access, verb, method, **content)
        if is_session_over(response):
            session = await self._renewed(session)
            response = await self._ask(session.access, verb, method, **content)
        if not response.is_success:
            raise refusal(response, self._name, stage)
        return response

    async def _ask(self, token: str | None, verb: str, method: str, **content: Any) -> httpx.Response:
        headers = {**(bearer(token) if token else {}), **content.pop("headers", {})}
        request = self._wire.request(verb, f"/xrpc/{method}", headers=headers, **content)
        response = await self._wire.send(request, Exchange())
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.headers.get("ratelimit-remaining") == "0":
            self._rest.ask(self._limit(method), pause(response), f"the server takes no more of {method} for now")
        return response

    def _limit(self, method: str) -> str:
        """Each method has a limit of its own."""
        return f"{self._name} {method}"

    async def _renewed(self, over: Session) -> Session:
        """The session that follows one that is over, by its refresh token, else by logging in."""
        async with self._turn:
            if self._session is None or self._session is over:
                self._session = await self._refreshed(over) or await self._log_in()
            return self._session

    async def _refreshed(self, over: Session) -> Session | None:
        """None when the refresh token is over as well. One whose answer got lost works a second time."""
        try:
            response = await self._ask(over.refresh, "POST", "com.atproto.server.refreshSession")
        except Unknown as error:
            raise Transient(f"no answer to the renewal of the session: {error.reason}") from error
        if response.is_success:
            return _session(response)
        if response.is_client_error and response.status_code != httpx.codes.TOO_MANY_REQUESTS:
            return None
        raise refusal(response, self._name, Stage.SESSION)

    async def _log_in(self) -> Session:
        if self._held is not None and self._held.until > clock():
            raise self._held.again()
        self._rest.check(self._limit(_LOG_IN))
        credentials = {"identifier": self._identifier, "password": self._password.get_secret_value()}
        try:
            response = await self._ask(None, "POST", _LOG_IN, json=credentials)
        except Untried as error:
            self._hold(error, FAILED_FOR)
            raise
        except Unknown as error:
            lost = Transient(f"no answer to the log-in: {error.reason}")
            self._hold(lost, FAILED_FOR)
            raise lost from error
        if response.is_success:
            return _session(response)
        refused = refusal(response, self._name, Stage.SESSION)
        self._hold(refused, FAILED_FOR if _is_passing(response) else REFUSED_FOR)
        raise refused

    def _hold(self, error: PublishError, seconds: float) -> None:
        asked = error.retry_after if isinstance(error, Transient) else None
        self._held = _Held(error, clock() + (seconds if asked is None else asked))

    async def _quietly(self, answer: type[M], call: Callable[[], Awaitable[httpx.Response]]) -> M:
        """The answer to something that publishes nothing, so that its loss leaves nothing unclear."""
        try:
            return answer.model_validate_json((await call()).content)
        except Unknown as error:
            raise harmless(error) from error
        except ValidationError as error:
            raise Transient("the server's answer can't be read") from error


def _session(response: httpx.Response) -> Session:
    try:
        answer = _Answer.model_validate_json(response.content)
    except ValidationError as error:
        raise Transient("the server's answer to the log-in can't be read") from error
    return Session(
        did=answer.did,
        handle=answer.handle,
        access=answer.accessJwt.get_secret_value(),
        refresh=answer.refreshJwt.get_secret_value(),
    )


def _is_passing(response: httpx.Response) -> bool:
    """Whether it is the server's trouble of the moment, rather than the account's."""
    status = response.status_code
    return status == httpx.codes.TOO_MANY_REQUESTS or (status >= 500 and status != httpx.codes.NOT_IMPLEMENTED)
