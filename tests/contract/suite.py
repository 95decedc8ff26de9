"""What every HTTP channel promises, whoever answers at the other end.

A test file subclasses ``Contract`` once for each peer and gives a ``peer`` fixture; peers that can also cut a
connection, or answer nonsense, take ``ContractOfCuts`` and ``ContractOfBrokenReplies``.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from enum import Enum, auto
from typing import Any

import pytest

from publishers.base import Limits, Permanent, Publisher, PublishError, Transient, Unclear, Unknown, Untried

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

    async def reached(self, count: int = 1) -> None:
        """Return once the peer has read so many whole requests."""
        raise NotImplementedError

    async def hung_up(self) -> None:
        """Return once the peer has closed a connection."""
        raise NotImplementedError


async def outcome(publisher: Publisher[Any], message: Any) -> PublishError:
    """The error of a message that must not be accepted."""
    with pytest.raises(PublishError) as raised:
        await publisher.publish(message)
    return raised.value


class Contract:
    """Holds over every peer."""

    def test_says_what_it_is(self, publisher: Publisher[Any]) -> None:
        assert publisher.channel in ("sms", "mastodon")
        assert isinstance(publisher.limits, Limits) and isinstance(publisher.unclear, Unclear)

    async def test_accepted_message_is_taken_once_and_has_a_reference(
        self, peer: Peer, publisher: Publisher[Any]
    ) -> None:
        message = peer.message()
        receipt = await publisher.publish(message)
        assert receipt.reference
        assert await peer.taken(message) == 1

    async def test_refusal_is_permanent_and_nothing_is_taken(self, peer: Peer, publisher: Publisher[Any]) -> None:
        message = peer.message()
        await peer.will(Trouble.REFUSE)
        error = await outcome(publisher, message)
        assert type(error) is Permanent and error.code and error.reason
        assert await peer.taken(message) == 0

    async def test_throttling_waits_as_long_as_the_peer_asks(self, peer: Peer, publisher: Publisher[Any]) -> None:
        message = peer.message()
        await peer.will(Trouble.THROTTLE)
        error = await outcome(publisher, message)
        assert type(error) is Transient
        assert error.retry_after is not None and 5 < error.retry_after <= 7
        assert await peer.taken(message) == 0

    async def test_peer_that_is_down_is_tried_again_and_then_takes(self, peer: Peer, publisher: Publisher[Any]) -> None:
        message = peer.message()
        await peer.will(Trouble.UNAVAILABLE)
        assert type(await outcome(publisher, message)) is Transient
        assert (await publisher.publish(message)).reference
        assert await peer.taken(message) == 1

    async def test_silence_is_unknown_and_ends_in_time(self, peer: Peer) -> None:
        publisher = peer.open(timeout=PATIENCE)
        await peer.will(Trouble.HANG)
        started = time.monotonic()
        assert type(await outcome(publisher, peer.message())) is Unknown
        assert time.monotonic() - started < AT_MOST
        await publisher.aclose()

    async def test_wrong_credentials_wait_for_somebody_and_are_not_told(self, peer: Peer) -> None:
        publisher = peer.open(token="wrong")
        message = peer.message()
        error = await outcome(publisher, message)
        assert type(error) is Transient, "a permanent failure would outlive the mending"
        assert "wrong" not in repr(publisher)
        assert await peer.taken(message) == 0
        await publisher.aclose()

    async def test_same_key_again_is_taken_twice_only_where_the_peer_cannot_tell(
        self, peer: Peer, publisher: Publisher[Any]
    ) -> None:
        message = peer.message()
        first, second = await publisher.publish(message), await publisher.publish(message)
        assert (first.reference == second.reference) is peer.deduplicates
        assert await peer.taken(message) == (1 if peer.deduplicates else 2)
        assert peer.deduplicates or publisher.unclear is not Unclear.SEND_AGAIN

    async def test_too_long_a_text_is_refused_for_good(self, peer: Peer, publisher: Publisher[Any]) -> None:
        message = peer.message(peer.too_long)
        assert type(await outcome(publisher, message)) is Permanent
        assert await peer.taken(message) == 0

    async def test_nobody_there_is_untried(self, peer: Peer, nobody: str) -> None:
        publisher = peer.open(url=nobody)
        assert type(await outcome(publisher, peer.message())) is Untried
        await publisher.aclose()

    async def test_many_at_once_are_each_taken_once(self, peer: Peer, publisher: Publisher[Any]) -> None:
        messages = [peer.message() for _ in range(publisher.limits.concurrency * 3)]
        receipts = await asyncio.gather(*map(publisher.publish, messages))
        assert len({receipt.reference for receipt in receipts}) == len(messages)
        assert [await peer.taken(message) for message in messages] == [1] * len(messages)

    async def test_closing_twice_is_safe_and_nothing_is_sent_afterwards(self, peer: Peer) -> None:
        publisher = peer.open()
        message = peer.message()
        await publisher.aclose()
        await publisher.aclose()
        assert type(await outcome(publisher, message)) is Untried
        assert await peer.taken(message) == 0


class ContractOfCuts(Contract):
    """Holds over peers that can take a message and close without a word."""

    async def test_message_taken_without_an_answer_is_unknown(self, peer: Peer, publisher: Publisher[Any]) -> None:
        message = peer.message()
        await peer.will(Trouble.TAKE_AND_CUT)
        assert type(await outcome(publisher, message)) is Unknown
        assert await peer.taken(message) == 1

    async def test_sending_again_after_a_cut_repeats_nothing_where_the_rule_says_so(
        self, peer: Peer, publisher: Publisher[Any]
    ) -> None:
        message = peer.message()
        await peer.will(Trouble.TAKE_AND_CUT)
        await outcome(publisher, message)
        if publisher.unclear is Unclear.SEND_AGAIN:
            assert (await publisher.publish(message)).reference
        assert await peer.taken(message) == 1


class ContractOfBrokenReplies(ContractOfCuts):
    """Holds over the fault server, which does anything, and tells when a request has reached it."""

    @pytest.mark.parametrize("trouble", [Trouble.HALF_A_REPLY, Trouble.GIBBERISH])
    async def test_reply_that_cannot_be_read_is_unknown(
        self, peer: Peer, publisher: Publisher[Any], trouble: Trouble
    ) -> None:
        await peer.will(trouble)
        assert type(await outcome(publisher, peer.message())) is Unknown
        assert (await publisher.publish(peer.message())).reference, "the next one goes through"

    async def test_connection_closed_while_idle_costs_nothing(self, peer: Peer, publisher: Publisher[Any]) -> None:
        await peer.will(Trouble.ANSWER_AND_CLOSE)
        await publisher.publish(peer.message())
        await peer.hung_up()
        assert (await publisher.publish(peer.message())).reference

    async def test_peer_that_never_ends_the_tls_handshake_has_got_nothing(self, peer: Peer) -> None:
        publisher = peer.open(url=peer.url.replace("http:", "https:"), timeout=PATIENCE)
        message = peer.message()
        assert type(await outcome(publisher, message)) is Untried
        assert await peer.taken(message) == 0
        await publisher.aclose()

    async def test_closing_during_a_send_leaves_it_unknown_at_once(self, peer: Peer) -> None:
        publisher = peer.open()
        await peer.will(Trouble.HANG)
        sending = asyncio.create_task(outcome(publisher, peer.message()))
        await peer.reached()
        await publisher.aclose()
        async with asyncio.timeout(AT_MOST / 2):
            assert type(await sending) is Unknown
        await publisher.aclose()

    async def test_closing_sends_nothing_of_those_that_wait_for_a_connection(self, peer: Peer) -> None:
        publisher = peer.open()
        width = publisher.limits.concurrency
        for _ in range(width):
            await peer.will(Trouble.HANG)
        messages = [peer.message() for _ in range(width * 2)]
        sending = [asyncio.create_task(outcome(publisher, message)) for message in messages]
        await peer.reached(width)
        await publisher.aclose()
        async with asyncio.timeout(AT_MOST / 2):
            errors = await asyncio.gather(*sending)
        assert [type(error) for error in errors] == [Unknown] * width + [Untried] * width
        assert [await peer.taken(message) for message in messages] == [0] * len(messages)

    async def test_cancelling_a_send_ends_it_at_once_and_harms_no_later_one(
        self, peer: Peer, publisher: Publisher[Any]
    ) -> None:
        await peer.will(Trouble.HANG)
        sending = asyncio.create_task(publisher.publish(peer.message()))
        await peer.reached()
        sending.cancel()
        async with asyncio.timeout(AT_MOST / 2):
            with pytest.raises(asyncio.CancelledError):
                await sending
        assert (await publisher.publish(peer.message())).reference
