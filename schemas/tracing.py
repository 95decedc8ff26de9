"""Trace context as it crosses our boundaries (W3C Trace Context, https://www.w3.org/TR/trace-context/).

An event brings it as the extension ``traceparent`` of CloudEvents, or as a Kafka header of that name; an order keeps it
in its row, so that a delivery days later belongs to the same trace; our own messages and status events carry it on.

Spans are made by OpenTelemetry's API. Without an SDK, which is the operator's choice, nothing is recorded: a context
that came in is passed on as it is. Attributes are ids and figures, exceptions are told by their type alone: no span
holds an address or a text.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.trace import ProxyTracerProvider, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

HEADER = "traceparent"
Attribute = str | int | float | bool

_FORMAT = TraceContextTextMapPropagator()
_TRACER = trace.get_tracer("tambour")


def active() -> bool:
    """Whether an SDK is there to record spans; else what is only needed for them can be left out."""
    return not isinstance(trace.get_tracer_provider(), ProxyTracerProvider)


def traceparent() -> str | None:
    """The context of this moment, to be passed on; None outside every trace."""
    return _written(trace.get_current_span())


def extensions() -> dict[str, str]:
    """What a CloudEvent of ours carries."""
    here = traceparent()
    return {HEADER: here} if here else {}


def ids() -> dict[str, str]:
    """What a log line carries: ``trace_id`` and ``span_id``; empty outside every trace."""
    here = trace.get_current_span().get_span_context()
    if not here.is_valid:
        return {}
    return {"trace_id": f"{here.trace_id:032x}", "span_id": f"{here.span_id:016x}"}


def with_header(headers: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Kafka headers with this moment's context, unless they have one."""
    given = list(headers)
    here = traceparent()
    if here is None or any(name in (HEADER, f"ce_{HEADER}") for name, _ in given):
        return given
    return [*given, (HEADER, here.encode())]


def of_headers(headers: Mapping[str, bytes | None] | Iterable[tuple[str, bytes | None]] | None) -> str | None:
    """The context that a Kafka message brought, as it is written there."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    return next((value.decode("ascii", "replace") for name, value in pairs if name == HEADER and value), None)


@contextmanager
def received(parent: str | None) -> Iterator[None]:
    """What happens within belongs to the trace that ``parent`` names; what is no traceparent changes nothing."""
    if parent is None:
        yield
        return
    token = context.attach(_context_of(parent))
    try:
        yield
    finally:
        context.detach(token)


@contextmanager
def span(
    name: str, parent: str | None = None, *, since: int | None = None, calls: bool = False, **attributes: Attribute
) -> Iterator[None]:
    """A step. ``parent`` is a traceparent, by default this moment's span; ``since`` when it began (``time.time_ns``).

    ``calls``: it asks a provider, and waits for its answer.
    """
    kind = SpanKind.CLIENT if calls else SpanKind.INTERNAL
    within = _context_of(parent) if parent else None
    one = _TRACER.start_span(name, within, kind, _named(attributes), start_time=since)
    token = context.attach(trace.set_span_in_context(one, within))
    try:
        yield
    except BaseException as error:
        one.set_status(Status(StatusCode.ERROR, type(error).__name__))
        raise
    finally:
        context.detach(token)
        one.end()


def step(name: str, parent: str | None = None, *, since: int | None = None, **attributes: Attribute) -> str | None:
    """A step that is over already; it had no steps of its own. Returns its context, to be passed on."""
    if not (parent or active()):
        return traceparent()
    one = _TRACER.start_span(
        name, _context_of(parent) if parent else None, SpanKind.INTERNAL, _named(attributes), start_time=since
    )
    one.end()
    return _written(one)


def _written(one: trace.Span) -> str | None:
    here = one.get_span_context()
    if not here.is_valid:
        return None
    return f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}"


def _named(attributes: Mapping[str, Attribute]) -> dict[str, Attribute] | None:
    return {f"tambour.{name}": value for name, value in attributes.items()} if attributes and active() else None


def _context_of(parent: str) -> context.Context:
    return _FORMAT.extract({HEADER: parent})


now = time.time_ns
"""When a step begins, for ``since``."""
