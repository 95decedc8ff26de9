"""What waits in the database, as gauges. The core reads them; other processes show none of them."""

import time
from collections.abc import Iterator
from typing import Any

import structlog
from mode import Service
from prometheus_client import REGISTRY, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from schemas.lanes import Lane
from store import gauges
from store.database import AWAY, Pool
from store.gauges import Waiting

log = structlog.get_logger()

EVERY_S = 15.0
_STALE_S = 4 * EVERY_S
"""Figures older than this are not shown: a gap says that nobody knows, an old figure that all is as it was."""

STATES = ("waiting", "dispatched", "claimed")
KINDS = ("retry", "resolve", "officer")
SCOPES = ("hub", "authority", "channel", "announcement")


class RowGauges(Service):
    """Reads what waits every ``EVERY_S``, with one connection, and shows it. Only one a process."""

    def __init__(self, pool: Pool, **options: Any) -> None:
        super().__init__(**options)
        self._pool = pool
        self.shown = Shown()

    async def on_start(self) -> None:
        """Begin to show."""
        REGISTRY.register(self.shown)

    async def on_stop(self) -> None:
        """Show nothing any more."""
        REGISTRY.unregister(self.shown)

    @Service.task
    async def _read(self) -> None:
        while not self.should_stop:
            try:
                await self.read()
            except AWAY as error:
                log.debug("rows_unknown", error=type(error).__name__)
            await self.sleep(EVERY_S)

    async def read(self) -> None:
        """Read once. Raises one of AWAY."""
        began = time.perf_counter()
        async with self._pool.acquire() as connection:
            found = await gauges.waiting(connection)
        self.shown.found, self.shown.took, self.shown.at = found, time.perf_counter() - began, time.time()


class Shown(Collector):
    """The last figures, as long as they are fresh."""

    def __init__(self) -> None:
        self.found = Waiting()
        self.took = 0.0
        self.at = 0.0

    def describe(self) -> list[Metric]:
        """Every gauge there is, without values."""
        return list(_families(Waiting(), 0.0))

    def collect(self) -> Iterator[Metric]:
        """The gauges, or nothing when the figures are stale."""
        if time.time() - self.at < _STALE_S:
            yield from _families(self.found, self.took)


def _families(found: Waiting, took: float) -> Iterator[Metric]:
    """Zeros are shown too: a series that comes and goes can't be alerted on."""
    yield _plain("tambour_outbox_rows", "Messages that Kafka has not acknowledged yet.", found.outbox)
    yield _plain("tambour_orders_open", "Orders whose audience is not read to its end.", found.orders_open)
    yield _plain("tambour_receipts_unread", "Receipts that nobody has looked at.", found.receipts_unread)
    yield _plain("tambour_dead_letters_open", "Dead letters that wait for somebody.", found.dead_letters)
    yield _plain("tambour_notices_asking", "Notices found too late, which ask what to do.", found.notices_asking)
    yield _plain("tambour_database_size_bytes", "Size of the hub's database.", found.database_bytes)
    yield _plain("tambour_rows_read_seconds", "How long the last reading of these figures took.", took)
    oldest = GaugeMetricFamily(
        "tambour_oldest_unsent_seconds",
        "Age of the oldest delivery that no provider has been offered; 0 when there is none.",
        labels=["lane"],
    )
    batches = GaugeMetricFamily("tambour_batches", "Batches that are not done.", labels=["lane", "state"])
    for lane in Lane:
        oldest.add_metric([lane.value], max(0.0, found.oldest_unsent.get(lane.value, 0.0)))
        for state in STATES:
            batches.add_metric([lane.value, state], found.batches.get((lane.value, state), 0))
    due = GaugeMetricFamily(
        "tambour_deliveries_due", "Deliveries that wait for a retry, an outcome or an officer.", labels=["kind"]
    )
    for kind in KINDS:
        due.add_metric([kind], found.due.get(kind, 0))
    holds = GaugeMetricFamily("tambour_holds", "Holds in force.", labels=["scope"])
    for scope in SCOPES:
        holds.add_metric([scope], found.holds.get(scope, 0))
    yield from (oldest, batches, due, holds)


def _plain(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
