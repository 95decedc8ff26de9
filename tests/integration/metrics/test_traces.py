"""A trace that comes with an event goes through to the receipt, days later; and nothing in it names a person."""

import json
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from hub import addresses
from hub.receipts import bind
from schemas import tracing
from schemas.cloudevents import CloudEvent, decode, encode_structured
from schemas.deliveries import DeliveryId
from store import outbox, receipts
from store.deliveries import STATUS_TOPIC
from tests.integration.hub.conftest import mail, town
from tests.integration.hub.providers import Provider
from tests.integration.hub.town import Town, notice, raw

pytestmark = pytest.mark.integration
__all__ = ["mail", "town"]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What an SDK would record."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_TRACER", provider.get_tracer("tambour"))
    monkeypatch.setattr(tracing, "active", lambda: True)
    yield exporter
    provider.shutdown()


def traced_event(**extensions: str | int | bool) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    event = CloudEvent("1", "/works", "fr.tambour.notice", data=notice(), extensions=extensions)
    value, headers = encode_structured(event)
    return value, tuple(headers)


async def outgoing(town: Town) -> list[outbox.Outgoing]:
    async with town.pool.acquire() as connection:
        return [one for _, one in await outbox.take(connection, 1000)]


def named(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {one.name: one for one in exporter.get_finished_spans()}


def trace_of(one: ReadableSpan) -> str:
    assert one.context is not None
    return f"{one.context.trace_id:032x}"


async def test_every_step_from_event_to_receipt_belongs_to_the_events_trace(
    town: Town, mail: Provider, spans: InMemorySpanExporter
) -> None:
    (recipient,) = await town.settle_in(1)
    value, headers = traced_event(traceparent=PARENT)
    await town.take_in(raw(value, headers=headers))
    order = int(await town.one("SELECT id FROM delivery_order"))
    (asks,) = await outgoing(town)
    kept = await town.one("SELECT traceparent FROM delivery_order")
    assert dict(asks.headers)["traceparent"].decode() == kept
    assert kept.split("-")[1] == TRACE and kept != PARENT
    with tracing.received(kept):  # as streams.internal does with the message's header
        await town.fan_out()
    await town.dispatch()
    batch = next(one for one in await outgoing(town) if one.topic.startswith("tambour.batches."))
    assert dict(batch.headers)["traceparent"].decode() == kept
    await town.deliver(json.loads(batch.value)["batch"])
    status = next(one for one in await outgoing(town) if one.topic == STATUS_TOPIC)
    assert str(decode(status.value, status.headers).extensions["traceparent"]).split("-")[1] == TRACE
    async with town.pool.acquire() as connection:
        receipt = await receipts.keep(
            connection,
            channel="email",
            kind="bounce",
            body=b"From: x\n\nhello",
            hint=addresses.key(DeliveryId(order, recipient), 1),
            reference=None,
        )
    assert receipt is not None
    await bind(town.pool, receipt)
    found = named(spans)
    assert set(found) == {"intake", "fan out", "dispatch", "deliver", "claim", "hand over", "record", "receipt"}
    assert {trace_of(one) for one in found.values()} == {TRACE}
    parents = {name: one.parent.span_id if one.parent else None for name, one in found.items()}
    ids = {name: one.context.span_id for name, one in found.items() if one.context is not None}
    assert parents["intake"] == int(PARENT.split("-")[2], 16)
    for name in ("fan out", "dispatch", "deliver", "receipt"):
        assert parents[name] == ids["intake"], name
    for name in ("claim", "hand over", "record"):
        assert parents[name] == ids["deliver"], name


async def test_a_trace_may_also_come_in_a_header_of_the_message(
    town: Town, mail: Provider, spans: InMemorySpanExporter
) -> None:
    value, headers = traced_event()
    await town.take_in(raw(value, headers=(*headers, ("traceparent", PARENT.encode()))))
    assert trace_of(named(spans)["intake"]) == TRACE
    await town.settle()


@pytest.mark.parametrize("brought", ["", "nonsense", f"00-{'0' * 32}-{'0' * 16}-01", 7, True, "\u00e9" * 60])
async def test_what_is_no_trace_begins_one_and_harms_nothing(
    town: Town, mail: Provider, spans: InMemorySpanExporter, brought: str | int | bool
) -> None:
    await town.settle_in(1)
    value, headers = traced_event(traceparent=brought)
    await town.take_in(raw(value, headers=headers))
    assert await town.outcomes() == ["announced"]
    assert named(spans)["intake"].parent is None
    await town.settle()


async def test_spans_hold_ids_and_words_of_the_code_only(
    town: Town, mail: Provider, spans: InMemorySpanExporter
) -> None:
    await town.settle_in(1)
    mail.answers = [ZeroDivisionError("habitant.1@courriel.example")]
    value, headers = traced_event(traceparent=PARENT)
    await town.take_in(raw(value, headers=headers))
    await town.settle()
    told = [json.dumps(dict(one.attributes or {})) + str(one.status.description) for one in spans.get_finished_spans()]
    assert not any("@" in text or "Tisserands" in text for text in told)
    assert all(not one.events for one in spans.get_finished_spans()), "an exception's words may name a person"


async def test_without_an_sdk_a_trace_is_passed_on_as_it_came(town: Town, mail: Provider) -> None:
    await town.settle_in(1)
    value, headers = traced_event(traceparent=PARENT)
    await town.take_in(raw(value, headers=headers))
    assert await town.one("SELECT traceparent FROM delivery_order") == PARENT
    await town.settle()


async def test_without_sdk_and_trace_nothing_is_written(town: Town, mail: Provider) -> None:
    await town.settle_in(1)
    value, headers = traced_event()
    await town.take_in(raw(value, headers=headers))
    assert await town.one("SELECT traceparent FROM delivery_order") is None
    assert (await outgoing(town))[0].headers == ()
    await town.settle()
