"""What a process counts while it works, for Prometheus: the definitions, and one call a step of the protocol.

Names follow Prometheus' conventions (https://prometheus.io/docs/practices/naming/). Labels are bounded: lanes,
channels, our own topics, relays and gateways of the settings, and words that the code knows; never an id, an address or
anything a message says. A call costs some microseconds and never fails. docs/metrics.md says what each means. What is
read now and then, from the process or from rows, is in ``streams.gauges`` and ``streams.rows``.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from schemas.deliveries import State
from schemas.lanes import Lane

# a series each that says when counting began: Prometheus knows when it first saw it
disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""Of the page of metrics."""

_MOMENTS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

EVENTS = Counter("tambour_events", "Events taken in, by what became of them.", ["outcome"])
DEAD_LETTERS = Counter("tambour_dead_letters", "Messages set aside as dead letters.", ["reason"])

FAN_OUT_PAGES = Counter("tambour_fan_out_pages", "Pages of audiences read.", ["lane"])
FAN_OUT_RECIPIENTS = Counter("tambour_fan_out_recipients", "Deliveries made by fan-out.", ["lane"])
FAN_OUTS_ENDED = Counter("tambour_fan_outs_ended", "Times that an order's audience was read to its end.", ["lane"])

DISPATCHED = Counter("tambour_batches_dispatched", "Batches offered to workers for the first time.", ["lane"])
CLAIMED = Counter("tambour_batches_claimed", "Batches claimed by this worker.", ["channel"])
FINISHED = Counter("tambour_batches_finished", "Claims of batches ended by this worker.", ["channel", "left"])
LOST = Counter("tambour_batches_lost", "Batches offered again because their lease ran out.")

WINDOW = Histogram(
    "tambour_window_messages",
    "Messages handed over to a provider at a time.",
    ["channel"],
    buckets=(1, 2, 5, 10, 20, 50, 75, 100),
)
HAND_OVER = Histogram(
    "tambour_hand_over_seconds",
    "Time from handing a window over to the last answer.",
    ["channel"],
    buckets=_MOMENTS,
)
OUTCOMES = Counter("tambour_outcomes", "Outcomes recorded, by the state they give a delivery.", ["channel", "state"])
LIMITED = Counter("tambour_limited_messages", "Messages that a rate limit or a provider's pause put off.", ["channel"])
SHUT = Gauge("tambour_provider_shut", "1 while this worker leaves a relay or gateway alone.", ["channel", "provider"])
INTERRUPTED = Counter("tambour_windows_interrupted", "Windows whose worker vanished in the middle.", ["channel"])
REPEATS = Counter(
    "tambour_repeats_possible",
    "Messages sent again though an earlier worker may have sent them.",
    ["channel"],
)
RECORD = Histogram("tambour_record_seconds", "Time to record a group of outcomes.", buckets=_MOMENTS)

RECEIPTS = Counter("tambour_receipts", "Receipts looked at, by what they meant.", ["channel", "outcome"])

RELAYED = Counter("tambour_relay_messages", "Messages that Kafka acknowledged, from the outbox.", ["topic"])
RELAY = Histogram("tambour_relay_seconds", "Time to hand a group of outbox rows to Kafka.", buckets=_MOMENTS)

LOGGED = Counter("tambour_log_events", "Log lines of level warning and above, by their name.", ["level", "event"])


def event_taken_in(outcome: str) -> None:
    """An event's transaction is committed: announced, duplicate, stale, no_rule, superseded or nothing_to_end."""
    EVENTS.labels(outcome).inc()


def set_aside(reason: str) -> None:
    """A dead letter is committed."""
    DEAD_LETTERS.labels(reason).inc()


def page_fanned_out(lane: Lane, recipients: int, *, dispatched: int, last: bool) -> None:
    """A page of an audience is committed. An urgent one dispatches its batches itself."""
    FAN_OUT_PAGES.labels(lane.value).inc()
    FAN_OUT_RECIPIENTS.labels(lane.value).inc(recipients)
    if last:
        FAN_OUTS_ENDED.labels(lane.value).inc()
    if dispatched:
        batches_dispatched(lane, dispatched)


def batches_dispatched(lane: Lane, count: int) -> None:
    """So many waiting batches are offered."""
    DISPATCHED.labels(lane.value).inc(count)


def batches_lost(count: int) -> None:
    """So many batches are offered again: their message or their owner is gone."""
    LOST.inc(count)


def batch_claimed(channel: str) -> None:
    """A batch is ours."""
    CLAIMED.labels(channel).inc()


def batch_finished(channel: str, *, left: int) -> None:
    """Our claim is over, with so many members that wait for another turn."""
    FINISHED.labels(channel, "some" if left else "none").inc()


@contextmanager
def handing_over(channel: str, messages: int) -> Iterator[None]:
    """Around the call that hands a window to a publisher."""
    WINDOW.labels(channel).observe(messages)
    began = perf_counter()
    try:
        yield
    finally:
        HAND_OVER.labels(channel).observe(perf_counter() - began)


def put_off(channel: str, messages: int) -> None:
    """So many members of a window wait for a rate limit, or for the end of a pause that the provider asked for."""
    if messages:
        LIMITED.labels(channel).inc(messages)


def watch_provider(channel: str, provider: str, is_shut: Callable[[], bool]) -> None:
    """Show whether this worker leaves a relay or gateway alone (its circuit breaker is open)."""
    SHUT.labels(channel, provider).set_function(lambda: float(is_shut()))


def window_interrupted(channel: str, *, again: int) -> None:
    """An earlier owner vanished in mid-window; so many of its messages are sent again at once."""
    INTERRUPTED.labels(channel).inc()
    REPEATS.labels(channel).inc(again)


def recorded(channel: str, states: Iterable[State], seconds: float) -> None:
    """A group of outcomes is committed, after so many seconds."""
    for state, count in Tally(states).items():
        OUTCOMES.labels(channel, state.word).inc(count)
    RECORD.observe(seconds)


def receipts_read(channel: str, outcome: str, count: int) -> None:
    """So many receipts are committed as bound, unbound, opted_out, opted_in or ignored."""
    RECEIPTS.labels(channel, outcome).inc(count)


def relayed(topics: Iterable[str], seconds: float) -> None:
    """Kafka has acknowledged messages on these topics (one each message), after so many seconds."""
    for topic, count in Tally(topics).items():
        RELAYED.labels(topic).inc(count)
    RELAY.observe(seconds)


def logged(level: str, event: str) -> None:
    """A log line of level warning or above; ``event`` is a name that stands in the code."""
    LOGGED.labels(level, event).inc()


def page() -> bytes:
    """All that this process shows, as Prometheus reads it."""
    return generate_latest()
