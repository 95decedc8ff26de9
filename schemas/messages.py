"""What the hub hands to a publisher: one rendered message for one recipient, of the kind its family takes.

``key`` is the idempotency key: it names the delivery and its attempt, and is the same on every try of that
attempt, so that a provider which can deduplicate does.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail ready to be sent: ``content`` is a whole MIME message, CRLF line ends, not dot-stuffed."""

    key: str
    sender: str
    recipient: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Text:
    """An SMS: ``sender`` is a number or an alphanumeric sender id, ``recipient`` E.164."""

    key: str
    sender: str
    recipient: str
    text: str
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """A post on one social account of the authority; ``account`` is its name in the settings."""

    key: str
    account: str
    text: str
    language: str


Message = Mail | Text | Post
