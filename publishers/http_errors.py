"""What an HTTP reply that is not a success says about a message, shared by the channels that speak HTTP."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from publishers.base import Permanent, PublishError, Transient, Unknown

_SETTINGS = frozenset({401, 402, 403, 404, 405, 407, 501, 505})
"""They blame the account, the address or the method, not the message."""

_DIGITS = 9
"""Of a number of seconds that anybody means."""


def by_status(status: int, reason: str, *, code: str | None = None, retry_after: float | None = None) -> PublishError:
    """The error that a status means when nothing more is known (RFC 9110, section 15)."""
    if status == HTTPStatus.CONFLICT:
        return Unknown(reason, code=code)  # there is something under this key: ours, perhaps
    if is_settings_fault(status):
        return Transient(reason, code=code, retry_after=retry_after)  # somebody must mend it; meanwhile it waits
    if status in (408, 425, 429, 503):
        return Transient(reason, code=code, retry_after=retry_after)
    if 400 <= status < 500:
        return Permanent(reason, code=code)
    return Unknown(reason, code=code)  # 500, 502, 504, or a success we can't read: it may have been taken


def harmless(error: PublishError) -> PublishError:
    """The error of a call that publishes nothing: its lost answer leaves nothing unclear."""
    return Transient(error.reason, code=error.code) if isinstance(error, Unknown) else error


def is_settings_fault(status: int) -> bool:
    """Whether the status blames the account or the provider's address, so that every message would fail."""
    return status in _SETTINGS or 300 <= status < 400


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that ``Retry-After`` asks for (RFC 9110, 10.2.3: seconds or a date); None without it."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value) if len(value) <= _DIGITS else None
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return until(moment, now)


def until(moment: datetime, now: datetime) -> float:
    """Seconds from ``now`` to ``moment``, never negative; a moment without a zone is in UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())
