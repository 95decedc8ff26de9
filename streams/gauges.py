"""What a worker says about itself, read every few seconds: its lag on Kafka, its event loop, its disk."""

import shutil
from pathlib import Path
from time import monotonic
from typing import Any

import structlog
from mode import Service
from prometheus_client import Gauge, Histogram

from streams.app import App

log = structlog.get_logger()

LAG = Gauge("tambour_consumer_lag_messages", "Messages of this worker's partitions not dealt with yet.", ["topic"])
PARTITIONS = Gauge("tambour_consumer_partitions", "Partitions assigned to this worker.")
LOOP_LAG = Histogram(
    "tambour_event_loop_lag_seconds",
    "How late the event loop woke a task that had asked for a time.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
DISK_FREE = Gauge("tambour_disk_free_bytes", "Room on the disk of this worker's home folder.")
WORKER = Gauge("tambour_worker_info", "This process: its role is the label, 1 the value.", ["role"])

EVERY_S = 15.0
_LOOP_EVERY_S = 0.5


class WorkerGauges(Service):
    """Keeps the gauges of one worker. ``folder`` lies on the disk that counts."""

    def __init__(self, app: App, role: str, folder: Path, **options: Any) -> None:
        super().__init__(**options)
        self._of_app = app
        self._folder = folder
        WORKER.labels(role).set(1)

    @Service.task
    async def _loop_lag(self) -> None:
        while not self.should_stop:
            asked = monotonic() + _LOOP_EVERY_S
            await self.sleep(_LOOP_EVERY_S)
            LOOP_LAG.observe(max(0.0, monotonic() - asked))

    @Service.task
    async def _now_and_then(self) -> None:
        while not self.should_stop:
            DISK_FREE.set(shutil.disk_usage(self._folder).free)
            try:
                show(await self._of_app.behind())
            except Exception as error:  # Kafka is away, or partitions are changing hands: the next look will tell
                log.debug("lag_unknown", error=type(error).__name__)
                LAG.clear()
            await self.sleep(EVERY_S)


def show(behind: dict[tuple[str, int], int]) -> None:
    """Set the lag of each topic; one that is not named is not this worker's any more."""
    by_topic: dict[str, int] = {}
    for (topic, _), count in behind.items():
        by_topic[topic] = by_topic.get(topic, 0) + count
    LAG.clear()
    for topic, count in by_topic.items():
        LAG.labels(topic).set(count)
    PARTITIONS.set(len(behind))
