from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from publishers.base import Permanent, Transient, Unclear, Unknown
from publishers.facebook.channel import Facebook
from tests.contract.conftest import Sandbox
from tests.contract.facebook.peers import FacebookPeer, OverFaults, OverSandbox
from tests.contract.fault_server import FaultServer
from tests.contract.peers import PNG, picture
from tests.contract.suite import (
    ContractOfBrokenReplies,
    ContractOfCutDeletes,
    ContractOfCutEdits,
    ContractOfCuts,
    Peer,
    Trouble,
    outcome,
    refused_edit,
)

pytestmark = pytest.mark.contract


class OfFacebook(ContractOfCuts, ContractOfCutEdits, ContractOfCutDeletes):
    """What Facebook's own ways add to the suite."""

    async def test_throttling_waits_as_long_as_the_peer_asks(self, peer: Peer, publisher: Any) -> None:
        message = peer.message()
        await peer.will(Trouble.THROTTLE)
        error = await outcome(publisher, message)
        assert type(error) is Transient
        assert error.retry_after in (60, 120), "Facebook tells it in minutes"
        assert await peer.taken(message) == 0

    async def test_unclear_post_is_found_by_its_words_and_not_made_again(
        self, peer: FacebookPeer, publisher: Facebook
    ) -> None:
        message = peer.message("Crue : évacuez *maintenant*  \n\nhttps://valmerande.example/crue <urgent> & @mairie 🌊")
        message = replace(message, text=f"{message.text} {message.key}\n")
        assert publisher.unclear is Unclear.LOOK_UP and publisher.key_kept == timedelta(0)
        assert await publisher.find(message, message.at) is None
        await peer.will(Trouble.TAKE_AND_CUT)
        assert type(await outcome(publisher, message)) is Unknown
        await publisher.publish(peer.message())
        found = await publisher.find(message, message.at)
        assert found is not None and found.reference
        assert message.text.strip() in (await peer.shown(found.reference) or "").strip()
        assert await peer.taken(message) == 1

    async def test_post_of_the_same_words_made_long_before_the_first_try_is_another(
        self, peer: FacebookPeer, publisher: Facebook
    ) -> None:
        message = peer.message()
        await publisher.publish(message)
        assert await publisher.find(message, message.at + timedelta(minutes=5)) is None

    async def test_duplicate_of_an_older_post_is_refused_for_good(
        self, peer: FacebookPeer, publisher: Facebook
    ) -> None:
        message = peer.message()
        await publisher.publish(message)
        later = replace(message, key="another", at=message.at + timedelta(minutes=5))
        error = await outcome(publisher, later)
        assert type(error) is Permanent and error.code == "duplicate"

    async def test_find_that_is_refused_is_not_taken_for_never_made(self, peer: FacebookPeer) -> None:
        publisher = peer.open(token="wrong")
        message = peer.message()
        with pytest.raises(Transient):
            await publisher.find(message, message.at)
        await publisher.aclose()

    async def test_post_with_pictures_has_them_with_their_alt_texts(
        self, peer: FacebookPeer, publisher: Facebook
    ) -> None:
        pictures = (picture(), picture(PNG + b"2", "La rue vue du pont"))
        message = replace(peer.message(), pictures=pictures)
        receipt = await publisher.publish(message)
        assert receipt.reference and "#" in receipt.reference
        assert "#" not in (receipt.url or "#")
        assert await peer.taken(message) == 1

    async def test_edit_leaves_the_pictures_and_says_so_when_others_are_wanted(
        self, peer: FacebookPeer, publisher: Facebook
    ) -> None:
        message = replace(peer.message(), pictures=(picture(),))
        reference = (await publisher.publish(message)).reference or ""
        edited = await publisher.edit(reference, replace(message, text="Rue rouverte " + message.key))
        assert edited.reference == reference
        for others in ((), (picture(PNG + b"2"),), (picture(alt="Autre chose"),)):
            error = await refused_edit(publisher, reference, replace(message, pictures=others))
            assert (type(error), error.code) == (Permanent, "fixed")

    async def test_check_tells_a_good_token_from_a_bad_one(self, peer: FacebookPeer) -> None:
        good, expired = peer.open(), peer.open(token="expired")
        [finding], [mend] = await good.check(), await expired.check()
        assert finding.ok and finding.name == "valmerande"
        assert not mend.ok and "expired" in mend.says and mend.mend
        await good.aclose()
        await expired.aclose()


class TestOverFaultServer(OfFacebook, ContractOfBrokenReplies):
    @pytest.fixture
    def peer(self, faults: FaultServer) -> OverFaults:
        return OverFaults(faults)


class TestOverSandbox(OfFacebook):
    @pytest.fixture
    def peer(self, sandbox: Sandbox) -> OverSandbox:
        return OverSandbox(sandbox)

    async def test_receipt_leads_to_the_post_on_the_wall(self, peer: OverSandbox, publisher: Facebook) -> None:
        message = replace(peer.message(), pictures=(picture(),))
        receipt = await publisher.publish(message)
        async with httpx.AsyncClient() as client:
            page = await client.get(receipt.url or "")
        assert page.status_code == 200 and message.text in page.text and "Plan de la déviation" in page.text

    async def test_link_that_facebook_cannot_read_costs_the_preview_only(
        self, peer: OverSandbox, publisher: Facebook
    ) -> None:
        message = replace(peer.message(), link="https://valmerande.example/unscrapable")
        assert (await publisher.publish(message)).reference
        assert await peer.taken(message) == 1

    async def test_token_that_may_not_read_the_page_is_told_and_stays_unknown(self, peer: OverSandbox) -> None:
        publisher = peer.open(token="token-unread-96001")
        message = peer.message()
        with pytest.raises(Permanent):
            await publisher.find(message, message.at)
        [finding] = await publisher.check()
        assert not finding.ok and "pages_read_engagement" in (finding.mend or "")
        await publisher.publish(message)
        assert type(await outcome(publisher, message)) is Unknown, "a post of the same words is there: which one?"
        await publisher.aclose()

    @pytest.mark.parametrize(("token", "word"), [("user", "not of page"), ("token-orvelle-96002", "not of page")])
    async def test_token_that_is_not_the_pages_is_told(self, peer: OverSandbox, token: str, word: str) -> None:
        publisher = peer.open(token=token)
        [finding] = await publisher.check()
        assert not finding.ok and word in finding.says
        message = peer.message()
        error = await outcome(publisher, message)
        assert type(error) is Transient and "no such page" in error.reason
        with pytest.raises(Transient):
            await publisher.delete("96001_1", "valmerande")
        await publisher.aclose()
