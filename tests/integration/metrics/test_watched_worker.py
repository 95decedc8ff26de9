"""A worker that is watched, over real Kafka and PostgreSQL: what it counts, and when it says that it can work."""

import asyncio
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from launcher.embedded.kafka import Kafka
from launcher.embedded.postgres import Postgres
from launcher.home import find_home
from launcher.ports import free_ports
from schemas.cloudevents import CloudEvent, encode_structured
from store.database import connect, open_pool
from store.migrations import migrate
from tests.conftest import ROOT
from tests.integration.hub.town import Town, message, notice
from tests.integration.streams.broker import producing

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(240)]

_WITHIN_S = 90.0


@dataclass
class Watched:
    """A worker process and its door."""

    role: str
    port: int
    process: asyncio.subprocess.Process
    log: Path

    async def ask(self, page: str) -> tuple[int, str]:
        """Status and text of a page; status 0 while nobody listens."""

        def get() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{page}", timeout=20) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()
            except OSError:
                return 0, ""

        return await asyncio.to_thread(get)

    async def ready(self) -> tuple[int, dict[str, Any]]:
        status, text = await self.ask("/readyz")
        return status, json.loads(text) if text else {}

    async def until_ready(self, wanted: int, **parts: object) -> dict[str, Any]:
        """Wait until /readyz answers with that status and these parts; its whole answer."""
        deadline = asyncio.get_running_loop().time() + _WITHIN_S
        while True:
            status, found = await self.ready()
            if status == wanted and found.items() >= parts.items():
                return found
            assert self.process.returncode is None, self.log.read_text()[-3000:]
            assert asyncio.get_running_loop().time() < deadline, f"{status} {found}\n{self.log.read_text()[-3000:]}"
            await asyncio.sleep(0.1)

    async def figure(self, name: str, **labels: str) -> float | None:
        """One figure of /metrics, None when it is not shown."""
        status, text = await self.ask("/metrics")
        assert status == 200
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        return None

    async def until_figure(self, wanted: float, name: str, **labels: str) -> None:
        deadline = asyncio.get_running_loop().time() + _WITHIN_S
        while (found := await self.figure(name, **labels)) != wanted:
            assert asyncio.get_running_loop().time() < deadline, f"{name}{labels} is {found}, not {wanted}"
            await asyncio.sleep(0.1)


@dataclass
class Hub:
    """A database and a broker of its own, and the workers that a test starts on them.

    What the workers count is exact: on the session's broker they would also read what other tests wrote.
    """

    postgres: Postgres
    kafka: str
    folder: Path
    workers: list[Watched]

    async def start(self, role: str) -> Watched:
        log = self.folder / f"{role}.log"
        door, inlet = free_ports(2)
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "TAMBOUR_HOME": str(self.folder / "home"),
            "TAMBOUR_DATABASE": self.postgres.dsn,
            "TAMBOUR_KAFKA": self.kafka,
            "TAMBOUR_LINKS__PUBLIC_URL": "http://127.0.0.1:8470",
            "TAMBOUR_LINKS__SECRET": "a secret of the tests, long enough",
            "TAMBOUR_LINKS__BOUNCE_DOMAIN": "bounces.valmerande.example",
            "TAMBOUR_INLET__PORT": str(inlet),
            "TAMBOUR_OBSERVE__PORT": str(door),
        }
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "launcher", "worker", role),
                cwd=self.folder,
                env=environ,
                stdout=output,
                stderr=output,
            )
        worker = Watched(role, door, process, log)
        self.workers.append(worker)
        return worker


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    database_port, port, controller = free_ports(3)
    postgres = Postgres(tmp_path / "postgres", database_port, settings={"fsync": "off"})
    kafka = Kafka(tmp_path / "kafka", port, controller_port=controller, jars=find_home().jars)
    made = Hub(postgres, kafka.bootstrap, tmp_path, [])
    try:
        await postgres.start()
        await kafka.start()
        yield made
    finally:
        for worker in made.workers:
            if worker.process.returncode is None:
                worker.process.kill()
            await worker.process.wait()
        await kafka.kill()
        await postgres.kill()


async def test_worker_says_what_it_waits_for_counts_what_it_does_and_notices_a_database_that_stops(hub: Hub) -> None:
    core = await hub.start("core")
    waiting = await core.until_ready(503, database="answers")
    assert waiting["migrations_missing"] and waiting["partitions"] is None
    assert await core.ask("/healthz") == (200, '{"status": "ok"}')

    connection = await connect(hub.postgres.dsn)
    await migrate(connection)
    await connection.close()
    ready = await core.until_ready(200, status="ready", kafka="answers", migrations_missing=[])
    assert ready["partitions"] > 0
    deliver = await hub.start("deliver-routine")
    await deliver.until_ready(200, status="ready")

    pool = await open_pool(hub.postgres.dsn)
    town = Town(pool)
    await town.found()
    await town.settle_in(5)
    event = message(notice())
    async with producing(hub.kafka) as producer:
        for _ in range(2):
            await producer.send_and_wait("municipal.events", event.value, headers=list(event.headers))
        stranger = encode_structured(CloudEvent("1", "/tests", "no.such.type", data={}))[0]
        await producer.send_and_wait("municipal.events", stranger)
    await core.until_figure(1, "tambour_events_total", outcome="announced")
    await core.until_figure(1, "tambour_events_total", outcome="duplicate")
    await core.until_figure(1, "tambour_dead_letters_total", reason="unknown_type")
    await core.until_figure(5, "tambour_fan_out_recipients_total", lane="routine")
    await core.until_figure(1, "tambour_batches_dispatched_total", lane="routine")
    # nobody set up e-mail here: it is claimed, and waits for settings
    await deliver.until_figure(1, "tambour_batches_claimed_total", channel="email")
    await deliver.until_figure(1, "tambour_batches_finished_total", channel="email", left="some")
    await deliver.until_figure(1, "tambour_log_events_total", level="error", event="channel_not_set_up")
    await core.until_figure(0, "tambour_outbox_rows")
    await core.until_figure(1, "tambour_dead_letters_open")
    await core.until_figure(1, "tambour_batches", lane="routine", state="waiting")
    await core.until_figure(0, "tambour_consumer_lag_messages", topic="municipal.events")
    assert await core.figure("tambour_relay_messages_total", topic="tambour.orders.routine") == 1
    assert await core.figure("tambour_worker_info", role="core") == 1
    assert (await core.figure("process_resident_memory_bytes") or 0) > 10_000_000
    assert await deliver.figure("tambour_outbox_rows") is None, "rows are everybody's: only the core shows them"
    await pool.close()

    await hub.postgres.stop()
    assert (await core.until_ready(503, database="away"))["kafka"] == "answers"
    assert (await core.ask("/healthz"))[0] == 200
    await hub.postgres.start()
    await core.until_ready(200, status="ready")
    await deliver.until_ready(200, status="ready")
    deliver.process.terminate()
    assert await asyncio.wait_for(deliver.process.wait(), 30) == 0, "the door keeps nobody from stopping in order"


async def test_metrics_name_no_person_and_no_id(hub: Hub) -> None:
    """Labels are words of the code: their number does not grow with what is sent."""
    core = await hub.start("core")
    await core.until_ready(503)
    _, text = await core.ask("/metrics")
    labels = {
        name
        for family in text_string_to_metric_families(text)
        if family.name.startswith("tambour_")
        for sample in family.samples
        for name in sample.labels
    }
    assert labels <= {"outcome", "reason", "lane", "channel", "left", "le", "state", "topic", "role", "level", "event"}
