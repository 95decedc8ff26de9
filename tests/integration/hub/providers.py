"""Publishers that keep the contract (publishers.base) and whose every answer a test chooses."""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

from publishers.base import Limits, Outcome, PostForm, PublishError, Receipt, Unclear
from schemas.messages import Message, Post

Before = Callable[[Message], Awaitable[None]]


class Provider:
    """Accepts what it is given, unless told otherwise. ``accepted`` holds every key, as often as it was taken."""

    def __init__(
        self, channel: str = "email", unclear: Unclear = Unclear.SEND_ONCE_MORE, *, concurrency: int = 4
    ) -> None:
        self.channel = channel
        self.unclear = unclear
        self.limits = Limits(window=100, concurrency=concurrency)
        self.accepted: list[str] = []
        self.asked: list[str] = []
        self.answers: list[Outcome | Exception] = []
        """For the next messages, in their order; then accepted again."""
        self.by_address: dict[str, list[Outcome | Exception]] = {}
        self.silent = False
        """Takes messages, and never answers."""
        self.before: Before | None = None

    async def publish(self, message: Message, /) -> Receipt:
        self.asked.append(message.key)
        if self.before is not None:
            await self.before(message)
        answers = self.by_address.get(address_of(message)) or self.answers
        answer = answers.pop(0) if answers else Receipt(reference=f"ref-{message.key}")
        if isinstance(answer, Exception):
            raise answer
        self.take(message)
        if self.silent:
            await asyncio.Event().wait()
        return answer

    def take(self, message: Message) -> None:
        """It has the message now, whatever becomes of its answer."""
        self.accepted.append(message.key)

    @property
    def repeats(self) -> int:
        """How many messages it took more than once, counted each time."""
        return sum(count - 1 for count in Counter(self.accepted).values())

    async def aclose(self) -> None:
        self.before = None


class AskableProvider(Provider):
    """Can be asked by key. ``knows`` maps a key to what it answers; what is not there it has never seen."""

    def __init__(self, channel: str = "sms", unclear: Unclear = Unclear.WAIT) -> None:
        super().__init__(channel, unclear)
        self.knows: dict[str, Receipt | PublishError] = {}
        self.looked_up: list[str] = []
        self.cannot_say: PublishError | None = None

    async def look_up(self, key: str, address: str, /) -> Receipt | None:
        self.looked_up.append(key)
        if self.cannot_say is not None:
            raise self.cannot_say
        found = self.knows.get(key)
        if isinstance(found, PublishError):
            raise found
        return found


class ForgetfulProvider(Provider):
    """Deduplicates for a while, and can be searched for a message. ``there`` is what it finds."""

    def __init__(self, key_kept: timedelta) -> None:
        super().__init__("mastodon", Unclear.SEND_AGAIN)
        self.key_kept = key_kept
        self.there: Receipt | None = None
        self.cannot_say: PublishError | None = None
        self.searched: list[tuple[str, datetime]] = []

    async def form(self, account: str, /) -> PostForm:
        return PostForm(500, threads=True)

    async def find(self, message: Message, since: datetime, /) -> Receipt | None:
        self.searched.append((message.key, since))
        if self.cannot_say is not None:
            raise self.cannot_say
        return self.there


class JournallingProvider(Provider):
    """Writes each key it takes into a file, before it answers: what it took outlives the process that sent it.

    ``deduplicates``: it takes a key once and answers every repeat as the first time (Idempotency-Key).
    """

    def __init__(self, journal: Path, channel: str, unclear: Unclear, *, deduplicates: bool = False) -> None:
        super().__init__(channel, unclear, concurrency=1)
        self._journal = journal
        self._deduplicates = deduplicates

    def take(self, message: Message) -> None:
        if not (self._deduplicates and message.key in taken(self._journal)):
            file = os.open(self._journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(file, f"{message.key}\n".encode())
            os.close(file)


class AskableJournallingProvider(JournallingProvider):
    """The same, and it can be asked."""

    async def look_up(self, key: str, address: str, /) -> Receipt | None:
        return Receipt(reference=f"ref-{key}") if key in taken(self._journal) else None


def taken(journal: Path) -> list[str]:
    """Every key that a provider took, as often as it did."""
    return journal.read_text().split() if journal.exists() else []


def address_of(message: Message) -> str:
    return message.account if isinstance(message, Post) else message.recipient
