"""Intake: what comes from Kafka becomes an announcement with its orders, one recorded word, or a dead letter."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from hub.intake import Intake
from store import deadletters, outbox
from store.database import transaction
from tests.integration.hub.town import RULES, Town, message, notice, raw

pytestmark = pytest.mark.integration


async def test_event_becomes_announcement_orders_and_messages_together(town: Town) -> None:
    await town.take_in(message(notice(channels=["email", "sms", "mastodon"], lane="bulk")))
    orders = await town.all("SELECT channel, family, lane, broadcast, audience FROM delivery_order ORDER BY id")
    assert [tuple(order) for order in orders] == [
        ("email", "email", "bulk", False, "matches"),
        ("sms", "sms", "bulk", False, "matches"),
        ("mastodon", "social", "bulk", True, "matches"),
    ]
    assert await town.outcomes() == ["announced"]
    assert await town.one("SELECT count(*) FROM announcement_version") == 1
    async with town.pool.acquire() as connection:
        sent = [one for _, one in await outbox.take(connection, 10)]
    assert [(one.topic, json.loads(one.value)) for one in sent] == [
        ("tambour.orders.bulk", {"order": number}) for number in (1, 2, 3)
    ]


async def test_nothing_is_kept_of_an_event_whose_transaction_fails(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise asyncpg.CannotConnectNowError("the database is shutting down")

    with monkeypatch.context() as patched:
        patched.setattr("store.outbox.put", fail)
        with pytest.raises(asyncpg.CannotConnectNowError):
            await town.take_in(message(notice()))
    assert await town.one("SELECT count(*) FROM announcement") == 0
    assert await town.one("SELECT count(*) FROM delivery_order") == 0
    assert await town.outcomes() == []


async def test_message_is_forgotten_as_attempted_once_it_is_dealt_with(town: Town) -> None:
    await town.take_in(message(notice()), raw(b"{"))
    assert await town.one("SELECT count(*) FROM intake_attempt") == 0


async def test_same_event_again_is_counted_and_announces_nothing(town: Town) -> None:
    for _ in range(3):
        await town.take_in(message(notice(), id="one"))
    assert await town.one("SELECT seen FROM event") == 3
    assert await town.one("SELECT count(*) FROM delivery_order") == 1


async def test_same_message_twice_in_one_batch_is_taken_in_once(town: Town) -> None:
    one = message(notice())
    await town.take_in(one, one)
    assert await town.one("SELECT seen FROM event") == 2
    assert await town.one("SELECT count(*) FROM delivery_order") == 1
    assert await town.letters() == []


@pytest.mark.parametrize("why", ["too old", "over"])
async def test_stale_event_is_recorded_and_told_to_nobody(town: Town, why: str) -> None:
    now = datetime.now(UTC)
    data = notice()
    if why == "over":
        data |= {"onset": (now - timedelta(days=2)).isoformat(), "expires": (now - timedelta(minutes=1)).isoformat()}
    await town.take_in(message(data, time=now - timedelta(hours=25 if why == "too old" else 1)))
    assert await town.outcomes() == ["stale"]
    assert await town.one("SELECT count(*) FROM announcement") == 0
    assert await town.one("SELECT count(*) FROM outbox") == 0


async def test_event_without_a_rule_is_recorded(town: Town) -> None:
    await town.do("UPDATE rule_set SET source = $1", "\n".join(RULES.splitlines()[:2]))
    await town.take_in(message(notice()))
    assert await town.outcomes() == ["no_rule"]


async def test_event_of_an_authority_without_rules_is_recorded(town: Town) -> None:
    await town.found("96002", "Les Aulnes", rules=None)
    await town.take_in(message(notice(authority="96002")))
    assert await town.outcomes() == ["no_rule"]


async def test_rules_imported_meanwhile_hold_for_the_next_event(town: Town) -> None:
    intake = Intake(town.pool, max_age=timedelta(hours=24))
    await intake.take_in([message(notice(matter="one"))])
    await town.do("UPDATE rule_set SET source = $1", RULES.replace("routine;email;*;*\n", "bulk;sms;*;*\n"))
    await intake.take_in([message(notice(matter="two"))])
    orders = await town.all("SELECT channel, lane FROM delivery_order ORDER BY id")
    assert [tuple(order) for order in orders] == [("email", "routine"), ("sms", "bulk")]


async def test_older_revision_that_comes_late_is_superseded(town: Town) -> None:
    await town.take_in(message(notice(revision=2, headline={"fr": "La rue rouvre samedi"})))
    await town.take_in(message(notice(revision=1)), message(notice(revision=2)))
    assert await town.outcomes() == ["announced", "superseded", "superseded"]
    assert await town.one("SELECT version FROM announcement") == 1
    assert await town.one("SELECT count(*) FROM delivery_order") == 1


@pytest.mark.parametrize("action", ["cancel", "end"])
async def test_end_of_what_nobody_was_told_is_recorded(town: Town, action: str) -> None:
    await town.take_in(message(notice(action=action)))
    assert await town.outcomes() == ["nothing_to_end"]
    assert await town.one("SELECT count(*) FROM delivery_order") == 0


async def test_update_makes_a_version_for_holders_and_matches_and_a_cancellation_for_holders(town: Town) -> None:
    await town.take_in(message(notice()))
    await town.take_in(message(notice(revision=2, action="update")))
    await town.take_in(message(notice(revision=3, action="cancel")))
    orders = await town.all("SELECT version, audience FROM delivery_order ORDER BY id")
    assert [tuple(order) for order in orders] == [(1, "matches"), (2, "both"), (3, "holders")]
    assert await town.one("SELECT withdrawn_at IS NOT NULL FROM announcement")


async def test_announcing_again_after_a_cancellation_ends_the_withdrawal(town: Town) -> None:
    for revision, action in enumerate(("announce", "cancel", "update"), 1):
        await town.take_in(message(notice(revision=revision, action=action)))
    assert await town.one("SELECT withdrawn_at FROM announcement") is None
    assert await town.one("SELECT version FROM announcement") == 3


async def test_events_of_one_matter_in_one_batch_keep_their_order(town: Town) -> None:
    await town.take_in(*(message(notice(revision=n), key=b"96001:rue") for n in range(1, 6)))
    assert await town.outcomes() == ["announced"] * 5
    assert await town.one("SELECT version FROM announcement") == 5


@pytest.mark.parametrize(
    ("incoming", "reason", "words"),
    [
        pytest.param(raw(b"{"), "undecodable", "not JSON", id="no JSON"),
        pytest.param(raw(None), "undecodable", "", id="nothing at all"),
        pytest.param(raw(b"\xff\xfe"), "undecodable", "UTF-8", id="no UTF-8"),
        pytest.param(raw(b"{\0", headers=(("x\0", b"\0\xff"),)), "undecodable", "", id="NULs everywhere"),
        pytest.param(message(notice(), type="fr.tambour.road-work"), "unknown_type", "road-works", id="type"),
        pytest.param(message({"authority": "96001"}), "invalid", "data.matter is missing", id="fields missing"),
        pytest.param(message(notice(areas=["tannerie"])), "invalid", "Did you mean 'tanneries'?", id="area"),
        pytest.param(message(notice(channels=["fax"])), "invalid", "data.channels[0]", id="channel"),
        pytest.param(message(notice(authority="01001")), "unknown_authority", "01001", id="authority"),
    ],
)
async def test_what_cannot_be_understood_is_a_dead_letter_with_its_reason(
    town: Town, incoming: object, reason: str, words: str
) -> None:
    assert await town.take_in(incoming, message(notice())) == 0  # type: ignore[arg-type]
    assert await town.letters() == [reason]
    assert words in await town.one("SELECT detail FROM dead_letter")
    assert await town.outcomes() == ["announced"], "the message beside it is taken in"
    topics = [row["topic"] for row in await town.all("SELECT topic FROM outbox ORDER BY id")]
    assert sorted(topics) == ["tambour.deadletters", "tambour.orders.routine"]


async def test_defect_of_ours_is_a_dead_letter_too_and_is_counted(town: Town) -> None:
    await town.do("UPDATE rule_set SET source = 'type;severity'")
    assert await town.take_in(message(notice())) == 1
    assert await town.letters() == ["defect"]


async def test_dead_letter_that_comes_again_is_kept_once(town: Town) -> None:
    one = raw(b"{", offset=7)
    await town.take_in(one)
    await town.take_in(one)
    assert await town.letters() == ["undecodable"]
    assert await town.one("SELECT count(*) FROM outbox") == 1


async def test_dead_letter_goes_back_byte_by_byte_as_it_came(town: Town) -> None:
    headers = tuple((f"h{byte}", bytes([byte])) for byte in range(256))
    await town.take_in(raw(b"\0\xff{", key=b"\0k", headers=headers))
    await town.do("DELETE FROM outbox")
    async with transaction(town.pool) as connection:
        letter = await deadletters.get(connection, 1)
        await deadletters.put_back(connection, 1)
        [(_, back)] = await outbox.take(connection, 10)
    assert letter is not None and letter.headers == headers
    assert (back.topic, back.key, back.value, back.headers) == ("municipal.events", b"\0k", b"\0\xff{", headers)


async def test_dead_letter_mended_and_put_back_is_announced_once(town: Town) -> None:
    await town.take_in(raw(b"{", key=b"k"))
    mended = message(notice()).value
    async with transaction(town.pool) as connection:
        first = await deadletters.put_back(connection, 1, mended)
        second = await deadletters.put_back(connection, 1, mended)
    assert (first, second) == (True, False)
    await town.run()
    assert await town.outcomes() == ["announced"]


async def test_two_intakes_racing_on_one_event_announce_it_once(town: Town) -> None:
    same = [message(notice(), id="same") for _ in range(6)]
    await asyncio.gather(*(town.take_in(one) for one in same))
    assert await town.one("SELECT seen FROM event") == 6
    assert await town.one("SELECT count(*) FROM delivery_order") == 1
    assert await town.letters() == []


async def test_two_intakes_racing_on_one_matter_make_one_announcement(town: Town) -> None:
    revisions = [message(notice(revision=n)) for n in range(1, 7)]
    await asyncio.gather(*(town.take_in(one) for one in revisions))
    assert await town.letters() == []
    assert set(await town.outcomes()) <= {"announced", "superseded"}
    announced = (await town.outcomes()).count("announced")
    assert await town.one("SELECT version FROM announcement") == announced
    assert await town.one("SELECT revision FROM announcement") == 6
    assert await town.one("SELECT count(*) FROM delivery_order") == announced


async def test_database_that_goes_away_between_tries_counts_as_one_attempt(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake = Intake(town.pool, max_age=timedelta(hours=24))
    one = message(notice())

    async def gone(*_: object) -> bool:
        raise ConnectionResetError

    with monkeypatch.context() as patched:
        patched.setattr("store.events.seen", gone)
        for _ in range(5):
            with pytest.raises(ConnectionResetError):
                await intake.take_in([one])
    assert await town.one("SELECT attempts FROM intake_attempt") == 1
    await intake.take_in([one])
    assert (await town.outcomes(), await town.letters()) == (["announced"], [])
