"""Intake of many messages at once: one commit takes in what it can, and nothing is otherwise than one by one."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from hub.intake import Incoming, Intake
from tests.integration.hub.killing import Kill, was_killed, worker
from tests.integration.hub.town import RULES, Town, message, notice, raw

pytestmark = pytest.mark.integration

_LINES = 4
_FLOOD = {"river": "Orvelle", "level": "green", "situation": {"fr": "L'Orvelle est dans son lit"}}


def mixed(seed: int, authority: str, size: int = 60) -> list[Incoming]:
    """Everything that can come, in lines that have nothing to do with each other: the same for each authority."""
    chance = random.Random(seed)
    return [_any_message(chance, authority, f"{seed}-{chance.randrange(_LINES)}", number) for number in range(size)]


def _any_message(chance: random.Random, authority: str, line: str, number: int) -> Incoming:
    key = f"{authority}:{line}".encode()
    kind = chance.choices(
        ["news", "revision", "repeat", "stale", "no rule", "unknown area", "no JSON", "unknown authority"],
        [8, 4, 5, 1, 1, 1, 1, 1],
    )[0]
    now = datetime.now(UTC)
    data = notice(authority=authority, matter=f"{line}/{number}")
    name = f"{authority} {line} {number}"
    action = chance.choice(["announce", "announce", "update", "cancel", "end"])
    match kind:
        case "revision":
            data |= {"matter": f"{line}/{chance.randrange(3)}", "revision": chance.randrange(1, 6), "action": action}
        case "repeat":
            name, data = f"{authority} {line} again {chance.randrange(3)}", data | {"matter": f"{line}/again"}
        case "stale":
            data |= {"onset": (now - timedelta(2)).isoformat(), "expires": (now - timedelta(1)).isoformat()}
        case "no rule":
            fields = {one: data[one] for one in ("authority", "matter", "revision", "onset", "expires")}
            return message(fields | _FLOOD, id=name, type="fr.tambour.flood-vigilance", key=key)
        case "unknown area":
            data |= {"areas": ["tannerie"]}
        case "no JSON":
            return raw(b"{", key=key)
        case "unknown authority":
            data |= {"authority": "01001"}
    return message(data, id=name, key=key)


async def written(town: Town, authority: str) -> dict[str, list[tuple[Any, ...]]]:
    """What intake has written of an authority, without the numbers that differ from run to run."""
    queries = {
        "events": "SELECT replace(event_id, $1, ''), e.outcome, e.seen, e.matter, e.revision, e.action, n.matter,"
        " e.version, e.payload - 'authority' - 'onset' - 'expires'"
        " FROM event e JOIN authority a ON a.id = e.authority_id"
        " LEFT JOIN announcement n ON n.id = e.announcement_id WHERE a.code = $1",
        "announcements": "SELECT n.matter, n.revision, n.version, n.withdrawn_at IS NULL FROM announcement n"
        " JOIN authority a ON a.id = n.authority_id WHERE a.code = $1",
        "versions": "SELECT n.matter, v.version, v.content - 'authority' - 'onset' - 'expires' - 'data'"
        " FROM announcement_version v JOIN announcement n ON n.id = v.announcement_id"
        " JOIN authority a ON a.id = n.authority_id WHERE a.code = $1",
        "orders": "SELECT n.matter, o.version, o.channel, o.family, o.lane, o.broadcast, o.audience, o.page_cursor"
        " FROM delivery_order o JOIN announcement n ON n.id = o.announcement_id"
        " JOIN authority a ON a.id = n.authority_id WHERE a.code = $1",
        "asked for": "SELECT n.matter, o.version, x.topic FROM outbox x JOIN delivery_order o"
        " ON x.key = o.id::text::bytea JOIN announcement n ON n.id = o.announcement_id"
        " JOIN authority a ON a.id = n.authority_id WHERE a.code = $1",
        "letters": "SELECT reason, replace(detail, $1, '') FROM dead_letter"
        " WHERE starts_with(encode(key, 'escape'), $1)",
    }
    return {
        name: sorted((tuple(row) for row in await town.all(query, authority)), key=repr)
        for name, query in queries.items()
    }


@pytest.mark.parametrize("seed", range(6))
async def test_a_group_leaves_behind_what_one_message_after_the_other_would(town: Town, seed: int) -> None:
    await town.found("96002", "Orvelle")
    for start in range(3):  # what is known from before, too
        await town.take_in(*mixed(seed * 10 + start, "96001"))
        for one in mixed(seed * 10 + start, "96002"):
            await town.take_in(one)
    await town.take_in(*mixed(seed * 10, "96001"))
    for one in mixed(seed * 10, "96002"):
        await town.take_in(one)
    together, alone = await written(town, "96001"), await written(town, "96002")
    for name, rows in alone.items():
        assert rows, name
        assert together[name] == rows
    assert await town.one("SELECT count(*) FROM intake_attempt") == 0


def news(count: int) -> list[Incoming]:
    return [message(notice(matter=f"matter {number}"), key=b"%d" % number) for number in range(count)]


async def events_and_orders(town: Town) -> tuple[int, int]:
    return (
        await town.one("SELECT count(*) FROM event"),
        await town.one("SELECT count(*) FROM delivery_order JOIN outbox ON key = delivery_order.id::text::bytea"),
    )


async def test_news_of_different_matters_is_one_commit_and_keeps_its_order(town: Town) -> None:
    await town.take_in(*news(9))
    assert await town.one("SELECT count(DISTINCT xmin::text) FROM event") == 1
    assert [row["matter"] for row in await town.all("SELECT matter FROM event ORDER BY id")] == [
        f"matter {number}" for number in range(9)
    ]
    assert await town.one(
        "SELECT bool_and(order_id = event_id) FROM (SELECT o.id AS order_id, e.id AS event_id"
        " FROM delivery_order o JOIN event e USING (announcement_id)) x"
    )


async def test_repeats_within_the_group_and_of_before_are_counted(town: Town) -> None:
    before, now = message(notice(matter="a")), message(notice(matter="b"))
    await town.take_in(before)
    await town.take_in(before, now, before, now, now, message(notice(matter="c")))
    assert [tuple(row) for row in await town.all("SELECT matter, seen FROM event ORDER BY matter")] == [
        ("a", 3),
        ("b", 3),
        ("c", 1),
    ]
    assert await town.one("SELECT count(*) FROM delivery_order") == 3


async def test_same_matter_twice_in_a_group_is_two_versions(town: Town) -> None:
    await town.take_in(
        message(notice(revision=1), key=b"k"),
        message(notice(matter="beside"), key=b"other"),
        message(notice(revision=2, action="update"), key=b"k"),
        message(notice(revision=3, action="cancel"), key=b"k"),
    )
    versions = await town.all(
        "SELECT o.version, o.audience FROM delivery_order o JOIN announcement n ON n.id = announcement_id"
        " WHERE matter = 'Marché' ORDER BY o.id"
    )
    assert [tuple(row) for row in versions] == [(1, "matches"), (2, "both"), (3, "holders")]
    assert await town.outcomes() == ["announced"] * 4


@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        pytest.param(raw(b"{", key=b"k"), "undecodable", id="no JSON"),
        pytest.param(message(notice(areas=["nowhere"]), key=b"k"), "invalid", id="area"),
    ],
)
async def test_what_cannot_be_taken_in_is_set_aside_before_what_comes_after_it(
    town: Town, poison: Incoming, reason: str
) -> None:
    await town.take_in(message(notice(matter="first"), key=b"k"), poison, *news(2), *_line(b"k", "after", 3))
    assert await town.letters() == [reason]
    announced = await town.all(
        "SELECT matter, n.created_at > l.at AS later FROM announcement n, dead_letter l ORDER BY n.id"
    )
    assert [tuple(row) for row in announced] == [
        *((matter, False) for matter in ("first", "matter 0", "matter 1")),
        *((f"after {number}", True) for number in range(3)),
    ]


def _line(key: bytes, matter: str, count: int) -> Sequence[Incoming]:
    return [message(notice(matter=f"{matter} {number}"), key=key) for number in range(count)]


async def test_broken_rules_of_one_authority_are_no_defect_of_the_others(town: Town) -> None:
    neighbour = await town.found("96002", "Orvelle")
    await town.do("UPDATE rule_set SET source = 'type;severity' WHERE authority_id = $1", neighbour)
    assert await town.take_in(*news(3), message(notice(authority="96002"), key=b"n")) == 1
    assert (await town.outcomes(), await town.letters()) == (["announced"] * 3, ["defect"])


async def test_rules_imported_meanwhile_hold_for_the_next_group(town: Town) -> None:
    intake = Intake(town.pool, max_age=timedelta(hours=24))
    await intake.take_in(news(2))
    await town.do("UPDATE rule_set SET source = $1", RULES.replace("routine;email;*;*\n", "bulk;sms;*;*\n"))
    await intake.take_in([message(notice(matter="x"), key=b"x"), message(notice(matter="y"), key=b"y")])
    orders = await town.all("SELECT channel, lane FROM delivery_order ORDER BY id")
    assert [tuple(row) for row in orders] == [("email", "routine")] * 2 + [("sms", "bulk")] * 2


@pytest.mark.parametrize("shuffled", [False, True])
async def test_two_workers_with_the_same_events_announce_each_once(town: Town, shuffled: bool) -> None:
    """As after a rebalance: the offsets that two workers have in hand overlap, and each sees its own order."""
    same = news(40)
    others = list(same)
    if shuffled:
        random.Random(1).shuffle(others)
    await _until_done(town, same, others, same[10:30])
    assert await events_and_orders(town) == (40, 40)
    assert await town.one("SELECT sum(seen) FROM event") == 100
    assert await town.letters() == []
    assert await town.one("SELECT count(*) FROM intake_attempt") == 0


async def test_two_workers_with_other_events_of_the_same_matters_make_one_announcement_each(town: Town) -> None:
    groups = [
        [message(notice(matter=f"matter {number}", revision=revision), key=b"%d" % number) for number in range(20)]
        for revision in (1, 2, 3)
    ]
    await _until_done(town, *groups)
    assert await town.letters() == []
    assert await town.one("SELECT count(*) FROM announcement WHERE revision = 3") == 20
    announced = (await town.outcomes()).count("announced")
    assert await town.one("SELECT sum(version) FROM announcement") == announced
    assert await events_and_orders(town) == (60, announced)


async def _until_done(town: Town, *groups: Sequence[Incoming]) -> None:
    """Each group by a worker of its own, all at once; one that was in another's way comes again, as from Kafka."""

    async def one(group: Sequence[Incoming]) -> None:
        intake = Intake(town.pool, max_age=timedelta(hours=24))
        for _ in range(5):
            try:
                await intake.take_in(group)
                return
            except asyncpg.DeadlockDetectedError:
                continue
        raise AssertionError("in each other's way five times")

    await asyncio.gather(*(one(group) for group in groups))


async def test_group_that_meets_a_defect_is_taken_in_one_by_one(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise asyncpg.DataError("something in it can't be stored")

    monkeypatch.setattr("store.events.add_all", fail)
    assert await town.take_in(*news(3)) == 0
    assert (await town.outcomes(), await town.letters()) == (["announced"] * 3, [])
    assert await events_and_orders(town) == (3, 3)


async def test_group_whose_database_goes_away_comes_again_and_counts_as_one_attempt(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake = Intake(town.pool, max_age=timedelta(hours=24))
    group = news(3)

    async def gone(*_: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patched:
        patched.setattr("store.attempts.forget_all", gone)
        for _ in range(5):
            with pytest.raises(ConnectionResetError):
                await intake.take_in(group)
    assert await events_and_orders(town) == (0, 0)
    assert [row["attempts"] for row in await town.all("SELECT attempts FROM intake_attempt")] == [1, 1, 1]
    await intake.take_in(group)
    assert await events_and_orders(town) == (3, 3)
    assert await town.one("SELECT count(*) FROM intake_attempt") == 0


GROUP = {
    "attempts counted, one message read": Kill("hub.intake:decode", "after"),
    "announcements written, orders not": Kill("store.announcements:order_first", "before"),
    "orders written, their messages not": Kill("store.outbox:put", "before"),
    "events not written": Kill("store.events:add_all", "before"),
    "all written, not committed": Kill("store.attempts:forget_all", "after"),
    "committed, what is left not begun": Kill("hub.intake:Intake._in_one_commit", "after"),
    "left begun, not committed": Kill("store.attempts:forget", "before"),
    "all committed, not acknowledged": Kill("hub.intake:Intake._one", "after"),
}


@pytest.mark.parametrize("step", GROUP)
async def test_intake_of_a_group_killed(town: Town, database: str, step: str) -> None:
    data = [notice(matter=f"matter {number}") for number in (0, 1, 2, 0)]
    data[3] |= {"revision": 2}
    assert was_killed(worker("take in", database, kill=GROUP[step], data=data))
    # not acknowledged: Kafka gives the messages to the next process
    await town.take_in(*(message(one, id=f"event-{offset}", offset=offset) for offset, one in enumerate(data)))
    assert await town.outcomes() == ["announced"] * 4
    assert await town.letters() == []
    assert await events_and_orders(town) == (4, 4)
    assert await town.one("SELECT version FROM announcement WHERE matter = 'matter 0'") == 2
    assert await town.one("SELECT count(*) FROM intake_attempt") == 0
