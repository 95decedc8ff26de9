"""Trace context as it crosses boundaries, without an SDK: what came in is passed on, and nothing else happens."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import tracing

pytestmark = pytest.mark.unit

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_outside_every_trace_nothing_is_added() -> None:
    assert tracing.traceparent() is None
    assert tracing.extensions() == {} and tracing.ids() == {}
    assert tracing.with_header([("content-type", b"x")]) == [("content-type", b"x")]


def test_within_a_trace_headers_events_and_log_lines_carry_it() -> None:
    with tracing.received(PARENT):
        assert tracing.traceparent() == PARENT
        assert tracing.extensions() == {"traceparent": PARENT}
        assert tracing.ids() == {"trace_id": PARENT[3:35], "span_id": PARENT[36:52]}
        assert tracing.with_header([]) == [("traceparent", PARENT.encode())]
    assert tracing.traceparent() is None


def test_an_unsampled_trace_stays_unsampled() -> None:
    with tracing.received(PARENT[:-1] + "0"), tracing.span("step"):
        assert tracing.traceparent() == PARENT[:-1] + "0"


@pytest.mark.parametrize("header", ["traceparent", "ce_traceparent"])
def test_a_message_that_has_a_trace_keeps_it(header: str) -> None:
    given_headers = [(header, b"its own")]
    with tracing.received(PARENT):
        assert tracing.with_header(given_headers) == given_headers


def test_context_of_a_message_is_read_from_its_headers() -> None:
    assert tracing.of_headers([("a", b"b"), ("traceparent", PARENT.encode())]) == PARENT
    assert tracing.of_headers({"traceparent": PARENT.encode()}) == PARENT
    absent: list[Any] = [None, (), {}, [("traceparent", None)], [("traceparent", b"")]]
    for nothing in absent:
        assert tracing.of_headers(nothing) is None


@given(st.one_of(st.text(), st.binary().map(lambda some: some.decode("latin-1"))))
def test_what_is_no_traceparent_harms_nothing(text: str) -> None:
    with tracing.received(text), tracing.span("step", text or None, order=1):
        found = tracing.traceparent()
    assert found is None or found.count("-") == 3


def test_a_failure_within_a_step_goes_through() -> None:
    with pytest.raises(ZeroDivisionError), tracing.span("step", PARENT):
        raise ZeroDivisionError
    assert tracing.traceparent() is None
