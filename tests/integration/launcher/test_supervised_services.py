"""Embedded Kafka and PostgreSQL as children of the supervisor: what `./tambour up` runs."""

from pathlib import Path

import asyncpg
import psutil
import pytest

from launcher.embedded.kafka import Kafka
from launcher.embedded.postgres import Postgres
from launcher.home import Home, find_home
from launcher.ports import free_ports
from launcher.supervisor import Happening, Supervisor
from tests.waiting import eventually, is_gone

pytestmark = pytest.mark.integration


async def test_both_services_come_back_by_themselves_after_kill_9(tmp_path: Path) -> None:
    home = Home(tmp_path)
    kafka_port, controller_port, postgres_port = free_ports(3)
    kafka = Kafka(home.kafka, kafka_port, controller_port=controller_port, jars=find_home().jars)
    postgres = Postgres(home.postgres, postgres_port)
    told: list[Happening] = []
    async with Supervisor(home, tell=told.append) as supervisor:
        await supervisor.start_together([kafka.program(), postgres.program()])
        for name in ("kafka", "postgres"):
            supervisor.kill(name)
        for name in ("kafka", "postgres"):
            ready = ("ready", name)
            await eventually(lambda ready=ready: [(h.what, h.name) for h in told].count(ready) == 2, within=60)
        connection = await asyncpg.connect(postgres.dsn)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
        await kafka.ready()
        running = [psutil.Process(pid) for pid in supervisor.pids.values()]
    assert len(running) == 2
    assert all(is_gone(process) for process in running)
    assert [h.what for h in told[-2:]] == ["stopped", "stopped"]
