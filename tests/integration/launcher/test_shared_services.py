"""The fixtures of tests/conftest.py."""

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("turn", range(3))
async def test_each_test_gets_a_migrated_database_of_its_own(database: str, turn: int) -> None:
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT count(*) FROM schema_migration") > 0
    await connection.execute("CREATE TABLE mine (turn int)")
    await connection.close()


async def test_the_shared_broker_answers(kafka: str) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    await consumer.start()
    assert isinstance(await consumer.topics(), set)
    await consumer.stop()
