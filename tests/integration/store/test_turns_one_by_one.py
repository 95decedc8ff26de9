"""Turns while hands come free one by one, as they do when something is being sent all the time."""

from collections import Counter

import pytest

from schemas.lanes import Lane
from store import batches, schedule
from store.database import transaction
from tests.integration.hub.town import Town

pytestmark = pytest.mark.integration

_DEPTH = 3


async def _offered(town: Town) -> list[int]:
    """Authorities of what is under way, oldest batch first."""
    async with transaction(town.pool) as connection:
        await schedule.dispatch(connection, "email", Lane.ROUTINE, _DEPTH)
    rows = await town.all("SELECT authority_id FROM batch WHERE state = 'dispatched' ORDER BY id")
    return [row["authority_id"] for row in rows]


async def test_who_comes_second_has_a_turn_as_soon_as_one_hand_is_free(town: Town) -> None:
    """A town with a long queue holds every hand; a village's notice waits for one of them, not for the queue's end."""
    village = await town.found("96002", "Orvelle")
    await town.settle_in(80)
    await town.settle_in(4, authority=village, prefix="villageois")
    await town.announce()
    await town.fan_out()
    assert await _offered(town) == [1] * _DEPTH
    await town.announce(authority="96002")
    await town.fan_out()
    await town.do(
        "UPDATE delivery d SET standing = 16 + 7, sent_at = now() FROM batch b WHERE b.order_id = d.order_id"
        " AND b.id = 1 AND d.recipient_id = ANY(b.members)"
    )
    await town.do("UPDATE batch SET state = 'done' WHERE id = 1")
    assert await _offered(town) == [1, 1, village]


async def test_second_order_of_an_authority_has_a_turn_as_soon_as_one_hand_is_free(town: Town) -> None:
    await town.settle_in(60)
    await town.announce(matter="long")
    await town.fan_out()
    assert await _offered(town) == [1] * _DEPTH
    second = await town.announce(matter="short")
    await town.fan_out()
    await town.do(
        "UPDATE delivery d SET standing = 16 + 7, sent_at = now() FROM batch b WHERE b.order_id = d.order_id"
        " AND b.id = 1 AND d.recipient_id = ANY(b.members)"
    )
    await town.do("UPDATE batch SET state = 'done' WHERE id = 1")
    await _offered(town)
    under_way = await town.all("SELECT order_id FROM batch WHERE state = 'dispatched' ORDER BY id")
    assert [row["order_id"] for row in under_way] == [1, 1, second]


async def test_urgent_batch_given_back_is_offered_though_more_than_the_depth_is_under_way(town: Town) -> None:
    """A large alert's batches are all dispatched at once; what a worker gives back does not wait for their end."""
    await town.settle_in(24)
    await town.announce(matter="large", lane="urgent")
    await town.announce(matter="small", lane="urgent")
    await town.fan_out()
    await town.do("DELETE FROM outbox")
    [last] = await town.all("SELECT max(id) AS id FROM batch")
    async with transaction(town.pool) as connection:
        await batches.give_back(connection, last["id"])
    async with transaction(town.pool) as connection:
        await schedule.dispatch(connection, "email", Lane.URGENT, _DEPTH)
    assert await town.one("SELECT count(*) FROM outbox") == 1


async def _free_one_hand(town: Town, authority: int) -> None:
    """The oldest batch under way of an authority has been sent."""
    [oldest] = await town.all(
        "SELECT min(id) AS id FROM batch WHERE state = 'dispatched' AND authority_id = $1", authority
    )
    await town.do(
        "UPDATE delivery d SET standing = 16 + 7, sent_at = now() FROM batch b WHERE b.order_id = d.order_id"
        " AND b.id = $1 AND d.recipient_id = ANY(b.members)",
        oldest["id"],
    )
    await town.do("UPDATE batch SET state = 'done' WHERE id = $1", oldest["id"])


async def test_short_queue_goes_whole_before_the_next_turn_of_a_long_one(town: Town) -> None:
    village = await town.found("96002", "Orvelle")
    await town.settle_in(4 * 40)
    await town.settle_in(4 * 3, authority=village, prefix="villageois")
    await town.announce()
    await town.fan_out()
    assert await _offered(town) == [1] * _DEPTH
    await town.announce(authority="96002")
    await town.fan_out()
    for under_way in ([1, 1, village], [1, village, village]):
        await _free_one_hand(town, 1)
        assert await _offered(town) == under_way
    await _free_one_hand(town, village)
    assert await _offered(town) == [1, village, village], "all of the village's before the town's next"


async def test_long_queue_has_its_turn_among_short_ones(town: Town) -> None:
    """Villages, each with little to say, go before a large town's next batch, but not one of them twice."""
    villages = [await town.found(f"9600{number}", f"Village {number}") for number in range(2, 7)]
    await town.settle_in(4 * 40)
    await town.announce()
    await town.fan_out()
    assert await _offered(town) == [1] * _DEPTH
    for number, village in enumerate(villages, 2):
        await town.settle_in(4 * 2, authority=village, prefix=f"v{number}-")
        await town.announce(authority=f"9600{number}")
    await town.fan_out()
    for _ in range(_DEPTH):
        await _free_one_hand(town, 1)
        held = await _offered(town)
    assert 1 not in held
    for _ in range(len(villages) - _DEPTH + 1):
        await _free_one_hand(town, held[0])
        held = await _offered(town)
    assert 1 in held


async def test_nobody_waits_for_ever_where_more_authorities_wait_than_there_are_hands(town: Town) -> None:
    """Seven large towns with long queues, three hands, and a village that comes last: each has its turns."""
    codes = {1: "96001"}
    for number in range(2, 9):
        codes[await town.found(f"9600{number}", f"Commune {number}")] = f"9600{number}"
    village = max(codes)
    for authority, code in codes.items():
        await town.settle_in(4 * (2 if authority == village else 20), authority=authority, prefix=f"a{authority}-")
        await town.announce(authority=code)
    await town.fan_out()
    turns = await _offered(town)
    for _ in range(5 * len(codes)):
        [longest] = await town.all(
            "SELECT authority_id FROM batch WHERE state = 'dispatched' ORDER BY changed_at, id LIMIT 1"
        )
        before = Counter(await _offered(town))
        await _free_one_hand(town, longest["authority_id"])
        before[longest["authority_id"]] -= 1
        turns += (Counter(await _offered(town)) - before).elements()
    within = len(codes) + _DEPTH
    assert village in turns[:within]
    for start in range(len(turns) - within):
        assert set(turns[start : start + within]) >= codes.keys() - {village}


async def test_long_queue_leaves_room_while_another_has_work_and_takes_it_all_when_alone(town: Town) -> None:
    second = await town.found("96002", "Orvelle")
    await town.settle_in(4 * 40)
    await town.settle_in(4 * 40, authority=second, prefix="b")
    for code in ("96001", "96002"):
        await town.announce(authority=code)
    await town.fan_out()
    depth = 24
    await town.do(
        "UPDATE batch SET not_before = now() + interval '1 hour' WHERE authority_id = $1 AND id % 40 > 3", second
    )
    async with transaction(town.pool) as connection:
        await schedule.dispatch(connection, "email", Lane.ROUTINE, depth)
    rows = await town.all("SELECT authority_id, count(*) FROM batch WHERE state = 'dispatched' GROUP BY 1 ORDER BY 1")
    assert dict(map(tuple, rows))[1] == depth // 2, "its share, though there is room"
    await town.do(
        "UPDATE delivery d SET standing = 16 + 7, sent_at = now() FROM batch b WHERE b.order_id = d.order_id"
        " AND b.state = 'dispatched' AND b.authority_id = $1 AND d.recipient_id = ANY(b.members)",
        second,
    )
    await town.do("UPDATE batch SET state = 'done' WHERE state = 'dispatched' AND authority_id = $1", second)
    async with transaction(town.pool) as connection:
        await schedule.dispatch(connection, "email", Lane.ROUTINE, depth)
    assert await town.one("SELECT count(*) FROM batch WHERE state = 'dispatched' AND authority_id = 1") == depth
