"""What a worker counts and shows, from values."""

import io
import json

import pytest
import structlog
from prometheus_client import REGISTRY

from hub import metrics
from launcher import logs
from schemas import tracing
from schemas.lanes import Lane
from streams import gauges

pytestmark = pytest.mark.unit


def figure(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_an_urgent_page_dispatches_its_own_batch() -> None:
    def dispatched(lane: str) -> float:
        return figure("tambour_batches_dispatched_total", lane=lane)

    urgent, bulk = dispatched("urgent"), dispatched("bulk")
    metrics.page_fanned_out(Lane.URGENT, 7, dispatched=1, last=False)
    metrics.page_fanned_out(Lane.URGENT, 0, dispatched=0, last=True)
    metrics.page_fanned_out(Lane.BULK, 7, dispatched=0, last=True)
    assert (dispatched("urgent") - urgent, dispatched("bulk") - bulk) == (1, 0)


def test_lag_is_summed_by_topic_and_forgotten_with_the_partition() -> None:
    gauges.show({("a", 0): 3, ("a", 1): 4, ("b", 0): 0})
    assert figure("tambour_consumer_lag_messages", topic="a") == 7
    assert figure("tambour_consumer_partitions") == 3
    gauges.show({("b", 0): 1})
    assert REGISTRY.get_sample_value("tambour_consumer_lag_messages", {"topic": "a"}) is None


def test_hand_over_is_timed_also_when_it_fails() -> None:
    before = figure("tambour_hand_over_seconds_count", channel="email")
    with pytest.raises(TimeoutError), metrics.handing_over("email", 3):
        raise TimeoutError
    assert figure("tambour_hand_over_seconds_count", channel="email") == before + 1


def test_log_lines_are_counted_from_warnings_on_and_say_their_trace(capsys: pytest.CaptureFixture[str]) -> None:
    before = structlog.get_config()
    output = io.StringIO()
    try:
        logs.configure()
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(output), cache_logger_on_first_use=False)
        log = structlog.get_logger()
        counted = figure("tambour_log_events_total", level="error", event="email.settings_fault")
        parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        with tracing.received(parent):
            log.error("email.settings_fault", relay="main")
        log.info("event", outcome="announced")
    finally:
        structlog.configure(**before)
    first, second = (json.loads(line) for line in output.getvalue().splitlines())
    assert (first["trace_id"], first["span_id"]) == (parent[3:35], parent[36:52])
    assert "trace_id" not in second
    assert figure("tambour_log_events_total", level="error", event="email.settings_fault") == counted + 1
    assert REGISTRY.get_sample_value("tambour_log_events_total", {"level": "info", "event": "event"}) is None
