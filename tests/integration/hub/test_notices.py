"""Officers' notices wait as rows: they go out once, on time, or ask, or never."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from hub.scheduling import TOLERANCE, emit_due
from store import notices
from store.database import transaction
from tests.integration.hub.providers import Provider
from tests.integration.hub.town import Town, notice

pytestmark = pytest.mark.integration


async def schedule(town: Town, *, ago: timedelta = timedelta(0), urgent: bool = False, **changes: object) -> int:
    """A notice that was due so long ago."""
    async with transaction(town.pool) as connection:
        return await notices.schedule(
            connection,
            authority_id=1,
            content=notice(**changes),
            urgent=urgent,
            local_time="2026-11-26T18:30",
            due_at=datetime.now(UTC) - ago,
            tolerance=TOLERANCE,
        )


async def emit(town: Town) -> int:
    async with transaction(town.pool) as connection:
        return await emit_due(connection)


async def state(town: Town) -> str:
    found: str = await town.one("SELECT state FROM notice")
    return found


async def test_notice_goes_out_once_when_its_time_has_come(town: Town, mail: Provider) -> None:
    await town.settle_in(3)
    await schedule(town)
    assert (await emit(town), await emit(town)) == (1, 0)
    await town.settle()
    assert await town.states() == {"sent": 3}
    assert await town.outcomes() == ["announced"]


async def test_notice_before_its_time_waits(town: Town) -> None:
    await schedule(town, ago=-timedelta(minutes=1))
    assert await emit(town) == 0
    assert await state(town) == "scheduled"
    async with town.pool.acquire() as connection:
        seconds = await notices.seconds_to_next(connection)
    assert seconds is not None and 50 < seconds <= 60


async def test_five_clocks_at_once_emit_a_notice_once(town: Town) -> None:
    await schedule(town)
    assert sum(await asyncio.gather(*(emit(town) for _ in range(5)))) == 1
    assert await town.one("SELECT count(*) FROM outbox") == 1


async def test_notice_emitted_by_two_clocks_all_the_same_is_one_event(town: Town) -> None:
    """Its id is its own: a database restored to before the emission announces nothing twice."""
    await schedule(town)
    await emit(town)
    await town.run()
    await town.do("UPDATE notice SET state = 'scheduled'")
    await emit(town)
    await town.run()
    assert await town.one("SELECT seen FROM event") == 2
    assert await town.one("SELECT count(*) FROM delivery_order") == 1


async def test_cancelled_notice_never_goes_out(town: Town) -> None:
    number = await schedule(town)
    async with transaction(town.pool) as connection:
        assert await notices.cancel(connection, number)
        assert not await notices.cancel(connection, number)
    assert await emit(town) == 0


async def test_notice_that_went_out_cannot_be_cancelled(town: Town) -> None:
    number = await schedule(town)
    await emit(town)
    async with transaction(town.pool) as connection:
        assert not await notices.cancel(connection, number)


@pytest.mark.parametrize("decision", ["send", "cancel"])
async def test_notice_found_too_late_asks_an_officer(town: Town, decision: str) -> None:
    number = await schedule(town, ago=TOLERANCE + timedelta(minutes=1))
    assert await emit(town) == 0
    assert await state(town) == "asks"
    assert await emit(town) == 0
    async with transaction(town.pool) as connection:
        if decision == "send":
            decided = [await notices.send_anyway(connection, number) for _ in range(2)]
        else:
            decided = [await notices.cancel(connection, number) for _ in range(2)]
    assert decided == [True, False]
    assert await emit(town) == (decision == "send")


async def test_urgent_notice_takes_the_urgent_topic(town: Town) -> None:
    await schedule(town, urgent=True)
    await emit(town)
    assert await town.one("SELECT topic FROM outbox") == "municipal.events.urgent"
