"""Delivery of a batch: claimed by one worker, sent window by window, recorded, given back with what is left."""

import asyncio
from datetime import timedelta

import pytest

from hub.rendering import Fault, TemplateError
from hub.settings import DeliverySettings
from publishers.base import Permanent, Transient, Untried
from store import batches
from store.database import transaction
from tests.integration.hub.providers import Provider
from tests.integration.hub.town import Town
from tests.waiting import eventually

pytestmark = pytest.mark.integration


async def test_batch_is_sent_in_windows_and_done(town: Town, mail: Provider) -> None:
    await town.settle_in(4)
    [batch] = await town.announced_and_dispatched()
    windows: list[set[int]] = []

    async def look(_: object) -> None:
        windows.append(set(await town.one("SELECT in_flight FROM batch")))

    mail.before = look
    await town.deliver(batch)
    assert await town.states() == {"sent": 4}
    assert [len(window) for window in windows] == [2] * 4, "each message is noted as in flight before it leaves"
    assert await town.one("SELECT state FROM batch") == "done"
    assert mail.repeats == 0


async def test_batch_that_another_holds_is_acknowledged_and_left_alone(town: Town, mail: Provider) -> None:
    await town.settle_in(2)
    [batch] = await town.announced_and_dispatched()
    async with transaction(town.pool) as connection:
        assert await batches.claim(connection, batch, "another", 15)
    await town.deliver(batch)
    assert mail.asked == []
    assert tuple((await town.all("SELECT owner, epoch FROM batch"))[0]) == ("another", 1)


@pytest.mark.parametrize("state", ["done", "waiting"])
async def test_batch_that_is_done_or_waits_is_acknowledged_and_left_alone(
    town: Town, mail: Provider, state: str
) -> None:
    await town.settle_in(2)
    await town.announce()
    await town.fan_out()
    if state == "done":
        await town.settle()
    before = list(mail.asked)
    await town.deliver(1)
    assert mail.asked == before
    assert await town.one("SELECT state FROM batch") == state


async def test_batch_that_is_not_there_is_acknowledged(town: Town, mail: Provider) -> None:
    await town.deliver(404)
    assert mail.asked == []


async def test_batch_offered_twice_at_once_is_sent_once(town: Town, mail: Provider) -> None:
    await town.settle_in(4)
    [batch] = await town.announced_and_dispatched()
    await asyncio.gather(*(town.deliver(batch) for _ in range(5)))
    assert len(mail.accepted) == 4
    assert mail.repeats == 0


async def test_whole_path_with_every_message_dealt_with_three_times_sends_once(town: Town, mail: Provider) -> None:
    await town.settle_in(9)
    await town.announce()
    for _ in range(6):
        await town.carry(times=3)
        await town.dispatch()
    assert await town.states() == {"sent": 9}
    assert mail.repeats == 0


async def test_lease_that_ran_out_is_claimed_with_a_higher_epoch(town: Town, mail: Provider) -> None:
    await town.settle_in(2)
    [batch] = await town.announced_and_dispatched()
    async with transaction(town.pool) as connection:
        first = await batches.claim(connection, batch, "gone", 15)
    assert first is not None
    await town.let_leases_end()
    await town.deliver(batch)
    assert await town.one("SELECT epoch FROM batch") == first.epoch + 1
    assert await town.states() == {"sent": 2}


async def test_owner_of_a_stale_epoch_records_what_it_sent_but_requeues_and_finishes_nothing(
    town: Town, mail: Provider
) -> None:
    await town.settle_in(2)
    [batch] = await town.announced_and_dispatched()
    mail.answers = [Transient("busy", retry_after=1)]

    async def claimed_by_another(_: object) -> None:
        mail.before = None
        await town.let_leases_end()
        async with transaction(town.pool) as connection:
            assert await batches.claim(connection, batch, "another", 15)

    mail.before = claimed_by_another
    await town.deliver(batch)
    assert await town.states() == {"retrying": 1, "sent": 1}
    assert await town.dues() == {}
    assert tuple((await town.all("SELECT state, owner FROM batch"))[0]) == ("claimed", "another")
    await town.check()


async def test_worker_stopped_for_longer_than_its_lease_opens_no_other_window(town: Town, mail: Provider) -> None:
    await town.settle_in(4)
    [batch] = await town.announced_and_dispatched()

    async def frozen(_: object) -> None:
        mail.before = None
        await town.let_leases_end()
        await town.deliver(batch)

    other = Provider("email")
    mail.before = frozen
    deliverer = town.deliverer()
    town.publishers["email"] = other
    await deliverer.deliver(batch)
    assert len(mail.accepted) == 2, "the window that was under way"
    assert len(other.accepted) == 4, "those two once more, because their outcome was unclear, and the rest"
    assert await town.states() == {"sent": 4}
    assert await town.one("SELECT state FROM batch") == "done"


async def test_leftovers_of_the_deadline_return_to_the_queue_at_once(town: Town, mail: Provider) -> None:
    people = await town.settle_in(4)
    [batch] = await town.announced_and_dispatched()
    sizes = DeliverySettings(batch_size=4, window=2, deadline_s=0.2)

    async def slow(_: object) -> None:
        await asyncio.sleep(0.15)

    mail.before, mail.limits = slow, type(mail.limits)(concurrency=1)
    await town.deliver(batch, sizes=sizes)
    sent = len(mail.accepted)
    assert sent < 4
    row = (await town.all("SELECT state, members, waits_for, not_before <= now() AS now FROM batch"))[0]
    assert (row["state"], row["now"]) == ("waiting", True)
    assert set(row["members"]) <= set(people)
    mail.before = None
    await town.settle()
    assert await town.states() == {"sent": 4}


async def test_stopping_worker_finishes_its_window_and_gives_back_the_rest(town: Town, mail: Provider) -> None:
    people = await town.settle_in(4)
    [batch] = await town.announced_and_dispatched()
    await town.deliver(batch, stopping=lambda: bool(mail.asked))
    assert len(mail.accepted) == 2
    assert await town.one("SELECT members FROM batch WHERE state = 'waiting'") == people[2:]
    await town.settle()
    assert mail.repeats == 0


async def test_batch_given_back_unclaimed_is_dispatched_again(town: Town, mail: Provider) -> None:
    await town.settle_in(2)
    [batch] = await town.announced_and_dispatched()
    async with transaction(town.pool) as connection:
        await batches.give_back(connection, batch)
    assert await town.one("SELECT state FROM batch") == "waiting"
    await town.settle()
    assert await town.states() == {"sent": 2}


async def test_provider_that_takes_nothing_is_left_in_peace_for_a_while(town: Town, mail: Provider) -> None:
    await town.settle_in(4)
    [batch] = await town.announced_and_dispatched()
    mail.answers = [Untried("no connection")] * 2
    await town.deliver(batch)
    row = (await town.all("SELECT state, members, waits_for, not_before > now() AS later FROM batch"))[0]
    assert (row["state"], len(row["members"]), row["waits_for"]) == ("waiting", 4, "the provider")
    assert row["later"], "also when another window was still to come"
    assert await town.one("SELECT max(tries) FROM delivery") == 0, "it was no try"
    await town.settle()
    assert await town.states() == {"sent": 4}


async def test_refused_for_now_is_tried_again_in_another_batch_and_sent(town: Town, mail: Provider) -> None:
    await town.settle_in(3)
    [batch] = await town.announced_and_dispatched()
    mail.answers = [Transient("mailbox full", code="452")]
    await town.deliver(batch)
    assert await town.states() == {"retrying": 1, "sent": 2}
    assert await town.dues() == {"retry": 1}
    await town.check()
    await town.let_time_pass()
    await town.run()
    assert await town.states() == {"sent": 3}
    assert await town.one("SELECT count(*) FROM batch") == 2
    assert await town.one("SELECT max(tries) FROM delivery") == 2
    assert mail.repeats == 0


async def test_retry_in_the_urgent_lane_is_offered_by_the_clock_itself(town: Town, mail: Provider) -> None:
    await town.settle_in(1)
    mail.answers = [Transient("busy")]
    await town.announce(lane="urgent")
    await town.run()
    await town.let_time_pass()
    async with transaction(town.pool) as connection:
        from store import schedule

        [again] = await schedule.requeue_due(connection, 100)
    assert await town.one("SELECT state FROM batch WHERE id = $1", again) == "dispatched"
    await town.run()
    assert await town.states() == {"sent": 1}


async def test_retry_waits_as_long_as_the_provider_asks(town: Town, mail: Provider) -> None:
    await town.settle_in(1)
    mail.answers = [Transient("too many", retry_after=600)]
    await town.announce()
    await town.run()
    assert await town.one("SELECT at - clock_timestamp() FROM due") > timedelta(seconds=580)


async def test_refused_for_good_fails_with_the_words_of_the_provider(town: Town, mail: Provider) -> None:
    await town.settle_in(1)
    mail.answers = [Permanent("no such mailbox", code="550 5.1.1")]
    await town.announce()
    await town.settle()
    assert await town.states() == {"failed": 1}
    assert tuple((await town.all("SELECT code, reason FROM fact"))[0]) == ("550 5.1.1", "no such mailbox")


@pytest.mark.parametrize("words", ["a NUL \0 in it", "half a letter \ud83d"])
async def test_words_that_the_database_cannot_keep_lose_no_outcome(town: Town, mail: Provider, words: str) -> None:
    await town.settle_in(2)
    mail.answers = [Permanent(words, code=words)]
    await town.announce()
    await town.settle()
    assert await town.states() == {"failed": 1, "sent": 1}


async def test_defect_of_the_publisher_leaves_nobody_behind(town: Town, mail: Provider) -> None:
    await town.settle_in(4)
    mail.answers = [ZeroDivisionError("a bug")]
    await town.announce()
    await town.settle()
    assert await town.states() == {"sent": 4}


async def test_what_a_defect_of_the_publisher_cut_short_is_unclear_not_untried(town: Town, mail: Provider) -> None:
    await town.settle_in(2)
    [batch] = await town.announced_and_dispatched()

    async def second_fails_while_first_is_being_taken(_: object) -> None:
        if len(mail.asked) == 1:
            mail.accepted.append(mail.asked[0])  # it has it, and is about to say so
            await asyncio.Event().wait()
        await eventually(lambda: mail.accepted)
        raise ZeroDivisionError("a bug")

    mail.before = second_fails_while_first_is_being_taken
    await town.deliver(batch)
    assert await town.states() == {"unknown": 1, "retrying": 1}


async def test_template_that_fails_is_tried_again_later_and_loudly(
    town: Town, mail: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await town.settle_in(2)

    def fails(*_: object, **__: object) -> None:
        raise TemplateError(Fault("notice/email.fr.j2", 3, "it is broken"))

    with monkeypatch.context() as patched:
        patched.setattr("hub.composing.Composer.compose", fails)
        await town.announce()
        await town.run()
    assert await town.states() == {"retrying": 2}
    assert await town.one("SELECT DISTINCT code FROM fact") == "template"
    assert await town.one("SELECT min(at) - clock_timestamp() FROM due") > timedelta(seconds=50)
    await town.settle()
    assert await town.states() == {"sent": 2}


async def test_recipient_who_was_erased_is_suppressed(town: Town, mail: Provider) -> None:
    [erased, stays] = await town.settle_in(2)
    await town.announce()
    await town.fan_out()
    await town.do("DELETE FROM recipient WHERE id = $1", erased)
    await town.settle()
    assert await town.states() == {"suppressed": 1, "sent": 1}
    assert await town.one("SELECT reason FROM fact WHERE recipient_id = $1", erased) == "erased"
    assert stays != erased and len(mail.accepted) == 1


async def test_address_that_cannot_be_written_to_fails(town: Town, mail: Provider) -> None:
    await town.settle_in(2)
    await town.do("UPDATE recipient SET address = E'a\\r\\nBcc: tous@courriel.example' WHERE id = 1")
    await town.announce()
    await town.settle()
    assert await town.states() == {"failed": 1, "sent": 1}
    assert await town.one("SELECT code FROM fact") == "bad_address"


async def test_channel_that_is_not_set_up_waits_and_says_for_what(town: Town, mail: Provider) -> None:
    await town.settle_in(2)
    del town.publishers["email"]
    await town.announce()
    await town.run()
    row = (await town.all("SELECT state, waits_for, not_before > now() AS later FROM batch"))[0]
    assert tuple(row) == ("waiting", "settings: channels.email", True)
    town.publishers["email"] = mail
    await town.settle()
    assert await town.states() == {"sent": 2}


async def test_unclear_ones_stay_unclear_while_their_channel_is_not_set_up(town: Town, mail: Provider) -> None:
    await town.settle_in(2)
    [batch] = await town.announced_and_dispatched()
    async with transaction(town.pool) as connection:
        claimed = await batches.claim(connection, batch, "vanishes", 15)
        assert claimed is not None
        await batches.open_window(connection, claimed, [one.recipient_id for one in claimed.members])
    del town.publishers["email"]
    await town.let_leases_end()
    await town.run()
    town.publishers["email"] = mail
    await town.settle()
    assert await town.states() == {"sent": 2}
    assert await town.one("SELECT count(*) FROM fact WHERE code = 'interrupted'") == 2


async def test_reference_of_the_provider_leads_back_to_the_attempt(town: Town, mail: Provider) -> None:
    [person] = await town.settle_in(1)
    order = await town.announce()
    await town.settle()
    row = (await town.all("SELECT * FROM provider_reference"))[0]
    assert row["reference"] == f"ref-{mail.accepted[0]}"
    assert (row["order_id"], row["recipient_id"], row["attempt"]) == (order, person, 1)


async def test_every_recorded_group_is_told_by_ids_and_states_only(town: Town, mail: Provider) -> None:
    await town.settle_in(2)
    [batch] = await town.announced_and_dispatched()
    await town.do("DELETE FROM outbox")
    await town.deliver(batch)
    told = await town.all("SELECT convert_from(value, 'UTF8') AS text FROM outbox WHERE topic = 'tambour.deliveries'")
    assert told
    assert sum(row["text"].count('"sent"') for row in told) == 2
    assert not any("courriel.example" in row["text"] for row in told)
