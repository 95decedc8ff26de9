"""The contract of every channel, and the errors a channel may tell.

PublishError
├── Transient    not accepted; worth trying again (perhaps not before ``retry_after``)
│   └── Untried  nothing of this message was handed over: trying again costs and risks nothing
│       └── NotYet  its account takes nothing before ``retry_after``: a limit, or a pause that the provider asked for
├── Permanent    refused for good: trying again would say the same
└── Unknown      the provider may or may not have it; see ``Unclear`` for what to do

A publisher knows nothing of Kafka, PostgreSQL or templates. An exception that is none of these is a defect of
the publisher or of its settings, and is treated as Transient for the whole batch, loudly.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from schemas.messages import Message, Post

M_contra = TypeVar("M_contra", bound=Message, contravariant=True)


class PublishError(Exception):
    """Why a message was not (surely) accepted. ``code`` is the provider's word, ``reason`` plain English."""

    def __init__(self, reason: str, *, code: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), self.reason, self.code))


class Transient(PublishError):
    """Not accepted, and worth another try; ``retry_after`` in seconds when the provider said so."""

    def __init__(self, reason: str, *, code: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(reason, code=code)
        self.retry_after = retry_after


class Untried(Transient):
    """Nothing of this message reached the provider (cut before its turn, deadline): does not count as a try."""


class NotYet(Untried):
    """The account rests until ``retry_after``: this message waits, and others of other accounts may go."""


class Permanent(PublishError):
    """Refused for good. ``address_dead``: the address itself does not exist, so later messages would fail too."""

    def __init__(self, reason: str, *, code: str | None = None, address_dead: bool = False) -> None:
        super().__init__(reason, code=code)
        self.address_dead = address_dead


class Unknown(PublishError):
    """The message was handed over, wholly or in part, and no answer came."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The provider accepted the message. ``reference`` is its id there, to which later receipts refer."""

    reference: str | None = None
    code: str | None = None
    url: str | None = None


Outcome = Receipt | PublishError
"""What became of one message. Errors are values here: reported, not raised."""


class Unclear(Enum):
    """What may be done with a message whose outcome is unknown (design: "When the outcome is unclear")."""

    SEND_AGAIN = "send again under the same key: the provider, or the reader's mail client, deduplicates"
    SEND_ONCE_MORE = "send again, a single time, under the same Message-ID"
    LOOK_UP = "ask the provider (LooksUp by key, Finds by content); when it knows nothing, send again"
    WAIT = "wait for a receipt until resolve_by, then ask an officer; an urgent one is sent once more"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one account of a channel takes: messages handed over per window, and how many at once."""

    window: int = 100
    concurrency: int = 10
    max_characters: int | None = None


class Publisher(Protocol[M_contra]):
    """A channel. One instance serves a whole process and is closed with it."""

    @property
    def channel(self) -> str:
        """The channel's name, as in rules and tables."""
        ...

    @property
    def limits(self) -> Limits:
        """Sizes the hub respects when it cuts a batch into windows."""
        ...

    @property
    def unclear(self) -> Unclear:
        """What the hub may do when this channel leaves an outcome unknown."""
        ...

    async def publish(self, message: M_contra, /) -> Receipt:
        """Hand one message over. Returns what the provider answered; raises a PublishError otherwise.

        Returning promises that the provider has taken responsibility. Cancelling is allowed at any moment.
        """
        ...

    async def aclose(self) -> None:
        """Give connections back politely. Safe to call twice, and while a send is under way."""
        ...


Report = Callable[[str, Outcome], None]
"""Called once for each message, with its key, as soon as its outcome is known. Must not block."""


@runtime_checkable
class PublishesMany(Protocol):
    """A direct channel that has a faster way for many messages than one call each."""

    async def publish_many(self, messages: Sequence[Message], report: Report, /) -> None:
        """Hand all messages over and report each exactly once, also when cancelled (Unknown or Untried)."""
        ...


CANNOT_SAY = "cannot_say"
"""Code of an error of ``look_up``: nobody can be asked about this message; a receipt, or a person, settles it."""


@runtime_checkable
class LooksUp(Protocol):
    """A channel that can be asked what became of a message (``Unclear.LOOK_UP``)."""

    async def look_up(self, key: str, address: str, /) -> Receipt | None:
        """The receipt of the message with that key, None when the provider has never seen it.

        Raises Transient when the provider can't say now.
        """
        ...


@runtime_checkable
class Finds(Protocol):
    """A channel that can be searched for a message: one that deduplicates for a while only, or not at all."""

    @property
    def key_kept(self) -> timedelta:
        """How long after the first try the provider surely still knows the key; zero where it knows none."""
        ...

    async def find(self, message: Any, since: datetime, /) -> Receipt | None:
        """The receipt of the very same message, handed over at ``since`` or later; None when there is none.

        Raises Transient when the provider can't say now, Permanent when it never will (a right is missing).
        """
        ...


@runtime_checkable
class Publishes(Protocol):
    """A social network: what a post may hold there depends on the account."""

    async def form(self, account: str, /) -> "PostForm":
        """What one post of that account may hold. Raises Transient when that can't be known now."""
        ...


@runtime_checkable
class Edits(Protocol):
    """A network where a post can be changed after it is out."""

    async def edit(self, reference: str, message: Post, /) -> Receipt:
        """Replace what the post says, pictures included; the same twice changes nothing.

        Raises like ``publish``; Permanent with code "gone" when there is no such post any more, with code
        "fixed" when this one can't be changed any more.
        """
        ...


@runtime_checkable
class Deletes(Protocol):
    """A network where a post can be taken back."""

    async def delete(self, reference: str, account: str, /) -> None:
        """Take the post back; one that is gone already is as well. Raises like ``publish``, "fixed" included."""
        ...


@runtime_checkable
class Receives(Protocol):
    """A channel whose receipts come over a connection that we open, and not to a door of ours."""

    async def receive(self, keep: "Keep", /) -> None:
        """Listen until cancelled, and connect again as often as it takes.

        What comes is acknowledged to the provider only after ``keep`` has returned; when it raises, the provider
        is told to come again.
        """
        ...


@runtime_checkable
class Checks(Protocol):
    """A channel that can prove its settings by a call that publishes nothing."""

    async def check(self) -> Sequence["Finding"]:
        """One finding for each account, gateway or relay. Never raises a PublishError."""
        ...


@dataclass(frozen=True, slots=True)
class PostForm:
    """What one post may hold. ``count`` is the network's own measure of a text, ``octets`` of its UTF-8 bytes.

    ``threads``: a longer text goes on in replies to the first post; else it is shortened. ``links``: an address
    in the text is wanted (on X it multiplies the price). ``pictures`` at most, each of ``picture_octets`` bytes
    and ``picture_side`` pixels; none where it is 0.
    """

    characters: int
    count: Callable[[str], int] = len
    octets: int | None = None
    threads: bool = False
    links: bool = True
    pictures: int = 0
    picture_octets: int = 5_000_000
    picture_side: int = 2048

    def fits(self, text: str) -> bool:
        """Whether one post can hold the whole text."""
        within = self.octets is None or len(text.encode()) <= self.octets
        return within and self.count(text) <= self.characters


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a provider tells later, in the common form of schemas.webhooks (``body`` is its JSON).

    ``hint`` is our own key when it is carried back, ``reference`` the provider's id; ``arrival`` tells a repeat
    of this report from another one of the same words.
    """

    kind: Literal["receipt", "inbound"]
    body: bytes
    reference: str | None = None
    hint: str | None = None
    arrival: str = ""


Keep = Callable[[Incoming], Awaitable[None]]
"""Stores what came; returns once it is committed. Raises when it can't be stored now."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a harmless call said about one account, gateway or relay; ``mend`` what to do when it isn't ``ok``."""

    name: str
    ok: bool
    says: str
    mend: str | None = None
