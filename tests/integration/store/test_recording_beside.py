"""Recording while somebody else writes about the same deliveries."""

import asyncio

import pytest

from schemas.deliveries import State
from store import batches, deliveries
from store.database import transaction
from store.deliveries import Record
from tests.integration.hub.town import Town

pytestmark = pytest.mark.integration


async def test_record_that_waits_for_a_receipt_loses_neither(town: Town) -> None:
    people = await town.settle_in(4)
    [batch] = await town.announced_and_dispatched()
    async with transaction(town.pool) as connection:
        claimed = await batches.claim(connection, batch, "us", 15)
    assert claimed is not None
    now = claimed.claimed_at
    await town.do("DELETE FROM outbox")

    async def record() -> None:
        async with town.pool.acquire() as connection:
            records = [
                Record(one, 1, State.SENT, now, tried=True, url="https://x.example/", reference=f"r{one}")
                for one in people
            ]
            await deliveries.record(connection, claimed.order_id, "email", records, batch=batch)

    async with transaction(town.pool) as connection:
        await deliveries.record(
            connection, claimed.order_id, "email", [Record(one, 1, State.DELIVERED, now) for one in people[1:3]]
        )
        recording = asyncio.create_task(record())
        await _blocked(town)
    await recording
    assert await town.states() == {"sent": 2, "delivered": 2}
    assert [row["tries"] for row in await town.all("SELECT tries FROM delivery")] == [1] * 4
    assert await town.one("SELECT count(*) FROM fact WHERE state = 7") == 4
    assert await town.one("SELECT count(*) FROM provider_reference") == 4
    assert await town.one("SELECT count(*) FROM outbox") == 2


@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
async def test_record_that_waits_for_its_batch_has_locked_no_delivery(town: Town, plan: str) -> None:
    """Or two who record and claim could wait for each other; whatever plan the database keeps."""
    people = await town.settle_in(3)
    [batch] = await town.announced_and_dispatched()
    async with transaction(town.pool) as connection:
        claimed = await batches.claim(connection, batch, "us", 15)
    assert claimed is not None
    now = claimed.claimed_at

    async def record() -> None:
        async with transaction(town.pool) as connection:
            await connection.execute(f"SET LOCAL plan_cache_mode = {plan}")
            records = [Record(one, 1, State.SENT, now, tried=True) for one in people]
            await deliveries.record(connection, claimed.order_id, "email", records, batch=batch)

    async with transaction(town.pool) as connection:
        await connection.execute("SELECT FROM batch FOR UPDATE")
        recording = asyncio.create_task(record())
        await _blocked(town)
        free = await connection.fetch("SELECT recipient_id FROM delivery FOR UPDATE SKIP LOCKED")
        assert len(free) == 3
    await recording
    assert await town.states() == {"sent": 3}


async def _blocked(town: Town) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(10):
        while await town.one(waiting) != 1:
            await asyncio.sleep(0.01)
