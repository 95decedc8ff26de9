"""Outcomes that nobody knows: what each channel's rule does next, and that every wait has an end."""

from datetime import timedelta

import pytest

from hub.withdrawal import withdraw
from publishers.base import CANNOT_SAY, Receipt, Transient, Unclear, Unknown
from store import batches, optouts
from store.database import transaction
from tests.integration.hub.providers import AskableProvider, ForgetfulProvider, Provider
from tests.integration.hub.town import Town, message, notice

pytestmark = pytest.mark.integration


def speaks(town: Town, unclear: Unclear, *, askable: bool = False) -> Provider:
    """The town's mail provider, under that rule."""
    provider = AskableProvider("email", unclear) if askable else Provider("email", unclear)
    town.publishers["email"] = provider
    return provider


def forgetful(town: Town, key_kept: timedelta) -> ForgetfulProvider:
    """The town's social network deduplicates for so long, and can be searched."""
    provider = ForgetfulProvider(key_kept)
    town.publishers["mastodon"] = provider
    return provider


async def post(town: Town) -> int:
    """A notice for the town's one account."""
    await town.settle_in(1, channel="mastodon", broadcast=True)
    return await town.announce(channels=["mastodon"])


async def interrupt(town: Town, batch: int) -> None:
    """A worker claims the batch, opens its first window, and vanishes."""
    async with transaction(town.pool) as connection:
        claimed = await batches.claim(connection, batch, "vanishes", 15)
        assert claimed is not None
        await batches.open_window(connection, claimed, [one.recipient_id for one in claimed.members][:2])
    await town.let_leases_end()


async def until_due(town: Town) -> timedelta:
    found: timedelta = await town.one("SELECT at - clock_timestamp() FROM due")
    return found


# --- SEND_AGAIN: the provider deduplicates


async def test_send_again_repeats_under_the_same_key_until_it_is_answered(town: Town) -> None:
    provider = speaks(town, Unclear.SEND_AGAIN)
    await town.settle_in(1)
    provider.answers = [Unknown("cut")] * 4
    await town.announce()
    await town.settle()
    assert len(provider.asked) == 5 and len(set(provider.asked)) == 1
    assert await town.states() == {"sent": 1}


async def test_send_again_waits_longer_each_time(town: Town) -> None:
    provider = speaks(town, Unclear.SEND_AGAIN)
    await town.settle_in(1)
    provider.answers = [Unknown("cut")] * 3
    await town.announce()
    pauses = []
    for _ in range(3):
        await town.run()
        pauses.append(await until_due(town))
        await town.let_time_pass()
    assert pauses == sorted(pauses)
    assert pauses[0] > timedelta(seconds=2)


async def test_send_again_ends_with_the_announcement(town: Town) -> None:
    provider = speaks(town, Unclear.SEND_AGAIN)
    await town.settle_in(1)
    provider.answers = [Unknown("cut")]
    order = await town.announce()
    await town.run()
    await town.let_it_expire(order)
    await town.settle()
    assert await town.states() == {"failed": 1}
    assert len(provider.asked) == 1


async def test_key_that_the_provider_still_knows_needs_no_search(town: Town) -> None:
    provider = forgetful(town, timedelta(minutes=55))
    provider.answers = [Unknown("cut")]
    await post(town)
    await town.settle()
    assert (await town.states(), len(provider.asked), provider.searched) == ({"sent": 1}, 2, [])


async def test_message_that_is_found_after_its_key_was_forgotten_is_not_sent_again(town: Town) -> None:
    provider = forgetful(town, timedelta(0))
    provider.there = Receipt(reference="there it is", url="https://social.example/1")
    provider.answers = [Unknown("cut")]
    await post(town)
    await town.settle()
    assert (await town.states(), len(provider.asked)) == ({"sent": 1}, 1)
    [(key, since)] = provider.searched
    assert key == provider.asked[0]
    begun = await town.one("SELECT begun_at FROM post")
    assert since == begun - timedelta(minutes=1), "their clock may be behind ours"


async def test_message_that_is_not_found_after_its_key_was_forgotten_is_sent_again(town: Town) -> None:
    provider = forgetful(town, timedelta(0))
    provider.answers = [Unknown("cut")]
    await post(town)
    await town.settle()
    assert (await town.states(), len(provider.asked), len(provider.searched)) == ({"sent": 1}, 2, 1)


async def test_search_that_fails_is_tried_again_later_and_sends_nothing_meanwhile(town: Town) -> None:
    provider = forgetful(town, timedelta(0))
    provider.answers = [Unknown("cut")]
    provider.cannot_say = Transient("down")
    await post(town)
    await town.run()
    await town.let_time_pass()
    await town.run()
    assert await town.dues() == {"retry": 1} and len(provider.asked) == 1
    provider.cannot_say = None
    await town.settle()
    assert await town.states() == {"sent": 1}


# --- SEND_ONCE_MORE: the reader's mail client deduplicates


async def test_send_once_more_is_sent_twice_at_most_then_an_officer_is_asked(town: Town) -> None:
    provider = speaks(town, Unclear.SEND_ONCE_MORE)
    await town.settle_in(1)
    provider.answers = [Unknown("cut")] * 5
    await town.announce()
    await town.run()
    assert await town.dues() == {"retry": 1}
    await town.let_time_pass()
    await town.run()
    assert len(provider.asked) == 2
    assert await town.dues() == {"resolve": 1}, "a bounce may still tell"
    assert timedelta(minutes=9) < await until_due(town) <= timedelta(minutes=10)
    await town.settle()
    assert (len(provider.asked), await town.states(), await town.dues()) == (2, {"unknown": 1}, {"officer": 1})


async def test_send_once_more_that_is_answered_is_sent(town: Town) -> None:
    provider = speaks(town, Unclear.SEND_ONCE_MORE)
    await town.settle_in(1)
    provider.answers = [Unknown("cut")]
    await town.announce()
    await town.settle()
    assert await town.states() == {"sent": 1}
    assert len(set(provider.asked)) == 1 and len(provider.asked) == 2


async def test_once_more_that_is_refused_for_now_is_tried_again(town: Town) -> None:
    """The refusal says that this try was not taken: the one more try is still to be had."""
    provider = speaks(town, Unclear.SEND_ONCE_MORE)
    await town.settle_in(1)
    provider.answers = [Unknown("cut"), Transient("greylisted"), Transient("greylisted")]
    await town.announce()
    await town.settle()
    assert await town.states() == {"sent": 1}
    assert len(provider.asked) == 4


# --- WAIT: only the provider knows


async def test_wait_is_never_sent_again_blindly(town: Town) -> None:
    provider = speaks(town, Unclear.WAIT)
    await town.settle_in(1)
    provider.answers = [Unknown("cut")]
    await town.announce()
    await town.run()
    assert await town.dues() == {"resolve": 1}
    assert timedelta(minutes=9) < await until_due(town) <= timedelta(minutes=10)
    await town.settle()
    assert (len(provider.asked), await town.dues()) == (1, {"officer": 1})


async def test_wait_in_the_urgent_lane_is_sent_once_more_after_a_minute(town: Town) -> None:
    provider = speaks(town, Unclear.WAIT)
    await town.settle_in(1)
    provider.answers = [Unknown("cut")] * 3
    await town.announce(lane="urgent")
    await town.run()
    assert timedelta(seconds=50) < await until_due(town) <= timedelta(minutes=1)
    await town.settle()
    assert (len(provider.asked), await town.dues()) == (2, {"officer": 1})


# --- looking up


@pytest.mark.parametrize(("lane", "seconds"), [("routine", 20), ("urgent", 5)])
async def test_look_up_waits_until_the_provider_can_know(town: Town, lane: str, seconds: int) -> None:
    provider = speaks(town, Unclear.WAIT, askable=True)
    await town.settle_in(1)
    provider.answers = [Unknown("cut")]
    await town.announce(lane=lane)
    await town.run()
    assert timedelta(seconds=seconds - 2) < await until_due(town) <= timedelta(seconds=seconds)


@pytest.mark.parametrize("rule", [Unclear.WAIT, Unclear.LOOK_UP])
async def test_what_a_look_up_finds_is_sent_and_not_repeated(town: Town, rule: Unclear) -> None:
    provider = speaks(town, rule, askable=True)
    assert isinstance(provider, AskableProvider)
    [person] = await town.settle_in(1)
    provider.answers = [Unknown("cut")]
    await town.announce()
    await town.run()
    provider.knows = {provider.asked[0]: Receipt(reference="there it is")}
    await town.settle()
    assert (await town.states(), len(provider.asked)) == ({"sent": 1}, 1)
    assert await town.one("SELECT recipient_id FROM provider_reference WHERE reference = 'there it is'") == person


async def test_what_the_provider_has_never_seen_is_sent_again(town: Town) -> None:
    provider = speaks(town, Unclear.WAIT, askable=True)
    assert isinstance(provider, AskableProvider)
    await town.settle_in(1)
    provider.answers = [Unknown("cut")]
    await town.announce()
    await town.settle()
    assert (await town.states(), len(provider.asked), len(provider.looked_up)) == ({"sent": 1}, 2, 1)


async def test_provider_that_cannot_say_is_asked_again_a_minute_later(town: Town) -> None:
    provider = speaks(town, Unclear.WAIT, askable=True)
    assert isinstance(provider, AskableProvider)
    await town.settle_in(1)
    provider.answers = [Unknown("cut")]
    provider.cannot_say = Transient("down")
    await town.announce()
    await town.run()
    await town.let_time_pass()
    await town.run()
    assert await town.dues() == {"resolve": 1}
    assert timedelta(seconds=50) < await until_due(town) <= timedelta(minutes=1)
    provider.cannot_say = None
    await town.settle()
    assert await town.states() == {"sent": 1}


async def test_provider_that_never_says_is_asked_no_more_once_the_announcement_expired(town: Town) -> None:
    provider = speaks(town, Unclear.WAIT, askable=True)
    assert isinstance(provider, AskableProvider)
    await town.settle_in(1)
    provider.answers = [Unknown("cut")]
    provider.cannot_say = Transient("down")
    order = await town.announce()
    await town.run()
    await town.let_it_expire(order)
    await town.run()
    assert (await town.states(), await town.dues()) == ({"failed": 1}, {})
    assert len(provider.looked_up) <= 1


async def test_many_slow_look_ups_end_with_the_deadline_and_go_on_in_the_next_batch(town: Town) -> None:
    import asyncio

    from hub.settings import DeliverySettings

    class Slow(AskableProvider):
        async def look_up(self, key: str, address: str, /) -> Receipt | None:
            await asyncio.sleep(0.15)
            return await super().look_up(key, address)

    provider = town.publishers["email"] = Slow("email", Unclear.WAIT)
    await town.settle_in(4)
    provider.answers = [Unknown("cut")] * 4
    await town.announce()
    await town.run()
    await town.let_time_pass()
    async with transaction(town.pool) as connection:
        from store import schedule

        [batch] = await schedule.requeue_due(connection, 100)
    await town.dispatch()
    await town.deliver(batch, sizes=DeliverySettings(batch_size=4, window=2, deadline_s=0.2))
    assert len(provider.looked_up) < 4
    await town.check()
    await town.settle()
    assert await town.states() == {"sent": 4}


# --- the officer


async def test_what_waits_for_an_officer_is_settled_when_the_announcement_expires(town: Town) -> None:
    provider = speaks(town, Unclear.WAIT)
    await town.settle_in(2)
    provider.answers = [Unknown("cut")] * 2
    order = await town.announce()
    await town.settle()
    assert await town.dues() == {"officer": 2}
    assert await town.one("SELECT bool_and(u.at = o.expires) FROM due u JOIN delivery_order o ON o.id = u.order_id")
    await town.let_it_expire(order)
    await town.run()
    assert (await town.states(), await town.dues()) == ({"failed": 2}, {})
    assert await town.one("SELECT count(*) FROM fact WHERE code = 'unclear' AND state = 8") == 2


async def test_receipt_in_time_spares_the_officer(town: Town) -> None:
    from hub.receipts import bind
    from store import receipts

    provider = speaks(town, Unclear.WAIT)
    await town.settle_in(1)
    provider.answers = [Unknown("cut")]
    await town.announce()
    await town.run()
    body = (
        b"From: MAILER-DAEMON@courriel.example\r\nTo: b@bounces.valmerande.example\r\nSubject: failed\r\n"
        b'Content-Type: multipart/report; report-type=delivery-status; boundary="x"\r\nMIME-Version: 1.0\r\n\r\n'
        b"--x\r\nContent-Type: text/plain\r\n\r\nno\r\n--x\r\nContent-Type: message/delivery-status\r\n\r\n"
        b"Reporting-MTA: dns; mx.courriel.example\r\n\r\nFinal-Recipient: rfc822; a@courriel.example\r\n"
        b"Action: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 unknown\r\n\r\n--x--\r\n"
    )
    async with transaction(town.pool) as connection:
        kept = await receipts.keep(
            connection, channel="email", kind="bounce", body=body, hint=provider.asked[0], reference=None
        )
    assert kept is not None
    assert await bind(town.pool, kept) == "bound"
    assert (await town.states(), await town.dues()) == ({"failed": 1}, {})
    await town.settle()


# --- what an earlier owner was sending when it vanished


async def test_interrupted_mail_is_sent_once_more_in_the_same_batch(town: Town) -> None:
    provider = speaks(town, Unclear.SEND_ONCE_MORE)
    await town.settle_in(3)
    [batch] = await town.announced_and_dispatched()
    await interrupt(town, batch)
    await town.deliver(batch)
    assert await town.states() == {"sent": 3}
    assert await town.one("SELECT count(*) FROM fact WHERE code = 'interrupted'") == 2
    assert len(provider.asked) == 3


async def test_interrupted_then_unanswered_is_not_sent_a_third_time(town: Town) -> None:
    provider = speaks(town, Unclear.SEND_ONCE_MORE)
    await town.settle_in(2)
    [batch] = await town.announced_and_dispatched()
    await interrupt(town, batch)
    provider.answers = [Unknown("cut")] * 2
    await town.deliver(batch)
    assert len(provider.asked) == 2
    assert await town.dues() == {"resolve": 2}, "that was the second unclear outcome of each"
    await town.settle()
    assert (len(provider.asked), await town.dues()) == (2, {"officer": 2})


async def test_interrupted_sms_waits_or_is_looked_up_and_never_goes_out_again_by_itself(town: Town) -> None:
    provider = speaks(town, Unclear.WAIT)
    await town.settle_in(4)
    [batch] = await town.announced_and_dispatched()
    await interrupt(town, batch)
    await town.deliver(batch)
    assert await town.states() == {"unknown": 2, "sent": 2}
    assert await town.dues() == {"resolve": 2}
    assert len(provider.asked) == 2


@pytest.mark.parametrize("why", ["superseded", "expired", "withdrawn", "opted out"])
async def test_interrupted_mail_that_may_not_go_out_again_is_settled(town: Town, why: str) -> None:
    provider = speaks(town, Unclear.SEND_ONCE_MORE)
    await town.settle_in(2)
    [batch] = await town.announced_and_dispatched()
    await interrupt(town, batch)
    if why == "superseded":
        await town.take_in(message(notice(revision=2, action="update")))
    async with transaction(town.pool) as connection:
        if why == "expired":
            await connection.execute("UPDATE delivery_order SET expires = now()")
        elif why == "withdrawn":
            await withdraw(connection, 1, reason="published by mistake", silent=True)
        elif why == "opted out":
            for row in await connection.fetch("SELECT address FROM recipient"):
                await optouts.suppress(connection, 1, "email", row["address"], "unsubscribed")
    await town.deliver(batch)
    assert provider.asked == []
    assert await town.states(1) == {"failed": 2}, "nobody knows whether they have it, and nobody will send it again"
    await town.check()
    await town.settle()


async def test_interrupted_holder_hears_the_correction(town: Town) -> None:
    speaks(town, Unclear.SEND_ONCE_MORE)
    people = await town.settle_in(4)
    [batch] = await town.announced_and_dispatched()
    await interrupt(town, batch)
    correction = await town.announce(revision=2, action="cancel")
    await town.settle()
    assert await town.audience(correction) == people[:2]
    assert await town.states(correction) == {"sent": 2}


async def test_provider_that_can_not_be_asked_about_a_message_leaves_it_to_the_receipt_then_to_an_officer(
    town: Town,
) -> None:
    provider = speaks(town, Unclear.WAIT, askable=True)
    assert isinstance(provider, AskableProvider)
    await town.settle_in(1)
    provider.answers = [Unknown("cut")]
    provider.cannot_say = Transient("it has no id yet", code=CANNOT_SAY)
    await town.announce()
    await town.run()
    await town.let_time_pass()
    await town.run()
    assert await town.dues() == {"resolve": 1}
    assert timedelta(minutes=8) < await until_due(town) <= timedelta(minutes=10), "a receipt may still come"
    await town.do("UPDATE fact SET at = at - interval '11 minutes' WHERE state = 6")
    await town.settle()
    assert (len(provider.asked), await town.dues()) == (1, {"officer": 1})


async def test_and_in_the_urgent_lane_it_is_sent_once_more(town: Town) -> None:
    provider = speaks(town, Unclear.WAIT, askable=True)
    assert isinstance(provider, AskableProvider)
    await town.settle_in(1)
    provider.answers = [Unknown("cut")]
    provider.cannot_say = Transient("it has no id yet", code=CANNOT_SAY)
    await town.announce(lane="urgent")
    await town.run()
    await town.do("UPDATE fact SET at = at - interval '2 minutes' WHERE state = 6")
    await town.settle()
    assert (len(provider.asked), await town.states()) == (2, {"sent": 1})
