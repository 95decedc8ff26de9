"""What the hub hands to a publisher: one rendered message for one recipient, of the kind its family takes.

``key`` is the idempotency key: it names the delivery and its attempt, and is the same on every try of that
attempt, so that a provider which can deduplicate does.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

_NEEDS_A_LOOK = re.compile(rb"\r(?!\n)|(?<!\r)\n|^\.|[\x80-\xff]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail ready to be sent: ``content`` is a whole MIME message, CRLF line ends, not dot-stuffed.

    ``ready``: whoever made it knows that ``is_ready(content)`` holds, so that a sender needs not read it through.
    """

    key: str
    sender: str
    recipient: str
    content: bytes
    ready: bool = False


def is_ready(content: bytes) -> bool:
    """Whether a mail's content goes over SMTP as it is (RFC 5321, sections 2.3.8 and 4.5.2).

    It is ASCII, its lines end in CRLF, the last one too, and none begins with a dot.
    """
    return content.endswith(b"\r\n") and _NEEDS_A_LOOK.search(content) is None


@dataclass(frozen=True, slots=True)
class Text:
    """An SMS: ``sender`` is a number or an alphanumeric sender id, ``recipient`` E.164."""

    key: str
    sender: str
    recipient: str
    text: str
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as one network takes it: re-encoded for it, without metadata. ``alt`` says what it shows."""

    content: bytes
    media_type: str
    alt: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Post:
    """One post on one social account of the authority, or one part of a thread.

    ``account`` is its name in the settings. ``at`` is when this very post was first about to be handed over, the
    same at every try (Bluesky makes ``createdAt`` and the record's key of it). ``link`` is the page that a
    preview may be made of; it also stands in ``text`` where it is to be read. ``warning`` is shown instead of
    the text until the reader asks for it, where the network can. ``reply_to`` and ``root`` are the references
    (``Receipt.reference``) of the post this one answers and of the head of its thread; both or neither.
    """

    key: str
    account: str
    text: str
    language: str
    at: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    link: str | None = None
    pictures: tuple[Picture, ...] = ()
    warning: str | None = None
    reply_to: str | None = None
    root: str | None = None


@dataclass(frozen=True, slots=True)
class Publication:
    """All that an announcement says on one social account. The hub makes posts of it, as many as it takes.

    ``link`` is the page it leads to, not in ``text``; ``pictures`` are names in the authority's library.
    ``retracted``: it should never have been said; what is out is taken back where the network can. ``zone`` is the
    authority's time zone.
    """

    key: str
    order_id: int
    recipient_id: int
    authority_id: int
    account: str
    text: str
    language: str
    link: str | None = None
    pictures: tuple[str, ...] = ()
    warning: str | None = None
    retracted: bool = False
    zone: str = "Europe/Paris"


@dataclass(frozen=True, slots=True)
class Call:
    """What is told to another system: ``body`` is a JSON document, ``account`` the endpoint's name in the settings."""

    key: str
    account: str
    body: bytes


Message = Mail | Text | Post | Publication | Call
