from dataclasses import replace

import httpx
import pytest

from publishers.base import Finds, LooksUp, Permanent, Transient, Unclear
from publishers.telegram.channel import CAPTION, Telegram
from tests.contract.conftest import Sandbox
from tests.contract.fault_server import FaultServer
from tests.contract.peers import PNG, picture
from tests.contract.suite import (
    ContractOfBrokenReplies,
    ContractOfCutDeletes,
    ContractOfCutEdits,
    ContractOfCuts,
    outcome,
    refused_edit,
)
from tests.contract.telegram.peers import CHAT, OverFaults, OverSandbox, TelegramPeer

pytestmark = pytest.mark.contract

TWO = (picture(), picture(PNG + b"2", "La rue vue du pont"))


class OfTelegram(ContractOfCuts, ContractOfCutEdits, ContractOfCutDeletes):
    """What Telegram's own ways add to the suite."""

    def test_unclear_message_can_only_be_judged_by_somebody_who_looks(self, publisher: Telegram) -> None:
        assert publisher.unclear is Unclear.WAIT
        assert not isinstance(publisher, Finds) and not isinstance(publisher, LooksUp)

    @pytest.mark.parametrize("count", [1, 2])
    async def test_pictures_and_their_text_are_one_post(
        self, peer: TelegramPeer, publisher: Telegram, count: int
    ) -> None:
        message = replace(peer.message(), pictures=TWO[:count])
        receipt = await publisher.publish(message)
        assert receipt.code is None and (receipt.reference or "").count(",") == count - 1
        assert await peer.taken(message) == 1
        assert await peer.shown(receipt.reference or "") == message.text

    async def test_text_too_long_for_a_caption_goes_out_without_pictures_and_says_so(
        self, peer: TelegramPeer, publisher: Telegram
    ) -> None:
        message = peer.message()
        message = replace(message, text=message.text.ljust(CAPTION + 1, "."), pictures=TWO)
        receipt = await publisher.publish(message)
        assert receipt.code == "without_pictures" and "#" not in (receipt.reference or "#")
        assert await peer.taken(message) == 1
        again = await publisher.edit(receipt.reference or "", replace(message, text=message.text + "."))
        assert again.reference == receipt.reference

    @pytest.mark.parametrize("count", [1, 2])
    async def test_edit_replaces_text_and_pictures(self, peer: TelegramPeer, publisher: Telegram, count: int) -> None:
        message = replace(peer.message(), pictures=TWO[:count])
        first = (await publisher.publish(message)).reference or ""
        message = replace(message, text="Rue rouverte " + message.key)
        same = await publisher.edit(first, message)
        assert same.reference == first and await peer.shown(first) == message.text
        others = tuple(picture(PNG + bytes([65 + index])) for index in range(count))
        message = replace(message, text="Place rouverte " + message.key, pictures=others)
        for _ in range(2):
            other = await publisher.edit(first, message)
            assert other.reference not in (None, first) and await peer.shown(first) == message.text

    async def test_edit_that_telegram_knows_no_way_for_is_fixed(self, peer: TelegramPeer, publisher: Telegram) -> None:
        message = peer.message()
        plain = (await publisher.publish(message)).reference or ""
        pictured = replace(peer.message(), pictures=TWO)
        album = (await publisher.publish(pictured)).reference or ""
        long = replace(pictured, text="é" * (CAPTION + 1))
        for reference, wanted in (
            (plain, pictured),
            (album, message),
            (album, replace(pictured, pictures=TWO[:1])),
            (album, long),
        ):
            refused = await refused_edit(publisher, reference, wanted)
            assert (type(refused), refused.code) == (Permanent, "fixed")

    async def test_album_is_taken_back_whole(self, peer: TelegramPeer, publisher: Telegram) -> None:
        message = replace(peer.message(), pictures=TWO)
        reference = (await publisher.publish(message)).reference or ""
        await publisher.delete(reference, "valmerande")
        await publisher.delete(reference, "valmerande")
        assert await peer.shown(reference) is None

    async def test_check_tells_a_good_token_from_a_bad_one(self, peer: TelegramPeer) -> None:
        good, wrong = peer.open(), peer.open(token="wrong")
        [finding], [mend] = await good.check(), await wrong.check()
        assert finding.ok and finding.name == "valmerande" and "_bot in Valmerande" in finding.says
        assert not mend.ok and "token" in mend.says and mend.mend
        await good.aclose()
        await wrong.aclose()


class TestOverFaultServer(OfTelegram, ContractOfBrokenReplies):
    @pytest.fixture
    def peer(self, faults: FaultServer) -> OverFaults:
        return OverFaults(faults)


class TestOverSandbox(OfTelegram):
    @pytest.fixture
    def peer(self, sandbox: Sandbox) -> OverSandbox:
        return OverSandbox(sandbox)

    async def test_receipt_leads_to_the_message_on_the_wall(self, peer: OverSandbox, publisher: Telegram) -> None:
        message = replace(peer.message(), pictures=TWO)
        receipt = await publisher.publish(message)
        assert (receipt.url or "").startswith(f"{peer.web}/{CHAT[1:]}/")
        async with httpx.AsyncClient() as client:
            page = await client.get(receipt.url or "")
        assert page.status_code == 200 and message.text in page.text

    async def test_thread_hangs_on_its_head(self, peer: OverSandbox, publisher: Telegram) -> None:
        head = await publisher.publish(peer.message())
        second = peer.message()
        part = await publisher.publish(replace(second, reply_to=head.reference, root=head.reference))
        answered = peer.latest(part.reference or "")["in_reply_to_id"]
        assert answered == peer.latest(head.reference or "")["id"]
        await publisher.delete(head.reference or "", "valmerande")
        third = peer.message()
        await publisher.publish(replace(third, reply_to="-1:999", root="-1:999"))
        assert await peer.taken(third) == 1, "what it answers is gone; it goes out all the same"

    async def test_text_comes_out_as_it_went_in(self, peer: OverSandbox, publisher: Telegram) -> None:
        message = peer.message()
        text = (
            f"*Crue* _vigilance_ <b>rouge</b> [lien](https://valmerande.example) `a` & @mairie #alerte 🌊 {message.key}"
        )
        receipt = await publisher.publish(replace(message, text=text))
        assert await peer.shown(receipt.reference or "") == text

    @pytest.mark.parametrize(
        ("token", "chat", "word"),
        [
            ("96001:kicked", CHAT, "removed from the channel"),
            ("96001:reader", CHAT, "right to post"),
            (":", CHAT, "token is incomplete"),
            ("96001:valmerande", "@nowhere", "no such channel"),
            ("96001:valmerande", "-404", "write -1000000000404 as the account's chat"),
        ],
    )
    async def test_what_somebody_must_mend_waits_and_says_what(
        self, peer: OverSandbox, token: str, chat: str, word: str
    ) -> None:
        publisher = Telegram(peer.options(token=token, chat=chat))
        error = await outcome(publisher, peer.message())
        assert type(error) is Transient and word in error.reason
        [finding] = await publisher.check()
        assert not finding.ok and finding.mend
        await publisher.aclose()

    async def test_private_channel_has_no_public_address(self, peer: OverSandbox) -> None:
        publisher = Telegram(peer.options(chat="-1001234567890"))
        receipt = await publisher.publish(peer.message())
        assert receipt.url is None and (receipt.reference or "").startswith("-1001234567890:")
        await publisher.aclose()
