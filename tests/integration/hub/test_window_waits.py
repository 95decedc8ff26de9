"""A window whose opening has to wait for somebody's lock: what was decided meanwhile holds for it."""

import asyncio

import pytest

from store import batches, holds, optouts
from store.batches import Claimed, Gate
from store.database import transaction
from tests.integration.hub.town import Town

pytestmark = pytest.mark.integration


async def _claimed(town: Town, people: list[int]) -> Claimed:
    [batch] = await town.announced_and_dispatched()
    async with transaction(town.pool) as connection:
        claimed = await batches.claim(connection, batch, "us", 15)
    assert claimed is not None and [one.recipient_id for one in claimed.members] == people
    return claimed


async def _blocked(town: Town) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(10):
        while await town.one(waiting) != 1:
            await asyncio.sleep(0.01)


async def _open(town: Town, claimed: Claimed, people: list[int]) -> Gate:
    async with town.pool.acquire() as connection:
        return await batches.open_window(connection, claimed, people)


async def test_opt_out_while_a_window_waits_for_a_correction_that_comes_to_nothing_holds_for_it(town: Town) -> None:
    """The announcement is locked by who decides about a correction; it turns out to be superseded, or is killed."""
    people = await town.settle_in(2)
    claimed = await _claimed(town, people)
    async with transaction(town.pool) as connection:
        await connection.execute("SELECT FROM announcement FOR UPDATE")
        opening = asyncio.create_task(_open(town, claimed, people))
        await _blocked(town)
        async with transaction(town.pool) as other:
            address = await other.fetchval("SELECT address FROM recipient WHERE id = $1", people[0])
            await optouts.suppress(other, 1, "email", address, "unsubscribed")
    gate = await opening
    assert gate.suppressed == ((people[0], "unsubscribed"),)
    assert await town.one("SELECT in_flight FROM batch") == people[1:]


async def test_hold_while_a_window_waits_holds_for_it(town: Town) -> None:
    people = await town.settle_in(2)
    claimed = await _claimed(town, people)
    async with transaction(town.pool) as connection:
        await connection.execute("SELECT FROM announcement FOR UPDATE")
        opening = asyncio.create_task(_open(town, claimed, people))
        await _blocked(town)
        async with transaction(town.pool) as other:
            await holds.place(other, "hub", "", "panne")
    gate = await opening
    assert gate.held == "hub: panne"


async def test_window_that_waits_for_its_batch_is_noted_in_what_the_batch_has_become(town: Town) -> None:
    """A record that makes a member wait elsewhere can be under way: the window is noted beside it."""
    people = await town.settle_in(3)
    claimed = await _claimed(town, people)
    async with transaction(town.pool) as connection:
        address = await connection.fetchval("SELECT address FROM recipient WHERE id = $1", people[1])
        await optouts.suppress(connection, 1, "email", address, "unsubscribed")
    async with transaction(town.pool) as connection:
        assert await batches.still_ours(connection, claimed, without=people[:1])
        opening = asyncio.create_task(_open(town, claimed, people[1:]))
        await _blocked(town)
        await connection.execute("DELETE FROM delivery WHERE recipient_id = $1", people[0])
        await connection.execute("UPDATE delivery_order SET recipients = 2")
    gate = await opening
    assert (gate.ours, gate.suppressed) == (True, ((people[1], "unsubscribed"),))
    assert [tuple(row) for row in await town.all("SELECT members, in_flight FROM batch")] == [(people[1:], people[2:])]


async def test_window_that_waits_for_a_claim_is_not_ours(town: Town) -> None:
    people = await town.settle_in(2)
    claimed = await _claimed(town, people)
    async with transaction(town.pool) as connection:
        await connection.execute("UPDATE batch SET lease_until = now() - interval '1 s'")
        assert await batches.claim(connection, claimed.id, "another", 15)
        opening = asyncio.create_task(_open(town, claimed, people))
        await _blocked(town)
    assert not (await opening).ours
    assert await town.one("SELECT in_flight FROM batch") == []


async def test_correction_that_a_window_waits_for_holds_for_it(town: Town) -> None:
    people = await town.settle_in(2)
    claimed = await _claimed(town, people)
    async with transaction(town.pool) as connection:
        await connection.execute("UPDATE announcement SET version = 2")
        opening = asyncio.create_task(_open(town, claimed, people))
        await _blocked(town)
    gate = await opening
    assert (gate.ours, gate.stop) == (True, "superseded")
    assert await town.one("SELECT in_flight FROM batch") == []
