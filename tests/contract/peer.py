"""Who answers at the other end of a channel, what can be asked of it, and the errors that a publisher then tells."""

from abc import ABC, abstractmethod
from enum import Enum, auto
from typing import Any

import httpx
import pytest

from publishers.base import Deletes, Edits, Outcome, Publisher, PublishError
from schemas.messages import Post

PATIENCE = 0.4
"""Seconds that a publisher waits for a peer which has been told to hang."""

AT_MOST = 10.0
"""Seconds after which something that should have happened is not going to."""


class Trouble(Enum):
    """What a peer can be told to do to the next request."""

    REFUSE = auto()
    THROTTLE = auto()
    """Asking to come back in 7 s."""
    UNAVAILABLE = auto()
    HANG = auto()
    TAKE_AND_CUT = auto()
    HALF_A_REPLY = auto()
    GIBBERISH = auto()
    ANSWER_AND_CLOSE = auto()
    """As a server does with a connection that it has kept long enough."""


class Peer(ABC):
    """Somebody who takes messages, and keeps records of its own."""

    url: str
    deduplicates: bool
    too_long: str
    cuts: tuple[Trouble, ...] = (Trouble.TAKE_AND_CUT,)
    """What this peer can do to an edit or a deletion so that nobody knows whether it was made."""

    @abstractmethod
    def open(self, *, timeout: float = AT_MOST, token: str | None = None, url: str | None = None) -> Publisher[Any]:
        """A publisher to this peer, or with a wrong token, or to nobody."""

    @abstractmethod
    def message(self, text: str | None = None) -> Any:
        """A message of its own key and text."""

    @abstractmethod
    async def will(self, trouble: Trouble) -> None:
        """Have the next message meet this."""

    @abstractmethod
    async def taken(self, message: Any) -> int:
        """How many times the peer has taken this message, by its own records."""

    async def shown(self, reference: str) -> str | None:
        """What readers see of the post with that reference, by the peer's own records; None when it is gone."""
        raise NotImplementedError

    async def withdraw(self, publisher: Publisher[Any], reference: str, account: str) -> None:
        """Have a post gone, whoever does it."""
        assert isinstance(publisher, Deletes)
        await publisher.delete(reference, account)

    async def reached(self, count: int = 1) -> None:
        """Return once the peer has read so many whole requests."""
        raise NotImplementedError

    async def hung_up(self) -> None:
        """Return once the peer has closed a connection."""
        raise NotImplementedError


_SANDBOX_KINDS = {
    Trouble.REFUSE: "refuse",
    Trouble.THROTTLE: "throttle",
    Trouble.UNAVAILABLE: "error",
    Trouble.HANG: "hang",
    Trouble.TAKE_AND_CUT: "drop",
}


async def sandbox_will(url: str, provider: str, trouble: Trouble, count: int = 1) -> None:
    """Have the next messages to a provider of the sandbox meet this."""
    asked = {"provider": provider, "kind": _SANDBOX_KINDS[trouble], "count": count, "retry_after": 7}
    async with httpx.AsyncClient(base_url=url) as client:
        (await client.post("/sandbox/faults", json=asked)).raise_for_status()


class Reports(dict[str, Outcome]):
    """What ``publish_many`` tells: key → outcome. Refuses to be told twice."""

    def __call__(self, key: str, told: Outcome) -> None:
        assert key not in self, f"{key} reported as {self[key]!r} and as {told!r}"
        self[key] = told

    def types(self) -> list[type]:
        """What became of each, in the order told."""
        return [type(told) for told in self.values()]


async def outcome(publisher: Publisher[Any], message: Any) -> PublishError:
    """The error of a message that must not be accepted."""
    with pytest.raises(PublishError) as raised:
        await publisher.publish(message)
    return raised.value


async def refused_edit(publisher: Publisher[Any], reference: str, message: Post) -> PublishError:
    """The error of an edit that must not be made."""
    assert isinstance(publisher, Edits)
    with pytest.raises(PublishError) as raised:
        await publisher.edit(reference, message)
    return raised.value


async def refused_deletion(publisher: Publisher[Any], reference: str, account: str) -> PublishError:
    """The error of a deletion that must not be made."""
    assert isinstance(publisher, Deletes)
    with pytest.raises(PublishError) as raised:
        await publisher.delete(reference, account)
    return raised.value
