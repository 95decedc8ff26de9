"""A worker that is frozen in the middle of a commit holds up the events that it has in hand, and no others."""

import asyncio
from datetime import timedelta

import pytest

from hub.intake import Intake
from hub.intake_group import Candidate, take_in_together
from schemas.cloudevents import decode
from schemas.events import parse
from store.database import Connection
from tests.integration.hub.town import Town, message, notice

pytestmark = pytest.mark.integration


async def test_events_that_a_frozen_worker_does_not_have_in_hand_are_announced(town: Town) -> None:
    intake = Intake(town.pool, max_age=timedelta(hours=24))
    group = [message(notice(matter=f"matter {number}"), key=b"%d" % number) for number in range(4)]

    async def freeze(connection: Connection) -> None:
        event = decode(group[0].value, group[0].headers)
        rules = intake._parsed
        await take_in_together(connection, [Candidate(b"0", event, parse(event))], rules, timedelta(hours=24))

    async with town.pool.acquire() as frozen:
        going_on = frozen.transaction()
        await going_on.start()
        await freeze(frozen)
        following = asyncio.create_task(intake.take_in(group))
        try:
            async with asyncio.timeout(10):
                while await town.one("SELECT count(*) FROM event") != 3:
                    await asyncio.sleep(0.05)
        finally:
            await going_on.rollback()
            await following
    assert await town.outcomes() == ["announced"] * 4
