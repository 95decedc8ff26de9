"""Receipts and people's texts, over an SMSC in this process."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from publishers.smpp.gateway import Smpp
from sandbox import smpp_wire as wire
from schemas.deliveries import State
from schemas.webhooks import SmsInbound, SmsReceipt, parse
from tests.contract.smpp.sending import KEY_TAG, Kept, opened, text
from tests.contract.smpp.smsc import FaultSmsc, fault_smsc
from tests.contract.suite import AT_MOST
from tests.waiting import eventually

pytestmark = pytest.mark.contract

RECEIPT = wire.DELIVER_SM | wire.RESPONSE
NOT_NOW = 0x64


def receipt(identity: str, stat: str = "DELIVRD", tlvs: bytes = b"") -> bytes:
    says = f"id:{identity} sub:001 dlvrd:001 submit date:2611241200 done date:2611241203 stat:{stat} err:000 text:Crue"
    return wire.deliver("+33639980001", "VALMERANDE", 5, wire.RECEIPT, says, tlvs)


class Listening:
    """A publisher that listens, and what it keeps."""

    def __init__(self, smsc: FaultSmsc, publisher: Smpp) -> None:
        self.smsc, self.publisher, self.kept = smsc, publisher, Kept()
        self.task = asyncio.create_task(publisher.receive(self.kept))

    async def bound(self, times: int = 1) -> None:
        await self.smsc.until(lambda: len(self.smsc.receivers) >= times)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.publisher.aclose()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("publishers.smpp.receiver.FIRST_PAUSE", 0.02)


@pytest.fixture
async def listening(smsc: FaultSmsc) -> AsyncIterator[Listening]:
    running = Listening(smsc, opened(smsc.port))
    await running.bound()
    yield running
    await running.stop()


async def test_receipt_is_acknowledged_once_it_is_kept_and_no_earlier(smsc: FaultSmsc) -> None:
    may, asked = asyncio.Event(), asyncio.Event()

    async def keep(_: object) -> None:
        asked.set()
        await may.wait()

    publisher = opened(smsc.port)
    task = asyncio.create_task(publisher.receive(keep))
    await smsc.until(lambda: smsc.receivers)
    delivering = asyncio.create_task(smsc.deliver(receipt("id-1")))
    async with asyncio.timeout(AT_MOST):
        await asked.wait()
    assert smsc.answers == []
    may.set()
    answer = await delivering
    assert (answer.command, answer.status, answer.body) == (RECEIPT, 0, b"\0")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_receipt_that_cannot_be_kept_comes_again(listening: Listening) -> None:
    listening.kept.refusing = True
    with capture_logs() as logs:
        assert (await listening.smsc.deliver(receipt("id-1"))).status == NOT_NOW
    assert "smpp.not_kept" in {line["event"] for line in logs}
    listening.kept.refusing = False
    assert (await listening.smsc.deliver(receipt("id-1"))).status == 0
    assert [incoming.reference for incoming in listening.kept.all] == ["id-1"]


async def test_receipt_binds_by_the_reference_that_was_given_and_by_our_key(listening: Listening) -> None:
    message = text()
    sent = await listening.publisher.publish(message)
    assert sent.reference
    tlvs = wire.tlv(KEY_TAG, listening.smsc.taken[0].tlvs[KEY_TAG])
    await listening.smsc.deliver(receipt(sent.reference, "UNDELIV", tlvs))
    [incoming] = listening.kept.all
    assert (incoming.reference, incoming.hint) == (sent.reference, message.key)
    said = parse(incoming.body)
    assert isinstance(said, SmsReceipt) and said.state is State.FAILED and said.reason


async def test_receipt_by_data_sm_is_taken_too(listening: Listening) -> None:
    body = b"\0" + b"\1\1" + wire.text("33639980001") + b"\5\0" + wire.text("V") + bytes([4, 0, 0])
    body += wire.tlv(wire.RECEIPTED_MESSAGE_ID, b"id-9\0") + wire.tlv(wire.MESSAGE_STATE, b"\x02")
    answer = await listening.smsc.deliver(body, 0x103)
    assert (answer.command, answer.status) == (0x80000103, 0)
    assert [incoming.reference for incoming in listening.kept.all] == ["id-9"]


async def test_parts_are_kept_each_and_the_whole_with_the_last(listening: Listening) -> None:
    sent = await listening.publisher.publish(text("é" * 400))
    assert sent.reference == "id-1,id-2,id-3"
    marks = [asked.tlvs[wire.USER_MESSAGE_REFERENCE] for asked in listening.smsc.taken]
    for number in (2, 3, 1):
        tlvs = wire.tlv(wire.USER_MESSAGE_REFERENCE, marks[number - 1])
        await listening.smsc.deliver(receipt(f"id-{number}", "DELIVRD", tlvs))
    assert [incoming.reference for incoming in listening.kept.all] == ["id-2", "id-3", "id-1", sent.reference]
    said = parse(listening.kept.all[-1].body)
    assert isinstance(said, SmsReceipt) and said.state is State.DELIVERED
    assert all(incoming.hint is None for incoming in listening.kept.all)


async def test_one_failed_part_fails_the_whole_at_once_where_our_key_comes_back(listening: Listening) -> None:
    message = text("é" * 400)
    await listening.publisher.publish(message)
    marks = [wire.tlv(KEY_TAG, asked.tlvs[KEY_TAG]) for asked in listening.smsc.taken]
    await listening.smsc.deliver(receipt("id-1", "DELIVRD", marks[0]))
    assert [incoming.hint for incoming in listening.kept.all] == [None], "one part is not the message"
    await listening.smsc.deliver(receipt("id-3", "EXPIRED", marks[2]))
    hinted = [incoming for incoming in listening.kept.all if incoming.hint]
    assert [incoming.hint for incoming in hinted] == [message.key]
    said = parse(hinted[0].body)
    assert isinstance(said, SmsReceipt) and said.state is State.FAILED
    await listening.smsc.deliver(receipt("id-2", "DELIVRD", marks[1]))
    said = parse(listening.kept.all[-1].body)
    assert isinstance(said, SmsReceipt) and said.state is State.FAILED, "and it stays so"


async def test_person_who_writes_stop_is_heard(listening: Listening) -> None:
    stop = wire.deliver("+33639980001", "36000", 3, 0, "STOP")
    assert (await listening.smsc.deliver(stop)).status == 0
    [incoming] = listening.kept.all
    said = parse(incoming.body)
    assert incoming.kind == "inbound" and isinstance(said, SmsInbound)
    assert (said.sender, said.to, said.text) == ("+33639980001", "36000", "STOP")


async def test_text_that_imitates_a_receipt_is_only_a_text(listening: Listening) -> None:
    forged = wire.deliver("+33639980001", "36000", 3, 0, "id:id-1 sub:001 dlvrd:001 stat:DELIVRD err:000")
    await listening.smsc.deliver(forged)
    assert [incoming.kind for incoming in listening.kept.all] == ["inbound"]


async def test_receipt_that_nobody_can_read_is_kept_for_somebody_to_look_at(listening: Listening) -> None:
    with capture_logs() as logs:
        answer = await listening.smsc.deliver(wire.deliver("+33639980001", "V", 5, wire.RECEIPT, "00,0210021543,we23"))
    assert answer.status == 0, "or it would come for ever"
    assert "smpp.unreadable_receipt" in {line["event"] for line in logs}
    assert b"00,0210021543,we23" in listening.kept.all[0].body and listening.kept.all[0].reference is None


async def test_lost_connection_is_made_again(listening: Listening) -> None:
    for times in (2, 3):
        listening.smsc.receivers[-1].close()
        await listening.bound(times)
        assert (await listening.smsc.deliver(receipt(f"id-{times}"))).status == 0
    assert listening.task.done() is False


async def test_server_that_ends_the_session_is_left_politely_and_found_again(listening: Listening) -> None:
    listening.smsc.receivers[-1].write(wire.pdu(wire.UNBIND, 5))
    await listening.smsc.until(lambda: listening.smsc.answers)
    assert listening.smsc.answers[0].command == wire.UNBIND | wire.RESPONSE
    await listening.bound(2)


async def test_parts_are_still_put_together_after_the_connection_was_lost(listening: Listening) -> None:
    sent = await listening.publisher.publish(text("ç" * 100))
    marks = [
        wire.tlv(wire.USER_MESSAGE_REFERENCE, one.tlvs[wire.USER_MESSAGE_REFERENCE]) for one in listening.smsc.taken
    ]
    await listening.smsc.deliver(receipt("id-1", "DELIVRD", marks[0]))
    listening.smsc.receivers[-1].close()
    await listening.bound(2)
    await listening.smsc.deliver(receipt("id-2", "DELIVRD", marks[1]))
    assert listening.kept.all[-1].reference == sent.reference


async def test_refused_account_is_tried_again_with_growing_pauses(smsc: FaultSmsc) -> None:
    smsc.bind_status = 0x0D
    with capture_logs() as logs:
        running = Listening(smsc, opened(smsc.port))
        await smsc.until(lambda: len(smsc.requests) >= 3)
        smsc.bind_status = 0
        await running.bound()
    pauses = [line["again_in"] for line in logs if line["event"] == "smpp.unreachable"]
    assert pauses[:3] == [0.02, 0.04, 0.08]
    assert "smpp.settings_fault" in {line["event"] for line in logs}
    await running.stop()


async def test_server_that_is_away_is_waited_for() -> None:
    async with fault_smsc() as gone:
        port = gone.port
    publisher, kept = opened(port), Kept()
    task = asyncio.create_task(publisher.receive(kept))
    await asyncio.sleep(0)
    async with fault_smsc(port=port) as back:
        await back.until(lambda: back.receivers)
        await back.deliver(receipt("id-1"))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [incoming.reference for incoming in kept.all] == ["id-1"]


async def test_stopping_says_goodbye_and_leaves_nothing_running(smsc: FaultSmsc) -> None:
    before = asyncio.all_tasks()
    running = Listening(smsc, opened(smsc.port))
    await running.bound()
    await smsc.deliver(receipt("id-1"))
    await running.stop()
    await smsc.until(lambda: smsc.closed == 1)
    assert smsc.commands() == [wire.BIND_RECEIVER, wire.UNBIND]
    await eventually(lambda: asyncio.all_tasks() - before == set(), what="the end of every task")
