"""Fan-out: an order's audience becomes deliveries, each recipient once, page by page."""

import asyncio

import pytest

from hub.fanout import PAGES_PER_MESSAGE, fan_out
from hub.withdrawal import withdraw
from schemas.lanes import Lane
from store import holds, orders
from store.database import transaction
from tests.integration.hub.providers import Provider
from tests.integration.hub.town import Town, message, notice

pytestmark = pytest.mark.integration


async def test_audience_is_read_in_pages_each_with_its_batch(town: Town) -> None:
    people = await town.settle_in(10)
    order = await town.announce()
    await town.fan_out()
    batches = await town.all("SELECT members, state FROM batch ORDER BY id")
    assert [batch["members"] for batch in batches] == [people[:4], people[4:8], people[8:]]
    assert {batch["state"] for batch in batches} == {"waiting"}
    assert await town.audience(order) == people
    assert await town.one("SELECT recipients FROM delivery_order") == 10
    assert await town.one("SELECT fanned_out_at IS NOT NULL FROM delivery_order")


async def test_page_of_several_batches_is_one_commit_and_the_first_page_is_one_batch(town: Town) -> None:
    people = await town.settle_in(10)
    order = await town.announce()
    assert await fan_out(town.pool, order, Lane.ROUTINE, page_size=8, batch_size=3)
    batches = await town.all("SELECT members, state, xmin::text AS made_by FROM batch ORDER BY id")
    assert [batch["members"] for batch in batches] == [people[:3], people[3:6], people[6:9], people[9:]]
    assert batches[0]["made_by"] != batches[1]["made_by"], "others need not wait for a large page's rows"
    assert len({batch["made_by"] for batch in batches[1:]}) == 1
    assert {batch["state"] for batch in batches} == {"waiting"}
    assert await town.audience(order) == people
    assert await town.one("SELECT recipients FROM delivery_order") == 10


async def test_urgent_page_of_several_batches_dispatches_each_and_the_first_at_once(town: Town) -> None:
    people = await town.settle_in(9)
    order = await town.announce(lane="urgent")
    await town.do("DELETE FROM outbox")
    assert await fan_out(town.pool, order, Lane.URGENT, page_size=6, batch_size=2)
    batches = await town.all("SELECT id, members, state, xmin::text AS made_by FROM batch ORDER BY id")
    assert [batch["members"] for batch in batches] == [people[start : start + 2] for start in range(0, 9, 2)]
    made_by = [batch["made_by"] for batch in batches]
    assert made_by[0] != made_by[1], "the first batch waits for no other's rows"
    assert len(set(made_by[1:4])) == 1
    assert {batch["state"] for batch in batches} == {"dispatched"}
    offered = await town.all("SELECT topic, convert_from(value, 'UTF8') AS value FROM outbox ORDER BY id")
    assert [tuple(row) for row in offered] == [
        ("tambour.batches.email.urgent", f'{{"batch": {batch["id"]}}}') for batch in batches
    ]


async def test_audience_of_whole_pages_only_ends_too(town: Town) -> None:
    await town.settle_in(8)
    await town.announce()
    await town.fan_out()
    assert await town.one("SELECT count(*) FROM batch") == 2
    assert await town.one("SELECT fanned_out_at IS NOT NULL FROM delivery_order")


async def test_order_without_audience_is_done_at_once(town: Town) -> None:
    order = await town.announce()
    assert await fan_out(town.pool, order, Lane.ROUTINE, page_size=4)
    assert await town.one("SELECT count(*) FROM batch") == 0


async def test_order_that_is_not_there_is_done(town: Town) -> None:
    assert await fan_out(town.pool, 999, Lane.ROUTINE, page_size=4)


async def test_long_order_asks_for_another_turn_after_some_pages(town: Town) -> None:
    await town.settle_in(PAGES_PER_MESSAGE + 3)
    order = await town.announce()
    await town.do("DELETE FROM outbox")
    assert not await fan_out(town.pool, order, Lane.ROUTINE, page_size=1)
    assert await town.one("SELECT count(*) FROM batch") == PAGES_PER_MESSAGE
    assert await town.one("SELECT convert_from(value, 'UTF8') FROM outbox") == f'{{"order": {order}}}'
    assert await fan_out(town.pool, order, Lane.ROUTINE, page_size=1)
    assert await town.one("SELECT count(*) FROM delivery") == PAGES_PER_MESSAGE + 3


async def test_repeated_and_concurrent_fan_out_makes_each_delivery_once(town: Town) -> None:
    people = await town.settle_in(25)
    order = await town.announce()
    await asyncio.gather(*(fan_out(town.pool, order, Lane.ROUTINE, page_size=4) for _ in range(6)))
    await fan_out(town.pool, order, Lane.ROUTINE, page_size=4)
    assert await town.audience(order) == people
    members = await town.all("SELECT unnest(members) AS id FROM batch ORDER BY id")
    assert [row["id"] for row in members] == people


async def test_who_subscribes_while_it_is_read_is_heard_if_their_page_is_still_to_come(town: Town) -> None:
    await town.settle_in(4)
    order = await town.announce()
    async with transaction(town.pool) as connection:
        page = await orders.fan_out_page(connection, order, 4)
    assert not page.last
    [late] = await town.settle_in(1)
    await town.fan_out()
    assert late in await town.audience(order)


async def test_only_those_who_follow_the_theme_and_the_place_hear_of_it(town: Town) -> None:
    [everywhere] = await town.settle_in(1, ("travaux", ""))
    [here] = await town.settle_in(1, ("travaux", "centre"))
    await town.settle_in(1, ("travaux", "tanneries"))
    await town.settle_in(1, ("conseil", ""))
    await town.settle_in(1, ("conseil", "centre"), ("travaux", "tanneries"))
    order = await town.announce(areas=["centre"])
    await town.fan_out()
    assert await town.audience(order) == [everywhere, here]


async def test_announcement_for_everywhere_reaches_every_place(town: Town) -> None:
    followers = [
        *await town.settle_in(1, ("travaux", "")),
        *await town.settle_in(1, ("travaux", "centre")),
        *await town.settle_in(1, ("travaux", "tanneries")),
    ]
    await town.settle_in(1, ("conseil", "centre"))
    order = await town.announce()
    await town.fan_out()
    assert await town.audience(order) == followers


async def test_one_address_with_several_places_and_themes_gets_one_delivery(town: Town) -> None:
    subscriptions = (("travaux", "centre"), ("travaux", "gare"), ("conseil", "centre"), ("travaux", ""))
    people = await town.settle_in(3, *subscriptions)
    order = await town.announce(areas=["centre", "gare"], themes=["travaux", "conseil"])
    await town.fan_out()
    assert await town.audience(order) == people


async def test_other_authorities_and_other_channels_are_not_told(town: Town) -> None:
    neighbour = await town.found("96002", "Les Aulnes")
    await town.settle_in(2, authority=neighbour)
    await town.settle_in(2, channel="sms")
    people = await town.settle_in(2)
    order = await town.announce()
    await town.fan_out()
    assert await town.audience(order) == people


async def test_broadcast_goes_to_the_accounts_of_the_authority_whatever_they_subscribe_to(town: Town) -> None:
    [account] = await town.settle_in(1, channel="mastodon", broadcast=True)
    neighbour = await town.found("96002", "Les Aulnes")
    await town.settle_in(1, channel="mastodon", broadcast=True, authority=neighbour)
    order = await town.announce(channels=["mastodon"])
    await town.fan_out()
    assert await town.audience(order) == [account]


async def test_accounts_are_no_audience_of_a_direct_channel(town: Town) -> None:
    await town.settle_in(1, ("travaux", ""), broadcast=True)
    order = await town.announce()
    await town.fan_out()
    assert await town.audience(order) == []


async def test_urgent_batch_is_dispatched_by_the_commit_of_its_page(town: Town) -> None:
    await town.settle_in(3)
    await town.announce(lane="urgent")
    await town.do("DELETE FROM outbox")
    await town.fan_out()
    assert await town.one("SELECT state FROM batch") == "dispatched"
    assert await town.one("SELECT topic FROM outbox") == "tambour.batches.email.urgent"


async def test_order_that_is_superseded_while_it_is_read_stops(town: Town, mail: Provider) -> None:
    people = await town.settle_in(8)
    order = await town.announce()
    async with transaction(town.pool) as connection:
        await orders.fan_out_page(connection, order, 4)
    await town.take_in(message(notice(revision=2)))
    await town.settle()
    assert await town.audience(order) == people[:4]
    assert await town.states(order) == {"withdrawn": 4}
    assert await town.states(order + 1) == {"sent": 8}


async def test_correction_goes_to_holders_and_to_those_who_match_now(town: Town, mail: Provider) -> None:
    [held, moved] = await town.settle_in(2, ("travaux", "centre"))
    first = await town.announce(areas=["centre"])
    await town.settle()
    await town.do("DELETE FROM subscription WHERE recipient_id = $1", moved)
    await town.do("INSERT INTO subscription VALUES ($1, 'conseil', 'centre')", moved)
    [new] = await town.settle_in(1, ("travaux", "centre"))
    correction = await town.announce(revision=2, areas=["centre"], action="update")
    await town.settle()
    assert await town.states(first) == {"sent": 2}
    assert await town.audience(correction) == [held, moved, new]


async def test_cancellation_goes_to_holders_only(town: Town, mail: Provider) -> None:
    people = await town.settle_in(3)
    await town.announce()
    await town.settle()
    await town.settle_in(1)
    cancellation = await town.announce(revision=2, action="cancel")
    await town.settle()
    assert await town.audience(cancellation) == people


async def test_holders_over_several_pages_and_versions_hear_once(town: Town, mail: Provider) -> None:
    people = await town.settle_in(10)
    await town.announce()
    await town.settle()
    await town.announce(revision=2, action="update")
    await town.settle()
    cancellation = await town.announce(revision=3, action="cancel")
    await town.settle()
    assert await town.audience(cancellation) == people
    assert mail.repeats == 0


async def test_who_never_got_the_earlier_version_does_not_hold_it(town: Town, mail: Provider) -> None:
    [queued, suppressed] = await town.settle_in(2)
    await town.do(
        "INSERT INTO suppression (authority_id, channel, address, reason)"
        " SELECT 1, 'email', address, 'unsubscribed' FROM recipient WHERE id = $1",
        suppressed,
    )
    await town.announce()
    await town.fan_out()
    await town.do("UPDATE delivery SET standing = 16 + 5 WHERE recipient_id = $1", suppressed)
    cancellation = await town.announce(revision=2, action="cancel")
    await town.fan_out()
    assert await town.audience(cancellation) == []
    await town.settle()
    assert mail.accepted == []
    assert await town.one("SELECT standing % 16 FROM delivery WHERE recipient_id = $1", queued) == 4


async def test_who_is_in_the_window_being_sent_may_hold_the_earlier_version(town: Town, mail: Provider) -> None:
    people = await town.settle_in(4)
    [batch] = await town.announced_and_dispatched()

    async def revise(_: object) -> None:
        mail.before = None
        await town.take_in(message(notice(revision=2, action="cancel")))
        await town.fan_out()

    mail.before = revise
    await town.deliver(batch)
    assert await town.audience(2) == people[:2], "the window of two that was under way; the others never get it"
    assert await town.states(1) == {"sent": 2, "withdrawn": 2}
    await town.settle()


async def test_unknown_outcome_may_hold_the_earlier_version(town: Town, mail: Provider) -> None:
    people = await town.settle_in(2)
    await town.announce()
    await town.fan_out()
    await town.do("UPDATE delivery SET standing = 16 + 6")
    cancellation = await town.announce(revision=2, action="cancel")
    await town.fan_out()
    assert await town.audience(cancellation) == people


async def test_withdrawn_announcement_is_fanned_out_no_further(town: Town, mail: Provider) -> None:
    await town.settle_in(8)
    order = await town.announce()
    async with transaction(town.pool) as connection:
        await orders.fan_out_page(connection, order, 4)
        await withdraw(connection, 1, reason="published by mistake", silent=True)
    await town.settle()
    assert await town.states() == {"withdrawn": 4}
    assert mail.asked == []


async def test_held_announcement_is_fanned_out_and_waits_whole(town: Town, mail: Provider) -> None:
    await town.settle_in(6)
    await town.announce()
    async with transaction(town.pool) as connection:
        await holds.place(connection, "announcement", "1", "relecture")
    await town.run()
    assert await town.states() == {"queued": 6}
    assert mail.asked == []
