"""What a refusal over XRPC means for a post (atproto.com/specs/xrpc, and the sources of @atproto/pds).

A refusal is an HTTP status and ``{"error": name, "message": words}``; the name decides. What it means depends on
the stage too: a failed log-in or upload has published nothing, whatever the status.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from types import MappingProxyType

import httpx
import structlog
from pydantic import BaseModel, ValidationError

from publishers.base import Permanent, PublishError, Transient, Unknown
from publishers.http_errors import by_status, is_settings_fault, retry_after, until

log = structlog.get_logger(__name__)


class Stage(Enum):
    """What was asked for."""

    SESSION = auto()
    """A session: whatever is refused, it is the account's fault and not the post's."""
    PREPARATION = auto()
    """A picture, or a look: nothing is published by it."""
    WRITE = auto()


class Verdict(Enum):
    """What becomes of the post."""

    RENEW = "the session is over: once more with another one"
    SETTINGS = "it waits until somebody mends the account or its settings"
    LATER = "it was not taken; later it may be"
    REFUSED = "the same post would be refused again"
    UNCLEAR = "it may have been taken"


@dataclass(frozen=True, slots=True)
class Meaning:
    """An entry of the table: the verdict, why, and what an officer can do."""

    verdict: Verdict
    reason: str
    mend: str | None = None


_PASSWORD = "In Bluesky, make another app password (Settings, Privacy and security, App passwords), and put it here."
_STATUS = "Sign in to bsky.app as this account: it says what happened and how to object."
_URL = "Put the address of the account's server in url (https://bsky.social unless the town has a server of its own)."

ERRORS: Mapping[str, Meaning] = MappingProxyType(
    {
        # the session
        "ExpiredToken": Meaning(Verdict.RENEW, "the session is over", _PASSWORD),  # after two hours, as a 400
        "InvalidToken": Meaning(Verdict.RENEW, "the session is not known", _PASSWORD),  # the server has new keys
        # the account
        "AuthenticationRequired": Meaning(Verdict.SETTINGS, "the handle or the app password is refused", _PASSWORD),
        "AuthMissing": Meaning(Verdict.SETTINGS, "the server did not see our token", _URL),
        "AuthFactorTokenRequired": Meaning(
            Verdict.SETTINGS, "the account's own password needs a code by e-mail: an app password is wanted", _PASSWORD
        ),
        "Forbidden": Meaning(Verdict.SETTINGS, "the account may not do this", _PASSWORD),
        "AccountNotFound": Meaning(Verdict.SETTINGS, "the server has no such account (any more)", _URL),
        "AccountTakedown": Meaning(Verdict.SETTINGS, "Bluesky's moderators took the account down", _STATUS),
        "AccountSuspended": Meaning(Verdict.SETTINGS, "Bluesky's moderators suspended the account", _STATUS),
        "AccountDeactivated": Meaning(
            Verdict.SETTINGS, "the account is deactivated", "Sign in to bsky.app as this account and reactivate it."
        ),
        "RepoNotFound": Meaning(Verdict.SETTINGS, "the account is on another server", _URL),
        "RepoTakendown": Meaning(Verdict.SETTINGS, "Bluesky's moderators took the account down", _STATUS),
        "RepoSuspended": Meaning(Verdict.SETTINGS, "Bluesky's moderators suspended the account", _STATUS),
        "RepoDeactivated": Meaning(Verdict.SETTINGS, "the account is deactivated", _STATUS),
        "XRPCNotSupported": Meaning(Verdict.SETTINGS, "there is no account server at this address", _URL),
        "MethodNotImplemented": Meaning(Verdict.SETTINGS, "there is no account server at this address", _URL),
        # the moment
        "RateLimitExceeded": Meaning(Verdict.LATER, "the server's limit is reached"),
        "NotEnoughResources": Meaning(Verdict.LATER, "the server has too much to do"),
        "BlobNotFound": Meaning(Verdict.LATER, "the server no longer has a picture that it took: it is sent again"),
        # the post
        "InvalidRequest": Meaning(Verdict.REFUSED, "the server finds a fault in the post"),  # too long, say
        "InvalidSwap": Meaning(Verdict.REFUSED, "something else stands under this post's key"),
        "PayloadTooLarge": Meaning(Verdict.REFUSED, "the post, or a picture, has too many bytes"),
        "BlobTooLarge": Meaning(Verdict.REFUSED, "a picture has too many bytes"),
        "InvalidMimeType": Meaning(Verdict.REFUSED, "a picture is not of the type that it says"),
        "InvalidSize": Meaning(Verdict.REFUSED, "a picture is not of the size that it says"),
        "UnsupportedMediaType": Meaning(Verdict.REFUSED, "the server takes no files of this type"),
        "NotAcceptable": Meaning(Verdict.REFUSED, "the server can't answer in JSON"),
        "RecordNotFound": Meaning(Verdict.REFUSED, "there is no such post"),
        # the server, or what stands before it: bsky.social passes requests on to the account's host
        "InternalServerError": Meaning(Verdict.UNCLEAR, "the server failed"),
        "UpstreamFailure": Meaning(Verdict.UNCLEAR, "the account's host failed"),
        "UpstreamTimeout": Meaning(Verdict.UNCLEAR, "the account's host did not answer in time"),
    }
)
"""XRPC error names. Others are judged by the class of their status, and logged as new."""


class _Said(BaseModel):
    error: str
    message: str = ""


def is_session_over(response: httpx.Response) -> bool:
    """Whether another session may help. Nothing was done, so asking again is safe."""
    meaning = ERRORS.get(_said(response).error)
    return not response.is_success and meaning is not None and meaning.verdict is Verdict.RENEW


def refusal(response: httpx.Response, account: str, stage: Stage) -> PublishError:
    """The error that a reply other than a success means."""
    said, status = _said(response), response.status_code
    meaning = ERRORS.get(said.error)
    if meaning is None:
        meaning = Meaning(_by_class(status), f"the server answered {status}")
        if said.error:
            log.error("bluesky.new_error_code", account=account, code=said.error, status=status, message=said.message)
    code = said.error or str(status)
    reason = f"{meaning.reason} ({said.message})" if said.message else meaning.reason
    verdict = _at(stage, meaning.verdict)
    if verdict is Verdict.SETTINGS:
        log.error("bluesky.settings_fault", account=account, code=code, message=said.message)
    if verdict is Verdict.REFUSED:
        return Permanent(reason, code=code)
    if verdict is Verdict.UNCLEAR:
        return Unknown(reason, code=code)
    return Transient(reason, code=code, retry_after=pause(response))


def pause(response: httpx.Response) -> float | None:
    """Seconds to wait: ``Retry-After``, else until ``RateLimit-Reset`` (epoch seconds) when nothing remains."""
    now = datetime.now(UTC)
    asked = retry_after(response.headers, now)
    if asked is not None or response.headers.get("ratelimit-remaining") != "0":
        return asked
    try:
        moment = datetime.fromtimestamp(int(response.headers.get("ratelimit-reset", "")), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return until(moment, now)


def _at(stage: Stage, verdict: Verdict) -> Verdict:
    if verdict is Verdict.RENEW or (stage is Stage.SESSION and verdict is Verdict.REFUSED):
        return Verdict.SETTINGS  # a session was renewed already where that was possible
    if stage is not Stage.WRITE and verdict is Verdict.UNCLEAR:
        return Verdict.LATER
    return verdict


def _by_class(status: int) -> Verdict:
    if is_settings_fault(status):
        return Verdict.SETTINGS
    kinds = {Permanent: Verdict.REFUSED, Unknown: Verdict.UNCLEAR, Transient: Verdict.LATER}
    return kinds[type(by_status(status, ""))]


def _said(response: httpx.Response) -> _Said:
    try:
        return _Said.model_validate_json(response.content)
    except ValidationError:
        return _Said(error="")
