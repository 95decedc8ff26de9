"""The connection: binding, probes, TLS and goodbyes, over an SMSC in this process."""

import asyncio

import pytest
from structlog.testing import capture_logs

from publishers.base import Transient, Unknown, Untried
from sandbox import smpp_wire as wire
from tests.contract.smpp.sending import opened, text
from tests.contract.smpp.smsc import CERTIFICATE, FaultSmsc, fault_smsc
from tests.contract.suite import AT_MOST, PATIENCE, outcome

pytestmark = pytest.mark.contract


@pytest.mark.parametrize("status", [0x0D, 0x0E, 0x0F, 0x05])
async def test_account_that_is_refused_waits_and_is_not_knocked_at_again_at_once(smsc: FaultSmsc, status: int) -> None:
    publisher = opened(smsc.port, password="topsecrt")
    smsc.bind_status = status
    with capture_logs() as logs:
        errors = [await outcome(publisher, text()) for _ in range(3)]
    assert {type(error) for error in errors} == {Transient} and len({error.code for error in errors}) == 1
    assert all(isinstance(error, Transient) and 0 < (error.retry_after or 0) <= 1 for error in errors)
    assert len(smsc.requests) == 1, "an account that is tried too often is locked"
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["smpp.settings_fault"]
    assert "topsecrt" not in repr(logs)
    await publisher.aclose()


async def test_server_that_was_away_is_found_again_after_a_pause(nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("publishers.smpp.link.FIRST_PAUSE", 0.05)
    async with fault_smsc() as gone:
        port = gone.port
    publisher = opened(port)
    assert type(await outcome(publisher, text())) is Untried
    async with fault_smsc(port=port) as back, asyncio.timeout(AT_MOST):
        while True:
            try:
                assert (await publisher.publish(text())).reference
                break
            except Untried as error:
                assert error.code == "unreachable"
                await asyncio.sleep(0.02)
        assert len(back.taken) == 1
        await publisher.aclose()


async def test_message_that_gives_up_while_it_is_bound_does_not_stop_the_binding(smsc: FaultSmsc) -> None:
    publisher = opened(smsc.port, timeout=PATIENCE)
    smsc.hold_binds = asyncio.Event()
    assert type(await outcome(publisher, text())) is Untried
    smsc.hold_binds.set()
    assert (await publisher.publish(text())).reference
    assert smsc.binds == 1 and len(smsc.taken) == 1
    await publisher.aclose()


async def test_closing_while_it_is_bound_leaves_the_message_untried_and_nothing_running(smsc: FaultSmsc) -> None:
    before = asyncio.all_tasks()
    publisher = opened(smsc.port)
    smsc.hold_binds = asyncio.Event()
    sending = asyncio.create_task(outcome(publisher, text()))
    await smsc.until(lambda: smsc.requests)
    await publisher.aclose()
    assert type(await sending) is Untried
    await smsc.until(lambda: smsc.closed == 1)
    assert asyncio.all_tasks() - before == set()


async def test_check_proves_the_account_and_says_what_to_mend(smsc: FaultSmsc, nobody: str) -> None:
    publisher = opened(smsc.port)
    [found] = await publisher.check()
    assert found.ok and found.name == f"hub at 127.0.0.1:{smsc.port}" and smsc.submits == []
    assert smsc.commands() == [wire.BIND_TRANSMITTER, wire.UNBIND]
    await publisher.publish(text())
    [found] = await publisher.check()
    assert found.ok and smsc.commands()[-1] == wire.ENQUIRE_LINK, "the session that there is, is enough"
    await publisher.aclose()
    for wrong in (opened(smsc.port, password="wrong"), opened(int(nobody.rpartition(":")[2]))):
        [found] = await wrong.check()
        assert not found.ok and found.mend and "wrong" not in f"{found.says} {found.mend}"


async def test_connection_is_probed_when_nothing_is_said_and_given_up_when_nobody_answers(smsc: FaultSmsc) -> None:
    publisher = opened(smsc.port, enquire_link=0.05, timeout=PATIENCE)
    await publisher.publish(text())
    await smsc.until(lambda: smsc.commands().count(wire.ENQUIRE_LINK) >= 2)
    smsc.silent = True
    await smsc.until(lambda: smsc.closed == 1)
    smsc.silent = False
    assert (await publisher.publish(text())).reference and smsc.binds == 2
    await publisher.aclose()


async def test_requests_of_the_server_are_answered(smsc: FaultSmsc) -> None:
    publisher = opened(smsc.port)
    smsc.next.append(
        wire.pdu(wire.ENQUIRE_LINK, 70)
        + wire.pdu(wire.DELIVER_SM, 71, body=wire.deliver("+33639980001", "V", 5, 0, "hop"))
        + wire.pdu(0x00000102, 72)  # alert_notification, which has no answer
        + wire.pdu(0x00000021, 73)
        + wire.pdu(0x00099999, 74)
        + wire.pdu(wire.UNBIND, 75)
    )
    assert type(await outcome(publisher, text())) is Unknown
    await smsc.until(lambda: len(smsc.answers) == 5)
    assert [(pdu.command, pdu.sequence, pdu.status) for pdu in smsc.answers] == [
        (wire.ENQUIRE_LINK | wire.RESPONSE, 70, 0),
        (wire.DELIVER_SM | wire.RESPONSE, 71, 0x04),  # a transmitter takes none
        (wire.GENERIC_NACK, 73, 0x03),
        (wire.GENERIC_NACK, 74, 0x03),
        (wire.UNBIND | wire.RESPONSE, 75, 0),
    ]
    assert (await publisher.publish(text())).reference, "over a new session"
    await publisher.aclose()


async def test_octets_that_are_no_pdu_are_refused_and_the_connection_closed(smsc: FaultSmsc) -> None:
    publisher = opened(smsc.port)
    smsc.next.append(b"\0\0\0\x04" + b"x" * 12)
    with capture_logs() as logs:
        assert type(await outcome(publisher, text())) is Unknown
    await smsc.until(lambda: smsc.answers)
    assert (smsc.answers[0].command, smsc.answers[0].status) == (wire.GENERIC_NACK, 0x02)
    assert "smpp.unreadable" in {line["event"] for line in logs}
    await publisher.aclose()


async def test_closing_says_goodbye_and_leaves_nothing_running(smsc: FaultSmsc) -> None:
    before = asyncio.all_tasks()
    publisher = opened(smsc.port)
    await asyncio.gather(*(publisher.publish(text()) for _ in range(10)))
    await publisher.aclose()
    await smsc.until(lambda: smsc.closed == 1)
    assert smsc.commands()[-1] == wire.UNBIND
    await publisher.aclose()
    assert asyncio.all_tasks() - before == set()


async def test_server_that_answers_no_goodbye_is_left_in_a_second(smsc: FaultSmsc) -> None:
    before = asyncio.all_tasks()
    publisher = opened(smsc.port)
    await publisher.publish(text())
    smsc.deaf = True
    async with asyncio.timeout(3):
        await publisher.aclose()
    await smsc.until(lambda: smsc.closed == 1)
    assert asyncio.all_tasks() - before == set()


async def test_tls_is_spoken_with_who_has_the_operators_certificate_and_nobody_else() -> None:
    async with fault_smsc(tls=True) as smsc:
        publisher = opened(smsc.port, host="localhost", tls="tls", ca_file=CERTIFICATE)
        assert (await publisher.publish(text())).reference
        await publisher.aclose()
        trusting = opened(smsc.port, host="localhost", tls="tls")
        with capture_logs() as logs:
            told = await outcome(trusting, text())
        assert type(told) is Transient and told.code == "certificate"
        assert [line["code"] for line in logs if line["event"] == "smpp.settings_fault"] == ["certificate"]
        [found] = await trusting.check()
        assert not found.ok and "ca_file" in (found.mend or "")
        await trusting.aclose()
