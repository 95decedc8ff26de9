"""Addresses that are given up for what servers and readers say of them, and what never gives up anybody."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from hub.receipts import bind
from publishers.base import Permanent
from schemas.deliveries import DeliveryId
from store import optouts, receipts, suppressions
from store.database import transaction
from tests.integration.hub.providers import Provider
from tests.integration.hub.town import Town

pytestmark = pytest.mark.integration

UNKNOWN = (
    b"From: mailer-daemon@x.example\nSubject: failure notice\n\n<%b>:\nRemote host said: 550 5.1.1 <%b> unknown user\n"
)
FULL = b"From: mailer-daemon@x.example\nSubject: failure notice\n\nRemote host said: 552 5.2.2 mailbox full\nMail %d\n"
COMPLAINT = (
    b"From: fbl@boites.example\nSubject: complaint\nContent-Type: multipart/report; report-type=feedback-report;"
    b' boundary="b"\n\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\n\n--b--\n'
)


_numbers = itertools.count(1)


async def comes_back(town: Town, body: bytes, hint: str | None) -> str | None:
    """A mail comes back to our envelope sender of that key, or to an address that proves nothing; its outcome."""
    async with transaction(town.pool) as connection:
        kept = await receipts.keep(connection, channel="email", kind="bounce", body=body, hint=hint, reference=None)
    assert kept is not None
    return await bind(town.pool, kept)


async def address(town: Town, recipient: int = 1) -> str:
    return str(await town.one("SELECT address FROM recipient WHERE id = $1", recipient))


async def suppressed(town: Town) -> list[tuple[str, str]]:
    """Kind and reason of every suppression."""
    return [
        (one["kind"], one["reason"]) for one in await town.all("SELECT kind, reason FROM suppression ORDER BY kind")
    ]


async def sent(town: Town, mail: Provider, matter: str = "Marché") -> str:
    """One more announcement reaches everybody who is written to; the key of its last mail."""
    await town.announce(matter=matter)
    await town.settle()
    return mail.accepted[-1]


async def test_address_that_does_not_exist_is_given_up_with_a_reason_that_names_nobody(
    town: Town, mail: Provider
) -> None:
    await town.settle_in(1)
    where = (await address(town)).encode()
    assert await comes_back(town, UNKNOWN % (where, where), await sent(town, mail)) == "bound"
    [(kind, reason)] = await suppressed(town)
    assert kind == "dead"
    assert reason == "no such address, says the recipient's server: 550 5.1.1 <…> unknown user"
    assert where.decode() not in str(await town.one("SELECT reason FROM fact WHERE reason LIKE '%5.1.1%'"))
    assert await town.states() == {"failed": 1}
    await town.announce(matter="Foire")
    await town.settle()
    assert len(mail.accepted) == 1


async def test_what_waits_for_an_address_given_up_is_suppressed_with_that_reason(town: Town, mail: Provider) -> None:
    await town.settle_in(1)
    key = await sent(town, mail)
    await town.announced_and_dispatched(matter="Foire")
    where = (await address(town)).encode()
    await comes_back(town, UNKNOWN % (where, where), key)
    await town.settle()
    assert await town.states() == {"failed": 1, "suppressed": 1}
    assert "no such address" in await town.one("SELECT reason FROM fact ORDER BY order_id DESC LIMIT 1")


async def test_reader_who_complains_has_left(town: Town, mail: Provider) -> None:
    await town.settle_in(1)
    assert await comes_back(town, COMPLAINT, await sent(town, mail)) == "opted_out"
    assert await suppressed(town) == [("complaint", "complained to their mail provider (abuse)")]
    assert await town.states() == {"sent": 1}  # it did arrive


@pytest.mark.parametrize(
    "body",
    [
        b"From: z@x.example\nSubject: Automatic reply: Travaux\nAuto-Submitted: auto-replied\n\nBack on Monday.\n",
        b"From: z@x.example\nSubject: Please confirm your message\n\nhttps://filtre.example/1\n",
        b"From: z@x.example\nSubject: Bonjour\n\nMerci !\n",
        b"From: mailer-daemon@x.example\nSubject: Delivery delayed\n\nYour mail is not yet delivered: 450 4.1.1\n",
    ],
)
async def test_answer_or_delay_gives_up_nobody(town: Town, mail: Provider, body: bytes) -> None:
    await town.settle_in(1)
    assert await comes_back(town, body, await sent(town, mail)) == "ignored"
    assert (await suppressed(town), await town.states()) == ([], {"sent": 1})


@pytest.mark.parametrize(
    "words", [b"554 5.7.1 blocked for spam", b"552 5.3.4 message too big", b"550 5.7.26 SPF failed"]
)
async def test_refusal_of_us_or_of_one_mail_fails_it_and_gives_up_nobody(
    town: Town, mail: Provider, words: bytes
) -> None:
    await town.settle_in(1)
    body = b"From: mailer-daemon@x.example\nSubject: failure notice\n\nRemote host said: " + words + b"\n"
    assert await comes_back(town, body, await sent(town, mail)) == "bound"
    assert (await suppressed(town), await town.states()) == ([], {"failed": 1})


async def full_for_days(town: Town, mail: Provider, days: list[int]) -> None:
    """A mail each on so many days before now comes back from a full mailbox."""
    for day in days:
        number = next(_numbers)
        key = await sent(town, mail, f"Matière {number}")
        order = int(key.split("-")[0], 16)
        await town.do(
            "UPDATE delivery SET sent_at = $2 WHERE order_id = $1", order, datetime.now(UTC) - timedelta(days=day)
        )
        assert await comes_back(town, FULL % number, key) == "bound"


async def test_mailbox_that_is_full_for_weeks_is_given_up(town: Town, mail: Provider) -> None:
    await town.settle_in(1)
    await full_for_days(town, mail, [20, 15, 10, 5])
    assert await suppressed(town) == []
    await full_for_days(town, mail, [1])
    [(kind, reason)] = await suppressed(town)
    assert kind == "refused"
    assert reason.startswith("mailbox full or closed for weeks: 5 mails came back since 20")


@pytest.mark.parametrize("days", [[5, 4, 3, 2, 1, 0], [60, 50, 40, 35, 3]])
async def test_mailbox_that_is_full_for_days_or_now_and_then_is_kept(
    town: Town, mail: Provider, days: list[int]
) -> None:
    await town.settle_in(1)
    await full_for_days(town, mail, days)
    assert await suppressed(town) == []


async def test_mail_that_arrives_between_begins_the_count_anew(town: Town, mail: Provider) -> None:
    await town.settle_in(1)
    await full_for_days(town, mail, [20, 18, 16])
    key = await sent(town, mail, "arrives")
    await town.do(
        "UPDATE delivery SET sent_at = now() - interval '14 days' WHERE order_id = $1", int(key.split("-")[0], 16)
    )
    await full_for_days(town, mail, [12, 3])
    assert await suppressed(town) == []


async def test_same_mail_that_comes_back_twice_counts_once(town: Town, mail: Provider) -> None:
    await town.settle_in(1)
    key = await sent(town, mail)
    for number in range(6):
        await comes_back(town, FULL % number, key)
    assert await town.one("SELECT count(*) FROM mailbox_fault") == 1


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        ("email", "no such address, says the recipient's server: 550 5.1.1"),
        ("sms", "no such number, says the provider"),
    ],
)
async def test_address_that_the_provider_calls_dead_when_it_refuses_is_given_up(
    town: Town, channel: str, words: str
) -> None:
    provider = Provider(channel)
    town.publishers[channel] = provider
    await town.settle_in(2, channel=channel)
    provider.answers = [Permanent("the mailbox does not exist", code="550 5.1.1", address_dead=True)]
    await town.announce(channels=[channel])
    await town.settle()
    assert await town.states() == {"failed": 1, "sent": 1}
    [(kind, reason)] = await suppressed(town)
    assert kind == "dead" and reason.startswith(words) and reason.endswith("the mailbox does not exist")


async def test_refusal_that_says_nothing_of_the_address_gives_up_nobody(town: Town, mail: Provider) -> None:
    await town.settle_in(1)
    mail.answers = [Permanent("the content was refused", code="554 5.7.1")]
    await town.announce()
    await town.settle()
    assert (await suppressed(town), await town.states()) == ([], {"failed": 1})


async def test_account_of_the_authority_itself_is_never_given_up(town: Town) -> None:
    await town.settle_in(1, channel="mastodon", broadcast=True)
    await town.announce(channels=["mastodon"])
    await town.fan_out()
    order, recipient = (await town.all("SELECT order_id, recipient_id FROM delivery"))[0]
    async with transaction(town.pool) as connection:
        assert await suppressions.suppress(connection, order, {recipient: "gone"}, "dead") == 0
        faults = await suppressions.note_fault(connection, DeliveryId(order, recipient), datetime.now(UTC))
    assert (faults.sent, await suppressed(town)) == ((), [])


async def test_key_that_the_returned_mail_shows_finds_the_delivery_and_silences_nobody(
    town: Town, mail: Provider
) -> None:
    await town.settle_in(1)
    key = await sent(town, mail)
    where = (await address(town)).encode()
    original = (
        b"\n\n------ This is a copy of the message ------\n\nMessage-ID: <%b@valmerande.example>\n" % key.encode()
    )
    assert await comes_back(town, UNKNOWN % (where, where) + original, None) == "bound"
    assert (await suppressed(town), await town.states()) == ([], {"failed": 1})
    assert await comes_back(town, COMPLAINT + original, None) == "ignored"
    assert await suppressed(town) == []


async def test_address_restored_is_written_to_and_what_an_older_mail_meets_does_not_undo_it(
    town: Town, mail: Provider
) -> None:
    await town.settle_in(1)
    key, where = await sent(town, mail), await address(town)
    older = await sent(town, mail, "Foire")
    body = UNKNOWN % (where.encode(), where.encode())
    await comes_back(town, body, key)
    async with transaction(town.pool) as connection:
        assert await suppressions.restore(connection, 1, where, "email", by="an officer", why="she has mended it") == 1
        assert await suppressions.restore(connection, 1, where, "email", by="an officer", why="again") == 0
    await comes_back(town, body + b"older", older)
    assert await suppressed(town) == []
    newer = await sent(town, mail, "Concert")
    await comes_back(town, body + b"newer", newer)
    assert [kind for kind, _ in await suppressed(town)] == ["dead"]
    async with transaction(town.pool) as connection:
        entries = await suppressions.history(connection, 1, where)
    assert [(one.act, one.by, one.why) for one in entries] == [
        ("suppressed", "the hub", None),
        ("restored", "an officer", "she has mended it"),
        ("suppressed", "the hub", None),
    ]


async def test_wish_of_the_owner_outranks_what_servers_said(town: Town, mail: Provider) -> None:
    await town.settle_in(1)
    key, where = await sent(town, mail), await address(town)
    await comes_back(town, UNKNOWN % (where.encode(), where.encode()), key)
    assert await comes_back(town, COMPLAINT, key) == "opted_out"
    assert [kind for kind, _ in await suppressed(town)] == ["complaint"]
    async with transaction(town.pool) as connection:
        assert await optouts.restore(connection, 1, "email", where)
        await suppressions.suppress(connection, 1, {1: "no such address"}, "dead")
    assert await suppressed(town) == []  # the mail is older than the restoring
    await town.do("INSERT INTO suppression (authority_id, channel, address, reason, kind)"
                  " VALUES (1, 'email', $1, 'no such address', 'dead')", where)  # fmt: skip
    async with transaction(town.pool) as connection:
        assert await optouts.suppress(connection, 1, "email", where, "unsubscribed")
        assert not await optouts.suppress(connection, 1, "email", where, "unsubscribed again")
    assert await suppressed(town) == [("left", "unsubscribed")]


async def test_owner_who_comes_back_to_one_stream_revives_a_dead_address_wholly(town: Town) -> None:
    await town.do("INSERT INTO suppression (authority_id, channel, address, reason, kind)"
                  " VALUES (1, 'sms', '+33639980009', 'no such number', 'dead'),"
                  " (1, 'sms', '+33639980008', 'STOP by SMS', 'left')")  # fmt: skip
    async with transaction(town.pool) as connection:
        assert await optouts.restore(connection, 1, "sms", "+33639980009", "information")
        assert await optouts.restore(connection, 1, "sms", "+33639980008", "information")
    assert [tuple(row) for row in await town.all("SELECT address, stream, kind FROM suppression")] == [
        ("+33639980008", "alerts", "left")
    ]


async def test_owner_who_confirms_a_new_subscription_is_written_to_again(town: Town) -> None:
    async with transaction(town.pool) as connection:
        await optouts.suppress(connection, 1, "email", "zoe@courriel.example", "unsubscribed")
        assert await suppressions.confirmed(connection, 1, "email", "zoe@courriel.example")
        assert not await suppressions.confirmed(connection, 1, "email", "zoe@courriel.example")
        entries = await suppressions.history(connection, 1, "zoe@courriel.example")
    assert [(one.act, one.by) for one in entries] == [("suppressed", None), ("restored", None)]
