"""The whole way, over an SMSC that is not ours (npm smpp) and over the sandbox."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from publishers.base import Incoming, Transient, Unknown
from publishers.smpp.gateway import Smpp
from publishers.sms.channel import Sms, SmsOptions
from sandbox import smpp_wire as wire
from schemas.deliveries import State
from schemas.messages import Text
from schemas.webhooks import SmsInbound, SmsReceipt, parse
from tests.contract.conftest import Sandbox, running_sandbox
from tests.contract.smpp.sending import Kept, opened, text
from tests.contract.smpp.smsc import FaultSmsc, NpmSmsc
from tests.contract.suite import outcome
from tests.waiting import eventually

pytestmark = pytest.mark.contract

DELIVERED, UNDELIVERED, EXPIRED = "+33639980001", "+33639980192", "+33639980186"


@asynccontextmanager
async def listening(publisher: Smpp) -> AsyncIterator[Kept]:
    kept = Kept()
    task = asyncio.create_task(publisher.receive(kept))
    try:
        yield kept
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await publisher.aclose()


def states(kept: Kept) -> dict[str | None, State | None]:
    """What is known of each message, by its reference."""
    said = [(incoming.reference, parse(incoming.body)) for incoming in kept.all if incoming.kind == "receipt"]
    return {reference: receipt.state for reference, receipt in said if isinstance(receipt, SmsReceipt)}


def port_of(sandbox: Sandbox) -> int:
    return int(sandbox.smpp.rpartition(":")[2])


class TestOverNpmSmsc:
    @pytest.mark.parametrize("ids", ["as_is", "hex_to_decimal"])
    async def test_receipts_find_the_message_they_are_about(self, npm_smsc: NpmSmsc, ids: str) -> None:
        stats = {UNDELIVERED[1:]: "UNDELIV", EXPIRED[1:]: "EXPIRED"}
        await npm_smsc.tell(ids=ids, stats=stats, marks=False)
        publisher = opened(npm_smsc.port, message_ids=ids)
        async with listening(publisher) as kept:
            await npm_smsc.until(lambda: {"bound": "bind_receiver"} in npm_smsc.said)
            sent = {n: await publisher.publish(text(recipient=n)) for n in (DELIVERED, UNDELIVERED, EXPIRED)}
            await eventually(lambda: len(kept.all) == 3, what="three receipts")
            assert states(kept) == {
                sent[DELIVERED].reference: State.DELIVERED,
                sent[UNDELIVERED].reference: State.FAILED,
                sent[EXPIRED].reference: State.FAILED,
            }
            await npm_smsc.until(lambda: len(npm_smsc.all("acknowledged")) == 3)
            assert {one["acknowledged"] for one in npm_smsc.all("acknowledged")} == {0}
        assert {"unbound": True} in npm_smsc.said

    @pytest.mark.parametrize("dialect", ["hex_to_decimal", "any"])
    async def test_ids_of_another_base_and_with_zeros_are_found(self, npm_smsc: NpmSmsc, dialect: str) -> None:
        await npm_smsc.tell(ids="hex_to_decimal", marks=False)
        publisher = opened(npm_smsc.port, message_ids=dialect)
        async with listening(publisher) as kept:
            await npm_smsc.until(lambda: {"bound": "bind_receiver"} in npm_smsc.said)
            sent = await publisher.publish(text(recipient=DELIVERED))
            await eventually(lambda: kept.all, what="a receipt")
            assert states(kept) == {sent.reference: State.DELIVERED}

    @pytest.mark.parametrize(
        ("says", "coding", "parts"),
        [
            ("Crue : évacuez à 5 € §", 0, 1),
            ("^{}\\[~]|€" * 20, 0, 3),
            ("é€" * 150, 0, 3),
            ("Ça monte 😀" * 20, 8, 4),
            ("Привет", 8, 1),
        ],
    )
    async def test_another_servers_reading_of_our_text_is_the_text(
        self, npm_smsc: NpmSmsc, says: str, coding: int, parts: int
    ) -> None:
        publisher = opened(npm_smsc.port)
        sent = await publisher.publish(text(says))
        await npm_smsc.until(lambda: len(npm_smsc.all("took")) == parts)
        took = npm_smsc.all("took")
        assert "".join(one["took"] for one in took) == says
        assert {one["coding"] for one in took} == {coding}
        assert sent.reference == ",".join(one["id"] for one in took)
        if parts > 1:
            headers = [bytes.fromhex(one["header"][0]) for one in took]
            assert [tuple(header[-2:]) for header in headers] == [(parts, at) for at in range(1, parts + 1)]
            assert len({header[:-2] for header in headers}) == 1
        await publisher.aclose()

    async def test_payload_is_taken_whole_under_one_id(self, npm_smsc: NpmSmsc) -> None:
        publisher = opened(npm_smsc.port, long_messages="payload")
        sent = await publisher.publish(text("é" * 400))
        await npm_smsc.until(lambda: npm_smsc.all("took"))
        [took] = npm_smsc.all("took")
        assert took["payload"] and took["took"] == "é" * 400 and sent.reference == took["id"]
        await publisher.aclose()

    async def test_message_in_parts_is_delivered_once_all_are(self, npm_smsc: NpmSmsc) -> None:
        publisher = opened(npm_smsc.port, key_tag=None)
        async with listening(publisher) as kept:
            await npm_smsc.until(lambda: {"bound": "bind_receiver"} in npm_smsc.said)
            sent = await publisher.publish(text("é" * 400))
            await eventually(lambda: len(kept.all) == 4, what="the parts' receipts and the whole's")
            assert states(kept)[sent.reference] is State.DELIVERED

    async def test_without_marks_the_whole_is_never_told_of(self, npm_smsc: NpmSmsc) -> None:
        await npm_smsc.tell(marks=False)
        publisher = opened(npm_smsc.port)
        async with listening(publisher) as kept:
            await npm_smsc.until(lambda: {"bound": "bind_receiver"} in npm_smsc.said)
            sent = await publisher.publish(text("é" * 400))
            await eventually(lambda: len(kept.all) == 3, what="the parts' receipts")
            assert sent.reference not in states(kept)
            said = await publisher.query(sent.reference or "", "VALMERANDE")
            assert said.state is State.DELIVERED, "but it can be asked for"

    async def test_query_of_nothing_known_waits(self, npm_smsc: NpmSmsc) -> None:
        publisher = opened(npm_smsc.port)
        with pytest.raises(Transient):
            await publisher.query("abc", "VALMERANDE")
        await publisher.aclose()

    async def test_receipt_that_is_not_kept_is_refused_and_people_are_heard(self, npm_smsc: NpmSmsc) -> None:
        publisher = opened(npm_smsc.port)
        reply = {"source_addr": "33639980001", "source_addr_ton": 1, "destination_addr": "36000", "dest_addr_ton": 3}
        async with listening(publisher) as kept:
            await npm_smsc.until(lambda: {"bound": "bind_receiver"} in npm_smsc.said)
            kept.refusing = True
            await npm_smsc.tell(reply={**reply, "short_message": "STOP"})
            await npm_smsc.until(lambda: {"acknowledged": 0x64} in npm_smsc.said)
            kept.refusing = False
            await npm_smsc.tell(reply={**reply, "short_message": "Arrêt ✋"})
            await npm_smsc.until(lambda: {"acknowledged": 0} in npm_smsc.said)
            said = parse(kept.all[0].body)
            assert isinstance(said, SmsInbound) and (said.sender, said.text) == ("+33639980001", "Arrêt ✋")

    async def test_its_probe_is_answered(self, npm_smsc: NpmSmsc) -> None:
        publisher = opened(npm_smsc.port)
        await publisher.publish(text())
        await npm_smsc.tell(enquire=True)
        await npm_smsc.until(lambda: {"alive": True} in npm_smsc.said)
        await publisher.aclose()

    async def test_check_binds_and_leaves(self, npm_smsc: NpmSmsc) -> None:
        assert (await opened(npm_smsc.port).check())[0].ok
        assert not (await opened(npm_smsc.port, password="expired").check())[0].ok
        await npm_smsc.until(lambda: {"unbound": True} in npm_smsc.said)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """One of the test's own: receipts go to whoever listens."""
    with running_sandbox(tmp_path, "--receipt-delay-ms", "20") as running:
        yield running


def messages(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [line for line in sandbox.journal("sms") if line["kind"] == "message"]


class TestOverSandbox:
    async def test_numbers_tell_of_their_receipts_as_over_http(self, sandbox: Sandbox) -> None:
        publisher = opened(port_of(sandbox))
        async with listening(publisher) as kept:
            sent = {n: await publisher.publish(text(recipient=n)) for n in (DELIVERED, UNDELIVERED, EXPIRED)}
            await eventually(lambda: len(kept.all) == 3, what="three receipts")
            assert states(kept) == {
                sent[DELIVERED].reference: State.DELIVERED,
                sent[UNDELIVERED].reference: State.FAILED,
                sent[EXPIRED].reference: State.FAILED,
            }

    async def test_journal_says_what_was_taken_as_for_http(self, sandbox: Sandbox) -> None:
        publisher = opened(port_of(sandbox))
        message = Text("1f-2a.1", "VALMERANDE", DELIVERED, "é€" * 150)
        await publisher.publish(message)
        [line] = messages(sandbox)
        assert (line["outcome"], line["number"], line["sender"]) == ("accepted", DELIVERED, "VALMERANDE")
        assert (line["client_reference"], line["text"], line["segments"], line["encoding"]) == (
            "1f-2a.1",
            message.text,
            3,
            "GSM-7",
        )
        counts = httpx.get(f"{sandbox.http}/sandbox/counts").json()["sms"]
        assert (counts["accepted"], counts["duplicates"]) == (1, 0)
        await publisher.aclose()

    async def test_message_in_parts_is_delivered_by_all_its_ids_and_our_key(self, sandbox: Sandbox) -> None:
        publisher = opened(port_of(sandbox))
        message = text("ç" * 150, DELIVERED)
        async with listening(publisher) as kept:
            sent = await publisher.publish(message)
            await eventually(lambda: len(kept.all) == 4, what="the parts' receipts and the whole's")
            whole = next(incoming for incoming in kept.all if incoming.reference == sent.reference)
            assert whole.hint == message.key and states(kept)[sent.reference] is State.DELIVERED
            assert (await publisher.query(sent.reference or "", "VALMERANDE")).state is State.DELIVERED

    async def test_receipts_wait_until_somebody_listens_and_are_not_lost_when_refused(self, sandbox: Sandbox) -> None:
        sender, receiver = opened(port_of(sandbox)), opened(port_of(sandbox))
        sent = await sender.publish(text(recipient=DELIVERED))
        await sender.aclose()
        async with listening(receiver) as kept:
            kept.refusing = True
            await eventually(lambda: kept.asked >= 1, what="a receipt")
            kept.refusing = False
            await eventually(lambda: kept.all, what="the same receipt again")
            assert states(kept) == {sent.reference: State.DELIVERED}

    async def test_handset_answers_the_way_it_was_written_to(self, sandbox: Sandbox) -> None:
        publisher = opened(port_of(sandbox))
        async with listening(publisher) as kept:
            await publisher.publish(Text("1-1.1", "+33639980999", DELIVERED, "Crue"))
            await eventually(lambda: kept.all, what="the receipt")
            async with httpx.AsyncClient(base_url=sandbox.http) as client:
                (await client.post(f"/sms/handset/{DELIVERED}/reply", json={"text": "STOP"})).raise_for_status()
            await eventually(lambda: len(kept.all) == 2, what="the reply")
            heard: list[Incoming] = [incoming for incoming in kept.all if incoming.kind == "inbound"]
            said = parse(heard[0].body)
            assert isinstance(said, SmsInbound)
            assert (said.sender, said.to, said.text) == (DELIVERED, "+33639980999", "STOP")

    async def test_receipts_that_nobody_took_outlive_a_restart(self, tmp_path: Path) -> None:
        home = tmp_path / "again"
        home.mkdir()
        with running_sandbox(home, "--receipt-delay-ms", "20") as first:
            publisher = opened(port_of(first))
            sent = await publisher.publish(text("ç" * 150, DELIVERED))
            await publisher.aclose()
        with running_sandbox(home) as second:
            async with listening(opened(port_of(second))) as kept:
                await eventually(lambda: sent.reference in states(kept), what="the receipt of all parts")

    async def test_same_key_again_gets_the_first_answer_where_the_sandbox_deduplicates(self, tmp_path: Path) -> None:
        home = tmp_path / "again"
        home.mkdir()
        with running_sandbox(home, "--sms-deduplicates", "--latency-ms", "5") as running:
            publisher = opened(port_of(running))
            message = text()
            first, second = await publisher.publish(message), await publisher.publish(message)
            assert first.reference == second.reference
            assert [line["outcome"] for line in messages(running)] == ["accepted", "replayed"]
            await publisher.aclose()

    async def test_number_that_takes_and_closes_does_so_for_parts_too(self, sandbox: Sandbox) -> None:
        publisher = opened(port_of(sandbox))
        message = text("ç" * 150, "+33639980195")
        error = await outcome(publisher, message)
        assert type(error) is Unknown and "after 2 of 3 parts" in error.reason
        [line] = messages(sandbox)
        assert (line["outcome"], line["client_reference"], line["segments"]) == ("dropped", message.key, 3)
        await publisher.aclose()

    async def test_validity_is_journalled_in_seconds_of_either_format(self, sandbox: Sandbox) -> None:
        for validity in ("relative", "absolute"):
            publisher = opened(port_of(sandbox), validity=validity)
            expires = datetime.now(UTC) + timedelta(hours=1, minutes=1)
            await publisher.publish(Text(f"{validity}-1.1", "VALMERANDE", DELIVERED, "Crue", expires))
            assert 3600 <= messages(sandbox)[-1]["validity_seconds"] <= 3660
            await publisher.aclose()

    async def test_octets_that_are_no_smpp_end_the_connection_and_harm_nobody(self, sandbox: Sandbox) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(sandbox))
        writer.write(b"GET / HTTP/1.1\r\nHost: sandbox\r\n\r\n")
        assert (await reader.read())[4:8] == b"\x80\0\0\0", "a generic_nack"
        writer.close()
        publisher = opened(port_of(sandbox))
        assert (await publisher.publish(text())).reference
        await publisher.aclose()


async def test_channel_speaks_of_a_gateway_of_this_kind_by_its_name(smsc: FaultSmsc) -> None:
    gateway = {"kind": "smpp", "host": "127.0.0.1", "port": smsc.port, "system_id": "hub", "password": "hubpw"}
    channel = Sms(SmsOptions.model_validate({"gateways": {"operator": gateway}}))
    kept = Kept()
    task = asyncio.create_task(channel.receive(kept))
    await smsc.until(lambda: smsc.receivers)
    sent = await channel.publish(text())
    says = "id:id-1 stat:DELIVRD"
    await smsc.deliver(wire.deliver("+33639980001", "VALMERANDE", 5, wire.RECEIPT, says))
    assert sent.reference == "operator:id-1" and states(kept) == {"operator:id-1": State.DELIVERED}
    [found] = await channel.check()
    assert found.ok and found.name == "operator"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await channel.aclose()
