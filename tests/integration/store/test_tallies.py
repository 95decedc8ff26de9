"""Tallies: summed instead of counted, and at every moment what counting would say."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest

from schemas.deliveries import State, standing
from store import deliveries, listings, schedule, tallies, totals, tracking
from store.database import CROSSED, Connection, transaction
from store.deliveries import Due, Record
from tests.integration.hub.providers import Provider
from tests.integration.hub.town import Town, check_tallies
from tests.waiting import STEP

pytestmark = pytest.mark.integration

ORDERS, PEOPLE = 3, 12
_OUTCOMES = (State.SENT, State.FAILED, State.DELIVERED, State.UNKNOWN, State.RETRYING)


@pytest.fixture
async def crowd(town: Town) -> Town:
    """Orders whose batches are done and whose deliveries are sent: nobody works on them."""
    await town.settle_in(PEOPLE)
    for number in range(ORDERS):
        await town.announce(matter=f"matter {number}")
    await town.fan_out()
    await town.do("UPDATE batch SET state = 'done'")
    await town.do("UPDATE delivery SET standing = $1, sent_at = now()", standing(State.SENT))
    return town


def one(recipient: int, state: State, attempt: int = 1) -> Record:
    now = datetime.now(UTC)
    waits = {State.UNKNOWN: "officer", State.RETRYING: "retry"}.get(state)
    due = None if waits is None else Due(waits, now + timedelta(hours=1))
    return Record(recipient, attempt, state, now, notable=True, due=due)


async def tallied(town: Town) -> list[int]:
    rows = await town.all("SELECT id FROM delivery_order WHERE tallied_at IS NOT NULL ORDER BY id")
    return [row["id"] for row in rows]


async def test_order_on_which_nobody_works_is_counted_once(crowd: Town) -> None:
    async with crowd.pool.acquire() as connection:
        counted = await totals.totals(connection)
        assert await tallied(crowd) == []
        assert await crowd.tally() == ORDERS
        assert await crowd.tally() == 0
        assert await totals.totals(connection) == counted
        assert counted.channels["email"].states == {"sent": ORDERS * PEOPLE}


async def test_order_with_a_batch_that_waits_is_not_tallied(town: Town, mail: Provider) -> None:
    await town.settle_in(6)
    await town.announced_and_dispatched()
    assert await town.tally() == 0
    await town.run()
    assert await tallied(town) == [1]


async def test_receipt_after_the_tally_gives_it_up_and_it_is_made_again(crowd: Town) -> None:
    await crowd.tally()
    async with transaction(crowd.pool) as connection:
        await deliveries.record(connection, 2, "email", [one(3, State.FAILED)])
    assert await tallied(crowd) == [1, 3]
    async with crowd.pool.acquire() as connection:
        assert (await totals.totals(connection)).channels["email"].states == {"sent": 35, "failed": 1}
        assert 2 not in await tallies.ready(connection), "who is touched again and again is not counted each time"
        await connection.execute("UPDATE delivery_order SET touched_at = touched_at - interval '1 minute'")
        assert await tallies.ready(connection) == [2]
        assert await tallies.tally(connection, 2)
        assert (await totals.totals(connection)).channels["email"].states == {"sent": 35, "failed": 1}


async def test_fact_that_is_undone_leaves_the_tally(crowd: Town) -> None:
    await crowd.tally()
    with pytest.raises(ZeroDivisionError):
        async with transaction(crowd.pool) as connection:
            await deliveries.record(connection, 2, "email", [one(3, State.FAILED)])
            raise ZeroDivisionError
    assert await tallied(crowd) == [1, 2, 3]


async def test_delivery_that_waits_for_nothing_shows_in_the_tally_as_in_the_count(crowd: Town) -> None:
    crowd.known_lost = 1
    await crowd.do("UPDATE delivery SET standing = 16 WHERE order_id = 2 AND recipient_id = 5")
    async with crowd.pool.acquire() as connection:
        for _ in range(2):
            assert (await totals.totals(connection)).unaccounted == 1
            [row] = await listings.deliveries(connection, state=listings.UNACCOUNTED)
            assert (row.order_id, row.recipient_id) == (2, 5)
            await crowd.tally()
        assert await tallied(crowd) == [1, 2, 3]


async def test_retry_gives_the_tally_up_as_long_as_it_waits_for_its_turn(crowd: Town) -> None:
    async with transaction(crowd.pool) as connection:
        await deliveries.record(connection, 1, "email", [one(4, State.UNKNOWN)])
        assert await tallies.tally(connection, 1)
    await crowd.do("UPDATE due SET at = now()")
    async with transaction(crowd.pool) as connection:
        await schedule.requeue_due(connection, 10)
        assert not await tallies.tally(connection, 1)
    async with crowd.pool.acquire() as connection:
        assert (await totals.totals(connection)).unaccounted == 0


async def test_who_counts_and_who_records_wait_for_each_other(crowd: Town) -> None:
    async with crowd.pool.acquire() as connection:
        recording = connection.transaction()
        await recording.start()
        await deliveries.record(connection, 1, "email", [one(4, State.FAILED)])
        async with crowd.pool.acquire() as other:
            assert not await tallies.tally(other, 1), "what is recorded is not yet to be seen"
            assert await tallies.tally(other, 2)
        await recording.commit()
    async with crowd.pool.acquire() as counting:
        held = counting.transaction()
        await held.start()
        assert await tallies.tally(counting, 1)

        async def late() -> None:
            async with transaction(crowd.pool) as connection:
                await deliveries.record(connection, 1, "email", [one(5, State.FAILED)])

        task = asyncio.create_task(late())
        await _somebody_waits(crowd)
        await held.commit()
        await task
    assert 1 not in await tallied(crowd), "the statement began before the tally was there, and gave it up all the same"


async def _somebody_waits(town: Town) -> None:
    async with asyncio.timeout(20):
        while not await town.one("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"):
            await asyncio.sleep(STEP)


@pytest.mark.parametrize("seed", range(3))
async def test_at_every_moment_tallies_say_what_counting_says(crowd: Town, seed: int) -> None:
    """Facts in any order, some undone, retries and tallies at once: a reader never finds a tally that is not true."""
    chance = random.Random(seed)
    over = asyncio.Event()

    async def act(connection: Connection, luck: random.Random) -> None:
        order, recipient = luck.randint(1, ORDERS), luck.randint(1, PEOPLE)
        if luck.random() < 0.2:
            await connection.execute("UPDATE due SET at = now() WHERE order_id = $1", order)
            await schedule.requeue_due(connection, 5)
            return
        if luck.random() < 0.3:
            await connection.execute("UPDATE batch SET state = 'done' WHERE order_id = $1", order)
        record = one(recipient, luck.choice(_OUTCOMES), luck.randint(1, 3))
        await deliveries.record(connection, order, "email", [record])
        if luck.random() < 0.2:
            raise ZeroDivisionError

    async def change(luck: random.Random) -> None:
        for _ in range(60):
            try:
                async with transaction(crowd.pool) as connection:
                    await act(connection, luck)
            except (ZeroDivisionError, *CROSSED):
                pass  # what was done is undone

    async def count(luck: random.Random) -> None:
        async with crowd.pool.acquire() as connection:
            while not over.is_set():
                await tallies.tally(connection, luck.randint(1, ORDERS))

    async def look() -> int:
        looks = 0
        async with crowd.pool.acquire() as connection:
            while not over.is_set():
                await check_tallies(connection)
                looks += 1
        return looks

    around = [asyncio.create_task(count(random.Random(chance.random()))) for _ in range(2)]
    looking = asyncio.create_task(look())
    try:
        await asyncio.gather(*(change(random.Random(chance.random())) for _ in range(3)))
    finally:
        over.set()
        await asyncio.gather(*around, looking, return_exceptions=True)
    await asyncio.gather(*around)
    assert await looking > 10
    await crowd.do("UPDATE due SET at = now() + interval '1 hour'")
    await crowd.do(
        "DELETE FROM due u USING batch b WHERE b.order_id = u.order_id AND b.state <> 'done'"
        " AND u.recipient_id = ANY(b.members)"
    )
    crowd.known_lost = await _lost(crowd)


async def _lost(town: Town) -> int:
    """A batch that a test called done left its deliveries to nobody: as many as counting them says."""
    return int(
        await town.one(
            "SELECT count(*) FROM delivery d WHERE d.standing % 16 = ANY('{0,1,2,6}')"
            " AND NOT EXISTS (SELECT FROM due u WHERE u.order_id = d.order_id AND u.recipient_id = d.recipient_id)"
            " AND NOT EXISTS (SELECT FROM batch b WHERE b.order_id = d.order_id AND b.state <> 'done'"
            " AND d.recipient_id = ANY(b.members))"
        )
    )


async def test_story_is_the_same_counted_and_summed(town: Town, mail: Provider) -> None:
    await town.settle_in(7)
    await town.announce()
    await town.settle()
    async with town.pool.acquire() as connection:
        summed = await tracking.story(connection, announcement_id=1)
        await connection.execute("UPDATE delivery_order SET tallied_at = NULL")
        counted = await tracking.story(connection, announcement_id=1)
    assert summed == counted and summed is not None and summed.announcement is not None
    assert summed.announcement.versions[0].orders[0].tallies == {"sent": 7}
