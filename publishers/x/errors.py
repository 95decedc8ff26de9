"""What X says when it does not take something, and what that means here.

X speaks three dialects, often within one call: problems of API v2 (RFC 9457: ``type``, ``title``, ``detail``),
numbered errors of v1.1 (``{"errors": [{"code", "message"}]}``), and parameters found wrong (``{"errors":
[{"parameters", "message"}]}``). Sources: docs.x.com, "Response codes and errors"; developer.x.com, "Error
troubleshooting", for the numbers; and bodies as users reported them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from functools import partial

import structlog
from pydantic import BaseModel, Field, ValidationError

from publishers.base import Permanent, PublishError, Transient, Unknown
from publishers.http_errors import by_status, is_settings_fault, until
from publishers.x.budget import pause, period_ends
from publishers.x.client import Reply

log = structlog.get_logger(__name__)


class Means(Enum):
    """What follows from an error."""

    THERE = auto()
    """The account said it already: look for it, send nothing."""
    REFUSED = auto()
    """X will never take this post."""
    SETTINGS = auto()
    """X would take it from another account, application or plan: it waits while somebody mends that."""
    LATER = auto()
    GONE = auto()
    """The post that was named is no longer there."""
    UNCLEAR = auto()


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that X says. It is known by a ``number`` of v1.1, by the end of a problem's type or its ``reason``
    (``kinds``), by a phrase in small letters (``says``), or, when nothing else fits, by the status alone.

    ``code`` is what is recorded, ``why`` what an officer or the settings' keeper reads, ``wait`` the seconds
    before the next try where X doesn't tell them. ``reading``: the account may post but not read, by its plan.
    """

    code: str
    means: Means
    why: str
    numbers: frozenset[int] = frozenset()
    kinds: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    status: int | None = None
    wait: float | None = None
    reading: bool = False

    def is_meant(self, problem: "Problem") -> bool:
        """Whether the problem's own words are this entry's."""
        words = problem.words.lower()
        return (
            bool(self.numbers & problem.numbers)
            or any(kind in problem.kinds for kind in self.kinds)
            or any(phrase in words for phrase in self.says)
        )


_later = partial(Entry, means=Means.LATER)
_settings = partial(Entry, means=Means.SETTINGS)
_refused = partial(Entry, means=Means.REFUSED)

ENTRIES: Sequence[Entry] = (
    Entry(
        "duplicate",
        Means.THERE,
        "the account said exactly this already",
        numbers=frozenset({187}),
        says=("duplicate content", "status is a duplicate"),
    ),
    # the post itself
    _refused("too_long", why="X finds the text too long", numbers=frozenset({186}), says=("text is too long",)),
    _refused(
        "gone",
        why="the post that this one answers was deleted",
        numbers=frozenset({385}),
        says=("reply to a tweet that is deleted", "reply to a post that is deleted"),
    ),
    _refused("fixed", why="the post belongs to another account", numbers=frozenset({183})),
    Entry("gone", Means.GONE, "X knows no such post", numbers=frozenset({34, 144}), kinds=("resource-not-found",)),
    # pictures expire a day after they were uploaded: the next try uploads them again
    _later(
        "media_refused",
        why="X no longer has the pictures",
        numbers=frozenset({324}),
        says=("media ids are invalid", "validation of media ids failed"),
    ),
    # limits
    _later("usage_cap", why="the plan's posts are used up until its period ends", kinds=("usage-capped",)),
    _later("daily_limit", why="the account reached X's daily limit of posts", numbers=frozenset({185}), wait=1800),
    _later(
        "looks_automated",
        why="X took it for spam for now; should that come again, post by hand once and vary the words",
        numbers=frozenset({226}),
        wait=900,
    ),
    _later("rate_limit", why="too many requests for now", numbers=frozenset({88}), status=429),
    _later("overloaded", why="X is overloaded", numbers=frozenset({130}), status=503),
    # the account and the application
    _settings("suspended", why="X suspended the account", numbers=frozenset({63, 64}), says=("account is suspended",)),
    _settings(
        "locked",
        why="X locked the account: sign in on x.com and unlock it",
        numbers=frozenset({326}),
        says=("temporarily locked",),
    ),
    _settings(
        "clock",
        why="this machine's clock differs from X's: set it by NTP",
        numbers=frozenset({135}),
        says=("timestamp out of bounds",),
    ),
    _settings(
        "permissions",
        why='the application may only read: give it "Read and write", then make the account\'s token anew',
        numbers=frozenset({261}),
        kinds=("oauth1-permissions", "oauth2-permissions"),
    ),
    _settings(
        "no_project",
        why="the application belongs to no project of the developer console: attach it to one",
        kinds=("client-forbidden", "client-not-enrolled"),
        reading=True,
    ),
    _settings(
        "access_level",
        why="the plan does not include this call: choose another in the developer console",
        numbers=frozenset({453}),
        reading=True,
    ),
    _settings(
        "no_user",
        why="the token is the application's alone: X wants the account's own",
        kinds=("unsupported-authentication",),
    ),
    _settings(
        "credits",
        why="no credits are left, or the spending limit is reached: see the developer console",
        kinds=("credits",),
        says=("does not have any credits", "spend cap"),
        status=402,
    ),
    _settings(
        "unauthorized",
        why="X does not accept the account's keys: they were revoked, have expired, or are another application's",
        numbers=frozenset({32, 89, 215}),
        status=401,
    ),
    _settings("forbidden", why="X forbids it to this account and says no more", says=("not permitted to perform",)),
    # what is left
    Entry("internal", Means.UNCLEAR, "X failed inside", numbers=frozenset({131}), status=500),
    _refused("invalid", why="X finds the request invalid", kinds=("invalid-request",), status=400),
    Entry("gone", Means.GONE, "X knows no such post", status=404),
)
"""First come, first served: the words before the status, which many of them share."""

_PROPAGATES = 60_000  # milliseconds
_SNOWFLAKE_EPOCH = 1_288_834_974_657


class _Said(BaseModel):
    code: int | None = None
    message: str = ""
    detail: str = ""
    type: str = ""


class Problem(BaseModel):
    """An error's body, in any of the dialects; empty when it is none."""

    type: str = ""
    title: str = ""
    detail: str = ""
    reason: str = ""
    period: str = "Monthly"
    errors: list[_Said] = Field(default_factory=list)

    @classmethod
    def read(cls, content: bytes) -> "Problem":
        """From the body of an answer, whatever it is."""
        try:
            return cls.model_validate_json(content)
        except ValidationError:
            return cls()

    @property
    def words(self) -> str:
        """All that X said, in its own words."""
        said = [text for each in self.errors for text in (each.message, each.detail)]
        return "; ".join(dict.fromkeys(text for text in (self.detail, *said, self.title) if text))

    @property
    def numbers(self) -> frozenset[int]:
        """Errors of v1.1."""
        return frozenset(each.code for each in self.errors if each.code is not None)

    @property
    def kinds(self) -> frozenset[str]:
        """The ends of the problems' types, and the reason."""
        types = (self.type, *(each.type for each in self.errors))
        return frozenset(kind.rpartition("/")[2] for kind in types if kind) | {self.reason}


def recognise(status: int, problem: Problem) -> Entry | None:
    """The entry of this answer, None when X says something new."""
    words = (entry for entry in ENTRIES if entry.is_meant(problem))
    plain = (entry for entry in ENTRIES if entry.status == status)
    return next(words, None) or next(plain, None)


def refusal(reply: Reply, account: str, now: datetime) -> PublishError:
    """The error that an answer other than a success means. THERE is Unknown until the post was looked for."""
    problem = Problem.read(reply.content)
    entry = recognise(reply.status, problem)
    said = problem.words or f"X answered {reply.status}"
    if entry is None:
        code = str(reply.status)
        log.error("x.new_error_code", account=account, code=code, message=said)
        if is_settings_fault(reply.status):
            log.error("x.settings_fault", account=account, code=code, message=said)
        return by_status(reply.status, said, code=code, retry_after=pause(reply.headers, now))
    if entry.means is Means.SETTINGS:
        log.error("x.settings_fault", account=account, code=entry.code, message=said)
    return _error(entry, f"{entry.why} ({said})", reply, problem, now)


def _error(entry: Entry, reason: str, reply: Reply, problem: Problem, now: datetime) -> PublishError:
    match entry.means:
        case Means.REFUSED | Means.GONE:
            return Permanent(reason, code=entry.code)
        case Means.THERE | Means.UNCLEAR:
            return Unknown(reason, code=entry.code)
        case Means.LATER if entry.code == "usage_cap":
            return Transient(reason, code=entry.code, retry_after=until(period_ends(problem.period, now), now))
        case _:
            wait = pause(reply.headers, now) if entry.means is Means.LATER else None
            return Transient(reason, code=entry.code, retry_after=entry.wait if wait is None else wait)


def cannot_read(reply: Reply) -> bool:
    """Whether the plan lets this account post but never read its posts."""
    entry = recognise(reply.status, Problem.read(reply.content))
    return entry is not None and entry.reading


def is_fresh(reference: str | None, now: datetime) -> bool:
    """Whether a post is so young that parts of X may not know it yet, and call an answer to it impossible.

    Its number says when it was made: milliseconds since X's epoch, above the lowest 22 bits.
    """
    if reference is None or not reference.isdecimal():
        return False
    age = now.timestamp() * 1000 - ((int(reference) >> 22) + _SNOWFLAKE_EPOCH)
    return 0 <= age < _PROPAGATES
