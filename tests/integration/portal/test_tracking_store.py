"""Reading the story back from the tables."""

import pytest

from schemas.deliveries import DeliveryId, State, standing
from store import listings, tracking
from store.database import Connection
from tests.integration.portal.scene import WORKS, Scene

pytestmark = pytest.mark.integration


async def test_an_events_story_is_that_of_its_announcement(connection: Connection, scene: Scene) -> None:
    by_event = await tracking.story(connection, event_id=scene.announced_event)
    assert by_event is not None and by_event.announcement is not None
    assert by_event == await tracking.story(connection, announcement_id=scene.announcement)
    assert by_event.authority == "96001"
    assert [event.event_id for event in by_event.events] == ["evt-001", "evt-002", "evt-005"]
    assert [version.version for version in by_event.announcement.versions] == [1, 2]
    assert by_event.announcement.versions[0].content["areas"] == ["centre"]


async def test_an_event_without_announcement_tells_itself_alone(connection: Connection, scene: Scene) -> None:
    found = await tracking.story(connection, event_id=scene.stale_event)
    assert found is not None and found.announcement is None
    assert [event.outcome for event in found.events] == ["stale"]


async def test_what_does_not_exist_has_no_story(connection: Connection, scene: Scene) -> None:
    assert await tracking.story(connection, event_id=999) is None
    assert await tracking.story(connection, announcement_id=999) is None
    assert await tracking.story(connection, delivery="3e7-3e7") is None
    with pytest.raises(ValueError, match="not a delivery id"):
        await tracking.story(connection, delivery="nothing")


async def test_an_order_counts_its_deliveries_by_state_and_says_what_waits(
    connection: Connection, scene: Scene
) -> None:
    found = await tracking.story(connection, announcement_id=scene.announcement)
    assert found is not None and found.announcement is not None
    orders = {order.channel: order for order in found.announcement.versions[0].orders}
    assert orders["email"].tallies == {
        "queued": 2,
        "retrying": 1,
        "suppressed": 1,
        "sent": 6,
        "failed": 1,
        "delivered": 1,
    }
    assert sum(orders["email"].tallies.values()) == orders["email"].recipients
    waits = {wait.what: wait for wait in orders["email"].waits}
    assert waits.keys() == {"retry", "held"}
    assert waits["held"].reason == "channel: panne du relais"
    assert waits["retry"].count == 1 and waits["retry"].last is not None
    assert {wait.what for wait in orders["sms"].waits} == {"resolve", "officer"}
    assert next(wait for wait in orders["sms"].waits if wait.what == "officer").last is not None


async def test_a_delivery_shows_facts_receipts_and_what_it_waits_for(connection: Connection, scene: Scene) -> None:
    failed = await tracking.story(connection, delivery=scene.failed.public)
    assert failed is not None and failed.delivery is not None
    assert failed.delivery.row.state == "failed"
    assert [(fact.state, fact.code) for fact in failed.delivery.facts] == [("failed", "550 5.1.1")]
    assert [receipt.outcome for receipt in failed.delivery.receipts] == ["bound"]
    held = await tracking.story(connection, delivery=scene.held.public)
    assert held is not None and held.delivery is not None
    assert [wait.what for wait in held.delivery.waits] == ["held"]


async def test_totals_agree_with_the_rows_they_count(connection: Connection, scene: Scene) -> None:
    figures = await tracking.totals(connection)
    assert figures.events == {"announced": 2, "stale": 1, "no_rule": 1, "superseded": 1, "nothing_to_end": 1}
    assert figures.repeats == 1
    assert figures.announcements == 1
    assert figures.dead_letters == {"open": 1, "put_back": 1}
    assert figures.deliveries == 12 + 6 + 1
    assert figures.ended == 9 + 4 + 1
    for channel, counted in figures.channels.items():
        for state, count in counted.states.items():
            rows = await tracking.deliveries(connection, channel=channel, state=state, limit=100)
            assert len(rows) == count, (channel, state)
            assert {row.state for row in rows} == {state}


async def test_only_a_delivery_that_neither_ended_nor_waits_is_unaccounted(
    connection: Connection, scene: Scene
) -> None:
    assert (await tracking.totals(connection)).unaccounted == 1
    rows = await tracking.deliveries(connection, state="unaccounted")
    assert [row.public for row in rows] == [scene.unaccounted.public]
    await connection.execute("UPDATE batch SET members = members || $1::bigint", scene.unaccounted.recipient_id)
    assert (await tracking.totals(connection)).unaccounted == 0
    await connection.execute("UPDATE batch SET state = 'done'")
    assert (await tracking.totals(connection)).unaccounted == 2


async def test_percentiles_are_seconds_from_the_events_arrival_to_sent(connection: Connection, scene: Scene) -> None:
    figures = await tracking.totals(connection)
    assert figures.channels["mastodon"].p50_s == 1.5
    assert (figures.channels["sms"].p50_s, figures.channels["sms"].p95_s) == (3, 3)
    # mails: one after 1 s, then 2, 3, 4, 5, 6, 2: a value that occurred, not one between two
    assert (figures.channels["email"].p50_s, figures.channels["email"].p95_s) == (3, 6)
    assert figures.p95_s == 6


async def test_a_period_leaves_out_what_is_older_but_never_dead_letters_or_unaccounted(
    connection: Connection, scene: Scene
) -> None:
    after = await connection.fetchval("SELECT now()")
    figures = await tracking.totals(connection, since=after)
    assert (figures.deliveries, figures.announcements, figures.events) == (0, 0, {})
    assert figures.unaccounted == 1
    assert figures.dead_letters["open"] == 1


async def test_a_delivered_fact_of_any_attempt_counts_as_delivered(connection: Connection, scene: Scene) -> None:
    await connection.execute(
        "UPDATE delivery SET standing = $1 WHERE order_id = $2 AND recipient_id = $3",
        standing(State.DELIVERED, 3),
        scene.failed.order_id,
        scene.failed.recipient_id,
    )
    found = await tracking.story(connection, delivery=scene.failed.public)
    assert found is not None and found.delivery is not None
    assert (found.delivery.row.state, found.delivery.row.attempt) == ("delivered", 3)


async def test_keyset_pages_show_every_row_once(connection: Connection, scene: Scene) -> None:
    seen: list[str] = []
    before = None
    while rows := await tracking.deliveries(connection, before=before, limit=5):
        seen += [row.public for row in rows]
        before = DeliveryId.parse(rows[-1].public)
    assert len(seen) == len(set(seen)) == 19
    ids: list[int] = []
    last = None
    while events := await tracking.events(connection, before_id=last, limit=4):
        ids += [event.id for event in events]
        last = events[-1].id
    assert ids == sorted(ids, reverse=True) and len(ids) == 6


async def test_lists_narrow_to_what_is_asked(connection: Connection, scene: Scene) -> None:
    assert len(await tracking.events(connection, outcome="stale")) == 1
    assert len(await tracking.events(connection, search="COUNCIL")) == 1
    assert len(await tracking.events(connection, authority="96001")) == 6
    assert await tracking.events(connection, authority="00000") == []
    assert len(await tracking.events(connection, search="100%_")) == 0
    found = await tracking.deliveries(connection, search="HABITANT.1@")
    assert [row.public for row in found] == [scene.failed.public]
    assert await tracking.deliveries(connection, search="habitant_1@") == [], "no sign stands for others"
    assert await tracking.deliveries(connection, search="%") == []
    with pytest.raises(ValueError, match="no state"):
        await tracking.deliveries(connection, state="lost")


async def test_a_text_in_very_many_addresses_is_found_delivery_by_delivery(
    connection: Connection, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = await tracking.deliveries(connection, search="@", limit=100)
    monkeypatch.setattr(listings, "_MANY", 3)
    assert await tracking.deliveries(connection, search="@", limit=100) == few and len(few) > 3
    assert await tracking.deliveries(connection, search="@", state="unaccounted") == [
        row for row in await tracking.deliveries(connection, state="unaccounted")
    ]


async def test_an_erased_recipient_leaves_its_delivery_without_address(connection: Connection, scene: Scene) -> None:
    await connection.execute("DELETE FROM recipient WHERE id = $1", scene.delivered.recipient_id)
    found = await tracking.story(connection, delivery=scene.delivered.public)
    assert found is not None and found.delivery is not None and found.delivery.row.address is None


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("evt-001", {"event"}),
        ("/voirie/arretes/evt-001", {"event"}),
        ("/voirie/arretes evt-001", {"event"}),
        (WORKS, {"announcement"}),
        ("1", {"event", "announcement"}),
        ("gw-77", {"delivery"}),
        ("nobody", set()),
        ("", set()),
        ("9" * 40, set()),
    ],
)
async def test_a_text_finds_what_it_names(connection: Connection, scene: Scene, text: str, kinds: set[str]) -> None:
    assert {found.kind for found in await tracking.find(connection, text)} == kinds


async def test_a_public_id_finds_its_delivery(connection: Connection, scene: Scene) -> None:
    (found,) = await tracking.find(connection, scene.failed.public)
    assert (found.kind, found.id) == ("delivery", scene.failed.public)
