"""Sending, over an SMSC in this process that does whatever it is told."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from publishers.base import CANNOT_SAY, Permanent, PublishError, Receipt, Transient, Unknown, Untried
from publishers.smpp.gateway import Smpp
from sandbox import smpp_wire as wire
from schemas.messages import Mail, Text
from tests.contract.smpp.sending import KEY_TAG, opened, text
from tests.contract.smpp.smsc import FaultSmsc
from tests.contract.suite import PATIENCE, Reports, Trouble, outcome

pytestmark = pytest.mark.contract

THREE_PARTS = "é" * 400


async def refused(publisher: Smpp, says: str = THREE_PARTS) -> PublishError:
    return await outcome(publisher, text(says))


async def test_server_reads_what_was_meant(smsc: FaultSmsc) -> None:
    publisher = opened(smsc.port)
    expires = datetime.now(UTC) + timedelta(hours=2)
    receipt = await publisher.publish(Text("1f-2a.1", "VALMERANDE", "+33639980001", "Été : 5 €", expires))
    [asked] = smsc.taken
    assert receipt == Receipt(reference="id-1")
    assert (asked.source, asked.source_ton, asked.number, asked.text) == ("VALMERANDE", 5, "+33639980001", "Été : 5 €")
    assert asked.registered == 1 and asked.validity.startswith("000000015") and asked.validity.endswith("000R")
    assert asked.tlvs[KEY_TAG] == b"1f-2a.1\0" and len(asked.tlvs[wire.USER_MESSAGE_REFERENCE]) == 2
    await publisher.aclose()


async def test_parts_go_in_order_and_the_reference_names_them_all(smsc: FaultSmsc) -> None:
    publisher = opened(smsc.port)
    receipt = await publisher.publish(text(THREE_PARTS))
    assert receipt.reference == "id-1,id-2,id-3"
    assert "".join(asked.text for asked in smsc.taken) == THREE_PARTS
    assert [asked.part[1:] for asked in smsc.taken if asked.part] == [(3, 1), (3, 2), (3, 3)]
    await publisher.aclose()


@pytest.mark.parametrize(("status", "error"), [(0x0B, Permanent), (0x08, Transient), (0x58, Transient)])
async def test_refused_first_part_leaves_nothing_behind(smsc: FaultSmsc, status: int, error: type) -> None:
    publisher = opened(smsc.port)
    smsc.next.append(status)
    assert type(await refused(publisher)) is error
    assert len(smsc.submits) == 1 and smsc.taken == []
    await publisher.aclose()


@pytest.mark.parametrize(("status", "error", "dead"), [(0x0B, Permanent, False), (0x08, Unknown, None)])
async def test_part_refused_after_another_was_taken_is_told_and_nothing_is_sent_again(
    smsc: FaultSmsc, status: int, error: type, dead: bool | None
) -> None:
    publisher = opened(smsc.port)
    smsc.next.extend([None, status])
    told = await refused(publisher)
    assert type(told) is error and "after 1 of 3 parts had been taken" in told.reason
    assert getattr(told, "address_dead", None) is dead, "a number that got one part exists"
    assert len(smsc.submits) == 2 and len(smsc.taken) == 1
    await publisher.aclose()


async def test_part_throttled_after_another_was_taken_is_sent_again_since_the_server_has_not_got_it(
    smsc: FaultSmsc,
) -> None:
    publisher = opened(smsc.port)
    smsc.next.extend([None, 0x58, 0x14])
    receipt = await publisher.publish(text(THREE_PARTS))
    assert receipt.reference == "id-1,id-2,id-3"
    assert [asked.part[2] for asked in smsc.submits if asked.part] == [1, 2, 2, 2, 3]
    await publisher.aclose()


async def test_part_throttled_to_the_end_of_the_time_leaves_it_unknown(smsc: FaultSmsc) -> None:
    publisher = opened(smsc.port, timeout=PATIENCE)
    smsc.next.extend([None, 0x58, 0x58, 0x58, 0x58])
    told = await refused(publisher)
    assert type(told) is Unknown and "after 1 of 3 parts had been taken" in told.reason
    await publisher.aclose()


@pytest.mark.parametrize("trouble", [Trouble.TAKE_AND_CUT, Trouble.HALF_A_REPLY, Trouble.HANG])
async def test_connection_that_fails_at_the_second_part_leaves_it_unknown_and_sends_nothing_more(
    smsc: FaultSmsc, trouble: Trouble
) -> None:
    publisher = opened(smsc.port, timeout=PATIENCE)
    smsc.next.extend([None, trouble])
    told = await refused(publisher)
    assert type(told) is Unknown and "after 1 of 3 parts had been taken" in told.reason
    assert len(smsc.submits) == 2
    await publisher.aclose()


async def test_no_more_await_an_answer_than_the_window(smsc: FaultSmsc) -> None:
    publisher, reports = opened(smsc.port, window=4), Reports()
    smsc.hold = asyncio.Event()
    messages = [text() for _ in range(20)]
    sending = asyncio.create_task(publisher.publish_many(messages, reports))
    await smsc.until(lambda: smsc.most_at_once == 4)
    smsc.hold.set()
    await sending
    assert smsc.most_at_once == 4 and reports.types() == [Receipt] * 20
    await publisher.aclose()


async def test_throttled_messages_come_back_later_and_the_rest_go_through(smsc: FaultSmsc) -> None:
    publisher, reports = opened(smsc.port, window=4), Reports()
    smsc.next.extend([0x58, 0x58])
    await publisher.publish_many([text() for _ in range(12)], reports)
    assert sorted(kind.__name__ for kind in reports.types()) == ["Receipt"] * 10 + ["Transient"] * 2
    await publisher.aclose()


async def test_many_are_each_reported_once_also_when_cancelled(smsc: FaultSmsc) -> None:
    publisher, reports = opened(smsc.port, window=5), Reports()
    smsc.next.extend([Trouble.HANG] * 5)
    messages = [text() for _ in range(12)]
    sending = asyncio.create_task(publisher.publish_many(messages, reports))
    await smsc.until(lambda: len(smsc.submits) == 5)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert [type(reports[message.key]) for message in messages] == [Unknown] * 5 + [Untried] * 7
    assert len(smsc.submits) == 5
    await publisher.aclose()


async def test_message_of_another_family_is_a_defect_told_for_it_alone(smsc: FaultSmsc) -> None:
    publisher, reports = opened(smsc.port), Reports()
    with capture_logs():
        await publisher.publish_many([Mail("m", "a@a.example", "b@b.example", b""), text()], reports)
    assert reports.types() == [Transient, Receipt]
    await publisher.aclose()


async def test_too_many_messages_for_their_time_are_untried(smsc: FaultSmsc) -> None:
    publisher = opened(smsc.port, window=1, timeout=PATIENCE)
    smsc.next.append(Trouble.HANG)
    first, second = await asyncio.gather(outcome(publisher, text()), outcome(publisher, text()))
    assert (type(first), type(second)) == (Unknown, Untried)
    await publisher.aclose()


async def test_answer_that_comes_too_late_is_found_by_looking_up(smsc: FaultSmsc) -> None:
    publisher = opened(smsc.port, timeout=PATIENCE)
    smsc.hold = asyncio.Event()
    message = text()
    assert type(await outcome(publisher, message)) is Unknown
    with pytest.raises(Transient) as raised:
        await publisher.look_up(message.key, message.recipient)
    assert raised.value.code == CANNOT_SAY
    smsc.hold.set()
    smsc.hold = None
    await publisher.publish(text())  # its answer comes after the late one
    assert await publisher.look_up(message.key, message.recipient) == Receipt(reference="id-1")
    await publisher.aclose()


async def test_refusal_that_comes_too_late_says_that_the_server_never_had_it(smsc: FaultSmsc) -> None:
    publisher = opened(smsc.port, timeout=PATIENCE)
    smsc.next.append(Trouble.HANG)
    message = text()
    assert type(await outcome(publisher, message)) is Unknown
    late = next(pdu for pdu in smsc.requests if pdu.command == wire.SUBMIT_SM)
    smsc.next.append(wire.pdu(late.command | wire.RESPONSE, late.sequence, 0x08))
    await outcome(publisher, text())
    assert await publisher.look_up(message.key, message.recipient) is None
    await publisher.aclose()


async def test_message_cut_off_can_never_be_looked_up(smsc: FaultSmsc) -> None:
    publisher = opened(smsc.port)
    smsc.next.append(Trouble.TAKE_AND_CUT)
    message = text()
    assert type(await outcome(publisher, message)) is Unknown
    with pytest.raises(Transient) as raised:
        await publisher.look_up(message.key, message.recipient)
    assert raised.value.code == CANNOT_SAY
    await publisher.aclose()


async def test_query_asks_under_the_ids_that_the_server_gave(smsc: FaultSmsc) -> None:
    publisher = opened(smsc.port, message_ids="hex_to_decimal")
    smsc.identity = lambda number: f"00A{number}"
    receipt = await publisher.publish(text(THREE_PARTS))
    assert receipt.reference == "161,162,163"
    smsc.states = {"00A1": 2, "00A2": 5, "00A3": 2}
    said = await publisher.query(receipt.reference, "VALMERANDE")
    assert (said.id, said.status, said.at) == (
        receipt.reference,
        "undelivered",
        datetime(2026, 11, 24, 12, 3, tzinfo=UTC),
    )
    another = opened(smsc.port, message_ids="hex_to_decimal")
    smsc.states = {"a1": 2}
    assert (await another.query("161", "VALMERANDE")).status == "delivered", "as far as another process can know"
    with pytest.raises(Transient):
        await another.query("999", "VALMERANDE")
    await publisher.aclose()
    await another.aclose()


async def test_server_that_cannot_read_us_says_so_for_good(smsc: FaultSmsc) -> None:
    publisher = opened(smsc.port)
    await publisher.publish(text())
    sequence = next(pdu.sequence for pdu in smsc.requests if pdu.command == wire.SUBMIT_SM) + 1
    smsc.next.append(wire.pdu(wire.GENERIC_NACK, sequence, 0x03))
    told = await outcome(publisher, text())
    assert type(told) is Permanent and told.code == "ESME_RINVCMDID"
    await publisher.aclose()


async def test_taken_without_an_id_is_taken_all_the_same(smsc: FaultSmsc) -> None:
    publisher = opened(smsc.port)
    smsc.identity = lambda _: ""
    assert await publisher.publish(text()) == Receipt(reference=None)
    assert await publisher.publish(text(THREE_PARTS)) == Receipt(reference=None)
    await publisher.aclose()


async def test_answers_in_another_order_find_their_messages(smsc: FaultSmsc) -> None:
    publisher = opened(smsc.port)
    await publisher.publish(text())
    smsc.next.extend([Trouble.HANG, Trouble.HANG])
    sending = [asyncio.create_task(publisher.publish(text())) for _ in range(2)]
    await smsc.until(lambda: len(smsc.submits) == 3)
    first, second = [pdu.sequence for pdu in smsc.requests if pdu.command == wire.SUBMIT_SM][1:]
    answer = wire.SUBMIT_SM | wire.RESPONSE
    smsc.next.append(
        wire.pdu(answer, second, body=wire.text("second"))
        + wire.pdu(answer, 4_000, body=wire.text("nobody's"))
        + wire.pdu(answer, first, body=wire.text("first"))
    )
    third = asyncio.create_task(publisher.publish(text()))
    assert [(await one).reference for one in sending] == ["first", "second"]
    await publisher.aclose()
    assert type((await asyncio.gather(third, return_exceptions=True))[0]) is Unknown
