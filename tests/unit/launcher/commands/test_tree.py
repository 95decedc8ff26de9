"""The story as a tree."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from launcher.tree import settled, tree_of
from store.tracking import AnnouncementRow, EventRow, OrderRow, Story, VersionRow, Wait

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 4, 11, tzinfo=UTC)


def order(**more: object) -> OrderRow:
    fields: dict[str, object] = {
        "id": 7,
        "version": 1,
        "channel": "email",
        "lane": "routine",
        "broadcast": False,
        "audience": "matches",
        "expires": NOON + timedelta(days=4),
        "recipients": 12,
        "created_at": NOON,
        "fanned_out_at": NOON,
        "tallies": {"sent": 11, "failed": 1},
        "waits": (),
    }
    return OrderRow(**(fields | more))  # type: ignore[arg-type]


def story(*orders: OrderRow, outcome: str = "announced") -> Story:
    event = EventRow(
        id=5,
        source="/voirie",
        event_id="works-1\x1b[31m",
        type="fr.tambour.road-works",
        authority="96001",
        authority_name="Valmerande",
        time_zone="Europe/Paris",
        matter="Chantier 114",
        revision=1,
        action="announce",
        outcome=outcome,
        occurred_at=NOON,
        received_at=NOON,
        seen=2,
        announcement_id=3,
        version=1,
        payload={},
    )
    content = {"action": "announce", "severity": "Minor", "lane": "routine", "area_names": ["Centre"]}
    announcement = AnnouncementRow(
        3, "Chantier 114", 1, 1, None, NOON, (VersionRow(1, content, NOON, orders),), held="wrong street"
    )
    return Story("96001", "Valmerande", "Europe/Paris", (event,), announcement)


def drawn(of: Story) -> str:
    console = Console(width=200, markup=False, record=True, file=None, force_terminal=False)
    with console.capture() as shown:
        console.print(tree_of(of))
    return shown.get()


def test_tree_tells_events_versions_orders_and_tallies() -> None:
    text = drawn(story(order()))
    for words in (
        "event:5 /voirie works-1",
        "came 2 times",
        "announcement:3 Chantier 114",
        "held: wrong street",
        "version 1, 2026-11-04 12:00:00 CET",
        "email: 12 recipients",
        "11 sent, 1 failed",
    ):
        assert words in text


def test_tree_tells_what_is_waited_for_until_when() -> None:
    until = NOON + timedelta(minutes=5)
    text = drawn(story(order(tallies={"retrying": 2}, waits=(Wait("retry", 2, until, until),))))
    assert "2 wait for another try, at 2026-11-04 12:05:00 CET" in text


def test_tree_tells_that_only_the_number_is_left_of_what_is_old() -> None:
    text = drawn(story(order(purged_at=NOON)))
    assert "removed 2026-11-04 12:00:00 CET" in text and "11 sent, 1 failed" in text


def test_tree_writes_control_characters_out() -> None:
    assert "\x1b" not in drawn(story(order()))


@pytest.mark.parametrize(
    "unsettled",
    [
        order(fanned_out_at=None),
        order(tallies={"queued": 1, "sent": 2}),
        order(waits=(Wait("officer", 1, None, None),)),
    ],
)
def test_story_with_work_under_way_is_not_settled(unsettled: OrderRow) -> None:
    assert settled(story(order()))
    assert not settled(story(order(), unsettled))


def test_story_that_told_nobody_is_settled() -> None:
    assert settled(replace(story(outcome="no_rule"), announcement=None))
