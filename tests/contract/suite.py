"""What every HTTP channel promises, whoever answers at the other end.

A test file subclasses ``Contract`` once for each peer and gives a ``peer`` fixture; peers that can also cut a
connection, or answer nonsense, take ``ContractOfCuts`` and ``ContractOfBrokenReplies``. Networks whose publishers
are ``Edits`` or ``Deletes`` add ``ContractOfEdits`` and ``ContractOfDeletes`` to them, or, where the peer cuts
connections, ``ContractOfCutEdits`` and ``ContractOfCutDeletes``:

    class TestOverSandbox(ContractOfCuts, ContractOfCutEdits, ContractOfCutDeletes): ...
"""

import asyncio
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from publishers.base import (
    Deletes,
    Edits,
    Limits,
    Permanent,
    Publisher,
    Receipt,
    Transient,
    Unclear,
    Unknown,
    Untried,
)
from publishers.registry import CHANNELS
from schemas.messages import Post
from tests.contract.peer import (
    AT_MOST,
    PATIENCE,
    Peer,
    Reports,
    Trouble,
    outcome,
    refused_deletion,
    refused_edit,
    sandbox_will,
)

__all__ = [
    "AT_MOST",
    "PATIENCE",
    "Contract",
    "ContractOfBrokenReplies",
    "ContractOfCutDeletes",
    "ContractOfCutEdits",
    "ContractOfCuts",
    "ContractOfDeletes",
    "ContractOfEdits",
    "Peer",
    "Reports",
    "Trouble",
    "outcome",
    "refused_deletion",
    "refused_edit",
    "sandbox_will",
]


class Contract:
    """Holds over every peer."""

    def test_says_what_it_is(self, publisher: Publisher[Any]) -> None:
        assert publisher.channel in CHANNELS
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

    async def test_expired_credentials_wait_for_somebody(self, peer: Peer) -> None:
        publisher = peer.open(token="expired")
        message = peer.message()
        assert type(await outcome(publisher, message)) is Transient
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
        assert Counter(map(type, errors)) == {Unknown: width, Untried: width}
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


class _Published:
    """A post that is out, and a correction of it."""

    @pytest.fixture
    async def first(self, peer: Peer, publisher: Publisher[Any]) -> tuple[Post, str]:
        message = peer.message()
        assert isinstance(message, Post)
        return message, _reference(await publisher.publish(message))

    @pytest.fixture
    def correction(self, peer: Peer, first: tuple[Post, str]) -> Post:
        message, _ = first
        other = peer.message()
        return replace(message, key=other.key, text=other.text)


class ContractOfEdits(_Published):
    """Holds over every peer of a network where a post can be changed."""

    async def test_edit_changes_what_readers_see(
        self, peer: Peer, publisher: Publisher[Any], first: tuple[Post, str], correction: Post
    ) -> None:
        assert isinstance(publisher, Edits)
        message, reference = first
        edited = await publisher.edit(reference, correction)
        seen = await peer.shown(_reference(edited)) or ""
        assert correction.text in seen and message.text not in seen

    async def test_same_edit_again_changes_nothing_and_is_no_error(
        self, peer: Peer, publisher: Publisher[Any], first: tuple[Post, str], correction: Post
    ) -> None:
        assert isinstance(publisher, Edits)
        _, reference = first
        edited = await publisher.edit(reference, correction)
        again = await publisher.edit(reference, correction)
        assert again.reference == edited.reference
        assert correction.text in (await peer.shown(_reference(again)) or "")

    async def test_editing_what_is_gone_says_so(
        self, peer: Peer, publisher: Publisher[Any], first: tuple[Post, str], correction: Post
    ) -> None:
        message, reference = first
        await peer.withdraw(publisher, reference, message.account)
        error = await refused_edit(publisher, reference, correction)
        assert (type(error), error.code) == (Permanent, "gone")

    @pytest.mark.parametrize("token", ["wrong", "expired"])
    async def test_edit_with_refused_credentials_waits_and_changes_nothing(
        self, peer: Peer, first: tuple[Post, str], correction: Post, token: str
    ) -> None:
        publisher = peer.open(token=token)
        message, reference = first
        assert type(await refused_edit(publisher, reference, correction)) is Transient
        assert message.text in (await peer.shown(reference) or "")
        await publisher.aclose()

    async def test_edit_that_finds_nobody_is_untried(
        self, peer: Peer, first: tuple[Post, str], correction: Post, nobody: str
    ) -> None:
        publisher = peer.open(url=nobody)
        _, reference = first
        assert type(await refused_edit(publisher, reference, correction)) is Untried
        await publisher.aclose()


class ContractOfCutEdits(ContractOfEdits):
    """Holds over peers that can also take an edit without saying so (``Peer.cuts``)."""

    async def test_edit_without_an_answer_is_unknown_and_again_is_safe(
        self, peer: Peer, publisher: Publisher[Any], first: tuple[Post, str], correction: Post
    ) -> None:
        assert isinstance(publisher, Edits)
        _, reference = first
        for cut in peer.cuts:
            await peer.will(cut)
            assert type(await refused_edit(publisher, reference, correction)) is Unknown, cut
            again = await publisher.edit(reference, correction)
            assert correction.text in (await peer.shown(_reference(again)) or ""), cut
            correction = replace(correction, text=peer.message().text)


class ContractOfDeletes(_Published):
    """Holds over every peer of a network where a post can be taken back."""

    async def test_deleted_post_is_gone(self, peer: Peer, publisher: Publisher[Any], first: tuple[Post, str]) -> None:
        assert isinstance(publisher, Deletes)
        message, reference = first
        assert message.text in (await peer.shown(reference) or "")
        await publisher.delete(reference, message.account)
        assert await peer.shown(reference) is None

    async def test_deleting_what_is_gone_is_no_error(
        self, peer: Peer, publisher: Publisher[Any], first: tuple[Post, str]
    ) -> None:
        assert isinstance(publisher, Deletes)
        message, reference = first
        await publisher.delete(reference, message.account)
        await publisher.delete(reference, message.account)
        assert await peer.shown(reference) is None

    @pytest.mark.parametrize("token", ["wrong", "expired"])
    async def test_deletion_with_refused_credentials_waits_and_removes_nothing(
        self, peer: Peer, first: tuple[Post, str], token: str
    ) -> None:
        publisher = peer.open(token=token)
        message, reference = first
        assert type(await refused_deletion(publisher, reference, message.account)) is Transient
        assert message.text in (await peer.shown(reference) or "")
        await publisher.aclose()


class ContractOfCutDeletes(ContractOfDeletes):
    """Holds over peers that can also take a deletion without saying so (``Peer.cuts``)."""

    async def test_deletion_without_an_answer_is_unknown_and_again_is_safe(
        self, peer: Peer, publisher: Publisher[Any], first: tuple[Post, str]
    ) -> None:
        assert isinstance(publisher, Deletes)
        message, reference = first
        await peer.will(Trouble.TAKE_AND_CUT)
        assert type(await refused_deletion(publisher, reference, message.account)) is Unknown
        await publisher.delete(reference, message.account)
        assert await peer.shown(reference) is None


def _reference(receipt: Receipt) -> str:
    assert receipt.reference
    return receipt.reference
