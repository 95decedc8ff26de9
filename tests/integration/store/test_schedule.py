"""What waits for its turn or its time: dispatching in turns, leases, retries."""

import asyncio
import random

import pytest

from schemas.lanes import Lane
from store import holds, schedule
from store.database import transaction
from tests.integration.hub.providers import Provider
from tests.integration.hub.town import Town

pytestmark = pytest.mark.integration


async def dispatch(town: Town, depth: int, lane: Lane = Lane.ROUTINE) -> list[int]:
    """Dispatch; returns the authorities of what was offered, in the order of the batches."""
    before = {row["id"] for row in await town.all("SELECT id FROM batch WHERE state = 'dispatched'")}
    async with transaction(town.pool) as connection:
        await schedule.dispatch(connection, "email", lane, depth)
    rows = await town.all("SELECT id, authority_id FROM batch WHERE state = 'dispatched' ORDER BY id")
    return [row["authority_id"] for row in rows if row["id"] not in before]


async def end_all(town: Town) -> None:
    """Whatever was offered has been sent."""
    await town.do(
        "UPDATE delivery d SET standing = 16 + 7 FROM batch b WHERE b.order_id = d.order_id"
        " AND b.state = 'dispatched' AND d.recipient_id = ANY(b.members)"
    )
    await town.do("UPDATE batch SET state = 'done' WHERE state = 'dispatched'")


async def test_three_authorities_of_very_different_sizes_take_turns(town: Town) -> None:
    town.sizes = town.sizes.model_copy(update={"batch_size": 10})
    sizes = {1: 300, await town.found("96002", "Orvelle"): 30, await town.found("96003", "Aulnes"): 3}
    for authority, code in zip(sizes, ("96001", "96002", "96003"), strict=True):
        await town.settle_in(sizes[authority], authority=authority, prefix=f"a{authority}")
        await town.announce(authority=code)
    await town.fan_out()
    turns = []
    while offered := await dispatch(town, 3):
        turns.append(sorted(offered))
        await end_all(town)
    assert turns[0] == [1, 2, 3], "everybody's first goes before anybody's second"
    assert turns[1:3] == [[1, 2, 2], [1, 1, 1]], "and a short queue's rest before a long one's second"
    assert sum(map(len, turns)) == 30 + 3 + 1
    assert [3] not in turns and all(3 not in turn for turn in turns[1:])


async def test_orders_of_one_authority_take_turns_too(town: Town) -> None:
    await town.settle_in(12)
    for matter in ("long", "short"):
        await town.announce(matter=matter)
    await town.fan_out()
    async with transaction(town.pool) as connection:
        await schedule.dispatch(connection, "email", Lane.ROUTINE, 2)
    orders = await town.all("SELECT order_id FROM batch WHERE state = 'dispatched' ORDER BY order_id")
    assert [row["order_id"] for row in orders] == [1, 2]


async def test_no_more_than_the_depth_is_under_way(town: Town) -> None:
    await town.settle_in(20)
    await town.announce()
    await town.fan_out()
    assert len(await dispatch(town, 3)) == 3
    assert await dispatch(town, 3) == []
    await town.do("UPDATE batch SET state = 'claimed' WHERE id = (SELECT min(id) FROM batch)")
    assert await dispatch(town, 3) == [], "what is being sent counts as well"
    assert len(await dispatch(town, 4)) == 1
    assert await town.one("SELECT count(*) FROM outbox WHERE topic = 'tambour.batches.email.routine'") == 4


async def test_two_dispatchers_at_once_do_not_exceed_the_depth(town: Town) -> None:
    await town.settle_in(40)
    await town.announce()
    await town.fan_out()

    async def one() -> None:
        async with transaction(town.pool) as connection:
            await schedule.dispatch(connection, "email", Lane.ROUTINE, 3)

    await asyncio.gather(*(one() for _ in range(6)))
    assert await town.one("SELECT count(*) FROM batch WHERE state = 'dispatched'") == 3


async def test_lanes_do_not_share_their_depth(town: Town) -> None:
    await town.settle_in(8)
    await town.announce(matter="one")
    await town.announce(matter="two", lane="bulk")
    await town.fan_out()
    assert len(await dispatch(town, 1)) == 1
    assert len(await dispatch(town, 1, Lane.BULK)) == 1


async def test_batch_whose_time_has_not_come_is_not_dispatched(town: Town) -> None:
    await town.settle_in(4)
    await town.announce()
    await town.fan_out()
    await town.do("UPDATE batch SET not_before = now() + interval '1 minute'")
    assert await dispatch(town, 9) == []
    async with town.pool.acquire() as connection:
        assert await schedule.roads_with_work(connection) == []


async def test_road_that_is_full_has_no_work_for_the_dispatcher(town: Town) -> None:
    await town.settle_in(12)
    await town.announce()
    await town.announce(matter="bulk", lane="bulk")
    await town.fan_out()
    await dispatch(town, 2)
    async with town.pool.acquire() as connection:
        assert sorted(await schedule.roads_with_work(connection)) == [("email", Lane.BULK), ("email", Lane.ROUTINE)]
        assert await schedule.roads_with_work(connection, 2) == [("email", Lane.BULK)]
    await end_all(town)
    async with town.pool.acquire() as connection:
        assert len(await schedule.roads_with_work(connection, 2)) == 2


_TURNS = """
SELECT id FROM (
    SELECT w.id, w.authority_id, row_number() OVER (PARTITION BY w.authority_id ORDER BY w.turn, w.order_id) AS round,
           count(*) OVER (PARTITION BY w.authority_id) <= 16 AS short
    FROM (SELECT b.id, b.authority_id, b.order_id, row_number() OVER (PARTITION BY b.order_id ORDER BY b.id) AS turn
          FROM batch b
          WHERE b.family = 'email' AND b.lane = 'routine' AND b.state = 'waiting' AND b.not_before <= now()
          AND NOT EXISTS (
              SELECT FROM hold h JOIN authority t ON t.id = b.authority_id JOIN delivery_order o ON o.id = b.order_id
              WHERE h.scope = 'hub' OR h.scope = 'authority' AND h.key = t.code
                 OR h.scope = 'channel' AND h.key = b.channel
                 OR h.scope = 'announcement' AND h.key = o.announcement_id::text)) w) ranked
LEFT JOIN served s ON s.family = 'email' AND s.lane = 'routine' AND s.authority_id = ranked.authority_id
ORDER BY CASE WHEN short THEN 1 ELSE round END, round, coalesce(s.at, '-infinity'), id LIMIT $1"""
"""Whose turn it is, said of all that waits at once."""


@pytest.mark.parametrize("seed", range(8))
async def test_whose_turn_it_is_depends_on_all_that_waits(town: Town, seed: int) -> None:
    """The walk of the dispatcher, which reads no more than it needs, chooses what ranking everything would."""
    chance = random.Random(seed)
    codes = ["96001", "96002", "96003", "96004"]
    for code in codes[1:]:
        await town.found(code, f"Commune {code}")
    for number in range(chance.randint(4, 14)):
        await town.announce(authority=chance.choice(codes), matter=f"matter {number}")
    orders = await town.all("SELECT id FROM delivery_order")
    async with transaction(town.pool) as connection:
        for _ in range(chance.randint(20, 120)):
            await connection.execute(
                "INSERT INTO batch (order_id, authority_id, channel, family, lane, members, state, not_before)"
                " SELECT id, authority_id, channel, family, lane, '{}', $2,"
                "  now() + CASE WHEN $3 THEN interval '1 minute' ELSE interval '0' END"
                " FROM delivery_order WHERE id = $1",
                chance.choice(orders)["id"],
                chance.choices(["waiting", "done"], [5, 1])[0],
                chance.random() < 0.2,
            )
        if seed % 2:
            await holds.place(connection, "authority", chance.choice(codes), "test")
            await holds.place(connection, "announcement", str(chance.choice(orders)["id"]), "test")
    while True:
        room = chance.randint(1, 9)
        expected = [row["id"] for row in await town.all(_TURNS, room)]
        async with transaction(town.pool) as connection:
            assert await schedule.dispatch(connection, "email", Lane.ROUTINE, room) == len(expected)
        offered = await town.all("SELECT id FROM batch WHERE state = 'dispatched' ORDER BY id")
        assert [row["id"] for row in offered] == sorted(expected)
        if not expected:
            break
        await town.do("UPDATE batch SET state = 'done' WHERE state = 'dispatched'")


async def test_batch_whose_message_is_lost_is_offered_again(town: Town, mail: Provider) -> None:
    await town.settle_in(4)
    await town.announced_and_dispatched()
    await town.do("DELETE FROM outbox")
    async with transaction(town.pool) as connection:
        assert await schedule.dispatch_lost(connection) == 0, "its time is not over"
    assert await town.let_leases_end() == 1
    await town.run()
    assert await town.states() == {"sent": 4}


async def test_batch_whose_owner_is_gone_is_offered_again(town: Town, mail: Provider) -> None:
    from store import batches

    await town.settle_in(4)
    [batch] = await town.announced_and_dispatched()
    async with transaction(town.pool) as connection:
        assert await batches.claim(connection, batch, "gone", 15)
    await town.run()
    assert mail.asked == [], "while the lease lasts, its message is acknowledged and no more"
    assert await town.let_leases_end() == 1
    await town.run()
    assert await town.states() == {"sent": 4}


async def test_two_clocks_at_once_offer_a_lost_batch_once(town: Town) -> None:
    await town.settle_in(4)
    await town.announced_and_dispatched()
    await town.do("DELETE FROM outbox")
    await town.do("UPDATE batch SET lease_until = now() - interval '1 second'")

    async def one() -> int:
        async with transaction(town.pool) as connection:
            return await schedule.dispatch_lost(connection)

    assert sum(await asyncio.gather(*(one() for _ in range(5)))) == 1


async def test_two_clocks_at_once_bring_back_each_retry_once(town: Town) -> None:
    from publishers.base import Transient

    mail = Provider("email")
    town.publishers["email"] = mail
    await town.settle_in(20)
    mail.answers = [Transient("busy")] * 20
    await town.announce()
    await town.run()
    await town.do("UPDATE due SET at = now()")

    async def one() -> list[int]:
        async with transaction(town.pool) as connection:
            return await schedule.requeue_due(connection, 7)

    made = await asyncio.gather(*(one() for _ in range(4)))
    await town.check()
    assert await town.dues() == {}
    ids = [batch for batches in made for batch in batches]
    members = await town.all("SELECT unnest(members) AS id FROM batch WHERE id = ANY($1::bigint[])", ids)
    assert len(members) == len({row["id"] for row in members}) == 20
