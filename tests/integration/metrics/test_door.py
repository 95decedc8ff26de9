"""A worker's door when something is in its way."""

import asyncio

import pytest
import structlog
from pydantic import HttpUrl, SecretStr

from hub.settings import KafkaSettings, LinkSettings, ObserveSettings, Settings
from streams.exposing import Door

pytestmark = pytest.mark.integration


def settings(port: int | None, database: str = "postgresql://nobody@127.0.0.1:1/none", kafka: int = 1) -> Settings:
    return Settings(
        database=SecretStr(database),
        kafka=KafkaSettings(bootstrap=f"127.0.0.1:{kafka}"),
        links=LinkSettings(
            public_url=HttpUrl("http://127.0.0.1:8470"),
            secret=SecretStr("a secret of the tests, long enough"),
            bounce_domain="bounces.valmerande.example",
        ),
        observe=ObserveSettings(port=port),
    )


async def test_port_that_is_taken_stops_no_worker_and_is_told(free_port: int) -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", free_port)
    async with taken:
        with structlog.testing.capture_logs() as lines:
            door = Door(settings(free_port))
            await door.open()
            await door.close()
    assert [(line["event"], line["log_level"]) for line in lines] == [("not_observed", "error")]
    assert door.port is None


async def test_without_a_port_nothing_listens() -> None:
    door = Door(settings(None))
    await door.open()
    await door.close()
    assert door.port is None


async def test_readiness_says_what_is_away_within_its_patience(free_port: int) -> None:
    async with asyncio.timeout(10):
        found = await Door(settings(0, kafka=free_port)).readiness()
    assert found == {"status": "waiting", "database": "away", "kafka": "away", "partitions": None}


async def test_readiness_of_servers_that_take_connections_and_never_answer() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, asyncio.timeout(15):
        found = await Door(settings(0, f"postgresql://x@127.0.0.1:{port}/x", port)).readiness()
    assert (found["database"], found["kafka"]) == ("away", "away")


async def test_a_worker_that_stops_says_so(database: str, kafka: str) -> None:
    host, _, port = kafka.partition(":")
    assert host == "127.0.0.1"
    found = await Door(settings(0, database, int(port)), stopping=lambda: True).readiness()
    assert (found["status"], found["database"], found["kafka"]) == ("stopping", "answers", "answers")
