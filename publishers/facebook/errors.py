"""What the Graph API's errors mean for a post, and how long its headers ask to wait.

Sources: developers.facebook.com/docs/graph-api/guides/error-handling and …/overview/rate-limiting; subcodes that
those pages don't list are as seen in the bodies of refused posts. The body of an error is ``{"error": {"message",
"type", "code", "error_subcode"?, "is_transient"?, "error_user_title"?, "error_user_msg"?, "fbtrace_id"}}``.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import httpx
import structlog
from pydantic import BaseModel, ValidationError

from publishers.base import Permanent, PublishError, Transient, Unknown
from publishers.http_errors import by_status, retry_after
from publishers.verdicts import Verdict, settings

log = structlog.get_logger(__name__)

_HOUR = 3600.0
_SPENT_REST = 300.0
"""Seconds to rest when a quota is used up and no header says for how long. The quotas are counted over the last
hour, and what was used leaves them bit by bit."""

_SESSION = settings("Facebook refuses the page's token: it was revoked, or is no token of this app")
_PERMISSION = settings(
    "the token lacks a permission, pages_manage_posts or pages_read_engagement, or a task on the page"
)
_BUSY = Verdict(Transient, "too many calls for now", pause=_SPENT_REST)
_PICTURE = Verdict(Permanent, "Facebook can't take a picture")
_ABUSE = Verdict(Permanent, "Facebook holds the post to be against its rules")

CODES: Mapping[int, Verdict] = MappingProxyType(
    {
        # "Possibly temporary": said of posts that were made all the same, so the page is looked at before a repeat.
        1: Verdict(Unknown, "Facebook failed, and does not say where"),
        # The service is down, it says so, and nothing was taken.
        2: Verdict(Transient, "Facebook is down for the moment"),
        # The app was not given the capability: the same for every post until somebody asks for it.
        3: settings("the Facebook app lacks a capability"),
        # Quotas of the app, the user, the page, and of a call; of pages with a page token. They give way by themselves.
        4: _BUSY,
        17: _BUSY,
        32: _BUSY,
        613: _BUSY,
        80001: _BUSY,
        341: Verdict(Transient, "the app's limit is reached for now", pause=_SPENT_REST),
        10: _PERMISSION,
        # The post as such is wrong, and will be at every try.
        100: Verdict(Permanent, "Facebook does not accept the post as it is"),
        102: _SESSION,
        190: _SESSION,
        # No token at all, or a path that this version of the interface doesn't have.
        2500: settings("the token is missing, or Facebook does not serve this version of its interface"),
        # Meta lifts it after hours; each try before makes it longer. The page's owner sees why in "Page quality".
        368: settings("Facebook has blocked the page or the app for a while, for its policies", pause=_HOUR),
        # Same words as the page's last post. Reached when that post is not found: it is not ours.
        506: Verdict(Permanent, "the page's last post has the same words, and is not this one"),
        # Links: tried again without the preview first, so that what is told here concerns the text itself.
        1500: Verdict(Permanent, "Facebook does not take the link"),
        1609005: Verdict(Permanent, "Facebook can't read the page that the link leads to"),
        324: _PICTURE,
    }
)
"""Meaning of ``code``. 200 to 299 are permissions, see ``verdict``. One that is neither is judged by its HTTP
status and ``is_transient``, and logged as new."""

SUBCODES: Mapping[int, Verdict] = MappingProxyType(
    {
        # Object not there, or not to be seen with this token; what it means depends on what was asked for.
        33: settings("there is no such page, or the token may not see it"),
        # Why a token is refused (with 190 and 102), and what mends it.
        458: settings("the app was removed from the account that the token is of: allow it again"),
        459: settings("Facebook wants that account's owner to log in at facebook.com and answer a check"),
        460: settings("the account's password was changed: make a new token"),
        463: settings("the token has expired: make a new one"),
        464: settings("the account that the token is of is not confirmed"),
        467: settings("the token is not valid any more: make a new one"),
        492: settings("the account that the token is of has no role on the page any more"),
        # Posting too fast (with 368): an hour, as Meta recommends waiting.
        1390008: Verdict(Transient, "the page posts too fast for Facebook", pause=_HOUR),
        # The owner must prove who they are before the page may post.
        1404078: settings("the page needs Facebook's publishing authorisation: its owner confirms their identity"),
        4854002: settings("Facebook wants the page's owner to confirm their identity"),
        # The content: the same at every try.
        1346003: _ABUSE,
        1404102: _ABUSE,
        1366046: Verdict(Permanent, "a picture can't be read: JPEG or PNG of at most 4 MB"),
        1366051: Verdict(Permanent, "the pictures were posted already"),
        1366055: Verdict(Permanent, "a picture was posted already"),
        2069019: _PICTURE,
        1609005: Verdict(Permanent, "Facebook can't read the page that the link leads to"),
        1609008: Verdict(Permanent, "Facebook takes no links to facebook.com"),
        2061006: Verdict(Permanent, "an address in the post is not valid"),
    }
)
"""Meaning of ``error_subcode``, which goes before that of ``code``."""

_LINKS = frozenset({1500, 1609005, 1609008})
_NOTHING_THERE = (100, 33)
_DUPLICATE = 506


class GraphError(BaseModel):
    """The API's word on a request that it refused."""

    code: int
    message: str = ""
    error_subcode: int | None = None
    is_transient: bool = False
    error_user_msg: str | None = None

    @property
    def name(self) -> str:
        """The code as we tell it: "190/463"."""
        return f"{self.code}" if self.error_subcode is None else f"{self.code}/{self.error_subcode}"

    @property
    def duplicate(self) -> bool:
        """The page's last post has the same words."""
        return self.code == _DUPLICATE

    @property
    def nothing_there(self) -> bool:
        """The post that was asked for is gone, or can't be seen with this token."""
        return (self.code, self.error_subcode) == _NOTHING_THERE

    @property
    def refuses_link(self) -> bool:
        """What displeases is the link that a preview was to be made of."""
        return self.code in _LINKS or self.error_subcode in _LINKS

    @property
    def lacks_permission(self) -> bool:
        """A right is missing that only the page's owner can give."""
        return self.code == 10 or 200 <= self.code <= 299


class _Body(BaseModel):
    error: GraphError


def graph_error(response: httpx.Response) -> GraphError | None:
    """What the API says; None when the reply is not its own (a proxy's page, say)."""
    try:
        return _Body.model_validate_json(response.content).error
    except ValidationError:
        return None


def verdict(error: GraphError) -> Verdict | None:
    """What the tables say of an error; None when it is in none."""
    if error.code == 100 and "appsecret_proof" in error.message:
        return settings("the app's secret is wrong, or the app demands it (app_secret)")
    if error.error_subcode is not None and (known := SUBCODES.get(error.error_subcode)):
        return known
    if 200 <= error.code <= 299:
        return _PERMISSION
    return CODES.get(error.code)


def refusal(response: httpx.Response, account: str) -> PublishError:
    """The error that a reply other than a success means: by Facebook's code, else by its HTTP status."""
    status, pause = response.status_code, pause_asked(response.headers)
    error = graph_error(response)
    if error is None:
        log.error("facebook.unreadable_error", account=account, status=status)
        return by_status(status, f"Facebook answered {status}", code=str(status), retry_after=pause)
    said = error.error_user_msg or error.message
    known = verdict(error)
    if known is None:
        log.error("facebook.new_error_code", account=account, code=error.name, status=status, message=error.message)
        if error.is_transient:
            return Transient(said, code=error.name, retry_after=pause)
        return by_status(status, said, code=error.name, retry_after=pause)
    if known.settings_fault:
        log.error("facebook.settings_fault", account=account, code=error.name, message=error.message)
    return known.error_of(error.name, pause, said)


def pause_asked(headers: Mapping[str, str]) -> float | None:
    """Seconds until the account may be used again, as the headers of a refusal tell; None when they don't.

    ``x-business-use-case-usage`` tells it in minutes (``estimated_time_to_regain_access``).
    """
    minutes = [_number(use.get("estimated_time_to_regain_access")) for use in _uses(headers)]
    return retry_after(headers, datetime.now(UTC)) or max(minutes, default=0.0) * 60 or None


def rest_needed(headers: Mapping[str, str]) -> float | None:
    """Seconds to leave the account alone after this reply, because a quota is used up (100 %); None when none is."""
    spent = any(
        _number(use.get(name)) >= 100
        for use in _uses(headers)
        for name in ("call_count", "total_cputime", "total_time")
    )
    return (pause_asked(headers) or _SPENT_REST) if spent else None


def _uses(headers: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """Each quota's use: of the app and the page as one object, of business use cases as lists by their id."""
    for name in ("x-app-usage", "x-page-usage", "x-business-use-case-usage"):
        try:
            told = json.loads(headers.get(name, "{}"))
        except ValueError:
            continue
        if not isinstance(told, dict):
            continue
        yield told
        for uses in told.values():
            if isinstance(uses, list):
                yield from (use for use in uses if isinstance(use, dict))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and value > 0 else 0.0
