"""Outcomes are recorded in groups, however long the database is away, and none is dropped."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from hub import suppression
from hub.recording import Recorder
from schemas.deliveries import State
from store import batches, deliveries
from store.batches import Claimed
from store.database import transaction
from store.deliveries import Due, Record
from tests.integration.hub.town import Town
from tests.waiting import eventually

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


@pytest.fixture
async def claimed(town: Town) -> Claimed:
    await town.settle_in(4)
    [batch] = await town.announced_and_dispatched()
    async with transaction(town.pool) as connection:
        found = await batches.claim(connection, batch, "us", 15)
    assert found is not None
    return found


def sent(recipient: int) -> Record:
    return Record(recipient, 1, State.SENT, datetime.now(UTC), tried=True)


async def test_outcomes_that_come_together_are_one_status_event(town: Town, claimed: Claimed) -> None:
    await town.do("DELETE FROM outbox")
    async with Recorder(town.pool, claimed) as recorder:
        for member in claimed.members:
            recorder.add(sent(member.recipient_id))
    assert await town.states() == {"sent": 4}
    assert await town.one("SELECT count(*) FROM outbox") == 1


async def test_claim_waits_for_what_is_being_recorded_and_sees_it(town: Town) -> None:
    """Or the next owner would take for unclear what is about to be known."""
    people = await town.settle_in(2)
    [batch] = await town.announced_and_dispatched()
    async with transaction(town.pool) as connection:
        claimed = await batches.claim(connection, batch, "us", 0)  # its lease is over at once
        assert claimed is not None
        await batches.open_window(connection, claimed, people)

    async def claim() -> Claimed | None:
        async with transaction(town.pool) as connection:
            return await batches.claim(connection, batch, "another", 15)

    async def blocked_are(count: int) -> None:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        async with asyncio.timeout(10):
            while await town.one(waiting) != count:
                await asyncio.sleep(0.01)

    async with Recorder(town.pool, claimed) as recorder:
        async with transaction(town.pool) as connection:
            await connection.execute("SELECT FROM delivery FOR UPDATE")
            recorder.add(*map(sent, people))
            await blocked_are(1)  # it waits for the deliveries
            following = asyncio.create_task(claim())
            await blocked_are(2)
        found = await following
    assert found is not None
    assert (found.epoch, found.members, found.unclear) == (claimed.epoch + 1, (), ())
    assert await town.states() == {"sent": 2}


async def test_stale_owner_records_what_was_sent(town: Town, claimed: Claimed) -> None:
    await town.let_leases_end()
    async with transaction(town.pool) as connection:
        assert await batches.claim(connection, claimed.id, "another", 15) is not None
    async with Recorder(town.pool, claimed) as recorder:
        recorder.add(sent(1), sent(2))
    assert await town.states() == {"sent": 2, "queued": 2}


async def test_what_waits_leaves_its_batch_only_with_its_record(
    town: Town, claimed: Claimed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise asyncpg.UndefinedColumnError("a bug")

    waits = Record(1, 1, State.RETRYING, NOW, tried=True, due=Due("retry", NOW + timedelta(hours=1)))
    with monkeypatch.context() as patched:
        patched.setattr(suppression, "after_records", fails)
        with pytest.raises(asyncpg.UndefinedColumnError):
            async with Recorder(town.pool, claimed) as recorder:
                recorder.add(waits, sent(2))
                await recorder.flush()
    assert (await town.states(), await town.dues()) == ({"queued": 4}, {})
    assert await town.one("SELECT members FROM batch") == [1, 2, 3, 4]
    async with Recorder(town.pool, claimed) as recorder:
        recorder.add(waits, sent(2))
    assert (await town.states(), await town.dues()) == ({"queued": 2, "sent": 1, "retrying": 1}, {"retry": 1})
    assert await town.one("SELECT members FROM batch") == [2, 3, 4]


async def test_outcome_is_recorded_soon_though_nobody_flushes(town: Town, claimed: Claimed) -> None:
    async with Recorder(town.pool, claimed) as recorder:
        recorder.add(sent(1))
        async with asyncio.timeout(10):
            while (await town.states()).get("sent") != 1:
                await asyncio.sleep(0.01)


async def test_outcomes_wait_for_a_database_that_is_away(
    town: Town, claimed: Claimed, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = deliveries.record, []

    async def away_twice(*arguments: object, **options: object) -> None:
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionResetError
        await original(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(deliveries, "record", away_twice)
    async with Recorder(town.pool, claimed) as recorder:
        recorder.add(sent(1), sent(2))
    assert await town.states() == {"sent": 2, "queued": 2}


async def test_defect_while_recording_reaches_whoever_ends_the_batch(
    town: Town, claimed: Claimed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the batch would be called done, and what was not recorded lost."""
    calls = []

    async def fails(*_: object, **__: object) -> None:
        calls.append(1)
        raise asyncpg.UndefinedColumnError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(deliveries, "record", fails)
        with pytest.raises(asyncpg.UndefinedColumnError):
            async with Recorder(town.pool, claimed) as recorder:
                recorder.add(sent(1))
                await eventually(lambda: calls)
                await recorder.flush()
    assert await town.states() == {"queued": 4}
