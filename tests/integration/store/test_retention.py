"""Cells of orders, and the removal of what is old: by tables where it can, and never of what is not over."""

from datetime import UTC, datetime

import asyncpg
import pytest

from hub import retention
from hub.receipts import bind
from hub.retention import Busy, Purge, cutoff
from schemas.deliveries import State
from store import deliveries, listings, partitions, receipts, totals, tracking
from store.database import transaction
from store.deliveries import Record
from tests.integration.hub.providers import Provider
from tests.integration.hub.town import Town

pytestmark = pytest.mark.integration

SPAN = partitions.SPAN


@pytest.fixture
async def sms(town: Town) -> Provider:
    provider = Provider("sms")
    town.publishers["sms"] = provider
    await town.settle_in(5, channel="sms")
    return provider


async def ensure(town: Town) -> list[str]:
    async with transaction(town.pool) as connection:
        return await partitions.ensure(connection)


async def age(town: Town, *orders: int, over: bool = True) -> None:
    """These orders are fourteen months old, and what they announce is over."""
    await town.do(
        "UPDATE delivery_order SET created_at = created_at - interval '14 months',"
        " expires = CASE WHEN $2 THEN now() - interval '13 months' ELSE expires END WHERE id = ANY($1::bigint[])",
        list(orders),
        over,
    )


async def month_begins(town: Town) -> None:
    """What is there is of an earlier month, and the clock looks twice."""
    await ensure(town)
    await ensure(town)


async def purge(town: Town) -> Purge:
    async with town.pool.acquire() as connection:
        done = await retention.purge(connection, cutoff(datetime.now(UTC), 12))
    assert done is not None
    return done


async def names(town: Town) -> set[str]:
    async with town.pool.acquire() as connection:
        return {cell.name for cell in await partitions.cells(connection)}


async def said(town: Town, reference: str) -> str | None:
    """The gateway tells that it delivered; returns what became of that."""
    async with transaction(town.pool) as connection:
        number = await receipts.keep(
            connection,
            channel="sms",
            kind="receipt",
            body=b'{"type":"receipt","id":"%s","status":"delivered","at":"2026-11-24T08:00:00Z"}' % reference.encode(),
            hint=None,
            reference=reference,
        )
    assert number is not None
    return await bind(town.pool, number)


async def test_next_cell_is_there_before_it_is_needed(town: Town) -> None:
    assert await ensure(town) == ["delivery_1", "fact_1", "provider_reference_1"]
    assert await ensure(town) == []
    await town.do("SELECT setval(pg_get_serial_sequence('delivery_order', 'id'), $1)", SPAN - 1)
    assert await ensure(town) == ["delivery_2", "fact_2", "provider_reference_2"]


async def test_ids_leap_to_the_next_cell_when_a_month_begins(town: Town, sms: Provider) -> None:
    first = await town.announce(channels=["sms"])
    await month_begins(town)
    assert await town.announce(matter="same month", channels=["sms"]) == first + 1
    await age(town, first, first + 1)
    await month_begins(town)
    assert await town.announce(matter="next month", channels=["sms"]) == SPAN
    await ensure(town)
    assert await town.announce(matter="same month again", channels=["sms"]) == SPAN + 1
    await town.settle()
    assert (await town.states(SPAN))["sent"] == 5
    assert await town.one("SELECT count(*) FROM provider_reference_1") == 10, "and so do what hangs on them"


async def test_month_is_dropped_as_tables_and_its_tallies_stay(town: Town, sms: Provider) -> None:
    old = await town.announce(channels=["sms"])
    await town.settle()
    reference = f"ref-{sms.accepted[0]}"
    assert await said(town, reference) == "bound"
    await town.do("UPDATE delivery_order SET touched_at = NULL")
    assert await town.tally() == 1
    await age(town, old)
    await town.do("UPDATE receipt SET received_at = received_at - interval '14 months'")
    await month_begins(town)
    new = await town.announce(matter="new", channels=["sms"])
    await town.settle()
    async with town.pool.acquire() as connection:
        before = await totals.totals(connection)
        done = await purge(town)
        assert (done.removed.orders, done.removed.deliveries, done.removed.receipts, done.kept) == (1, 5, 1, 0)
        assert sorted(done.removed.dropped) == ["delivery_0", "fact_0", "provider_reference_0"]
        assert await totals.totals(connection) == before, "how many were reached is still known"
        story = await tracking.story(connection, announcement_id=1)
        assert story is not None and story.announcement is not None
        [order] = story.announcement.versions[0].orders
        assert order.tallies == {"sent": 4, "delivered": 1} and order.purged_at is not None
        assert {row.order_id for row in await listings.deliveries(connection)} == {new}
        assert await town.one("SELECT count(*) FROM batch WHERE order_id = $1", old) == 0
        assert not await town.all("SELECT relname FROM pg_class WHERE relname ~ '^(purged|kept)_'")
    assert await said(town, reference + "-late") == "unbound", (
        "what is told of it later is kept, and about nothing known"
    )
    assert (await purge(town)).removed.orders == 0


async def test_order_of_an_announcement_that_still_runs_stays_whole(town: Town, sms: Provider) -> None:
    over = await town.announce(channels=["sms"], matter="over")
    runs = await town.announce(channels=["sms"], matter="runs")
    await town.settle()
    await age(town, over)
    await age(town, runs, over=False)
    await month_begins(town)
    done = await purge(town)
    assert (done.removed.orders, done.kept) == (1, 1)
    assert "delivery_0" in await names(town), "a new table has taken the place of the old"
    assert await town.states() == {"sent": 5}
    reference = await town.one("SELECT reference FROM provider_reference WHERE order_id = $1 LIMIT 1", runs)
    assert await said(town, reference) == "bound"
    assert await town.states() == {"sent": 4, "delivered": 1}
    await town.do("UPDATE delivery_order SET touched_at = NULL, expires = now() WHERE id = $1", runs)
    await town.tally()
    assert (await purge(town)).removed.orders == 1, "once it is over, it goes as well"
    assert "delivery_0" not in await names(town)


async def test_earlier_version_stays_as_long_as_a_later_one_runs(town: Town, sms: Provider) -> None:
    first = await town.announce(channels=["sms"])
    await town.settle()
    await age(town, first)
    await month_begins(town)
    second = await town.announce(channels=["sms"], revision=2)
    await town.settle()
    assert second == SPAN and (await purge(town)).kept == 1
    assert await town.states(first) == {"sent": 5}


async def test_what_waits_for_an_officer_is_not_removed(town: Town, sms: Provider) -> None:
    order = await town.announce(channels=["sms"])
    await town.settle()
    await town.do("UPDATE delivery SET standing = 16 + 6 WHERE recipient_id = 1")
    await town.do("INSERT INTO due VALUES ($1, 1, 'officer', now() + interval '1 day')", order)
    await town.do("SELECT order_touched($1)", order)
    await town.do("UPDATE delivery_order SET touched_at = NULL")
    await town.tally()
    await age(town, order)
    await month_begins(town)
    done = await purge(town)
    assert (done.removed.orders, done.kept) == (0, 1)
    assert await town.one("SELECT count(*) FROM delivery") == 5


async def test_old_order_among_younger_ones_is_removed_alone(town: Town, sms: Provider) -> None:
    old = await town.announce(channels=["sms"], matter="old")
    young = await town.announce(channels=["sms"], matter="young")
    await town.settle()
    await age(town, old)
    done = await purge(town)
    assert (done.removed.singly, done.removed.deliveries, done.removed.dropped) == (1, 5, [])
    assert await town.states(old) == {} and await town.states(young) == {"sent": 5}
    async with town.pool.acquire() as connection:
        assert (await totals.totals(connection)).channels["sms"].states == {"sent": 10}


async def test_fact_about_a_delivery_that_is_gone_leaves_nothing(town: Town, sms: Provider) -> None:
    order = await town.announce(channels=["sms"])
    await town.settle()
    await age(town, order)
    await month_begins(town)
    await purge(town)
    late = Record(1, 1, State.FAILED, datetime.now(UTC), reference="main:late")
    async with town.pool.acquire() as connection:
        await deliveries.record(connection, order, "sms", [late])
        assert (await totals.totals(connection)).channels["sms"].states == {"sent": 5}
    assert await town.one("SELECT count(*) FROM fact") == 0


async def test_tables_in_use_are_left_alone(town: Town, sms: Provider) -> None:
    order = await town.announce(channels=["sms"])
    await town.settle()
    await age(town, order)
    await month_begins(town)
    async with town.pool.acquire() as backup, backup.transaction():
        await backup.execute("LOCK TABLE delivery IN ACCESS SHARE MODE")
        with pytest.raises(Busy):
            await purge(town)
    assert await town.states() == {"sent": 5}
    assert (await purge(town)).removed.orders == 1


async def test_removal_that_was_interrupted_is_finished_by_the_next(town: Town) -> None:
    await town.do("CREATE TABLE purged_delivery_7 (order_id bigint)")
    await purge(town)
    with pytest.raises(asyncpg.UndefinedTableError):
        await town.do("SELECT FROM purged_delivery_7")


async def test_opt_outs_and_open_dead_letters_stay(town: Town) -> None:
    await town.do(
        "INSERT INTO suppression (authority_id, channel, address, reason, since)"
        " VALUES (1, 'sms', '+33639980000', 'STOP', now() - interval '3 years')"
    )
    for offset, state in ((1, "open"), (2, "put_back")):
        await town.do(
            "INSERT INTO dead_letter (topic, partition_no, message_offset, digest, reason, detail, at, state)"
            " VALUES ('municipal.events', 0, $1, 'x', 'undecodable', '', now() - interval '3 years', $2)",
            offset,
            state,
        )
    assert (await purge(town)).removed.letters == 1
    assert await town.letters() == ["undecodable"]
    assert await town.one("SELECT count(*) FROM suppression") == 1
    assert await town.one("SELECT count(*) FROM suppression_journal") == 1
