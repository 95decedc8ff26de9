"""What is re-read before each window: an opt-out, a withdrawal, a hold … holds for all but the window being sent."""

from collections.abc import Awaitable, Callable

import pytest

from hub.withdrawal import withdraw
from store import caps, holds, optouts
from store.database import Connection, transaction
from tests.integration.hub.providers import Provider
from tests.integration.hub.town import Town, message, notice

pytestmark = pytest.mark.integration

Change = Callable[[Connection], Awaitable[object]]


async def between_windows(town: Town, mail: Provider, change: Change) -> list[int]:
    """Send a batch of four in windows of two; ``change`` is committed while the first is under way."""
    people = await town.settle_in(4)
    [batch] = await town.announced_and_dispatched()

    async def once(_: object) -> None:
        mail.before = None
        async with transaction(town.pool) as connection:
            await change(connection)

    mail.before = once
    await town.deliver(batch)
    return people


async def address(connection: Connection, recipient: int) -> str:
    found: str = await connection.fetchval("SELECT address FROM recipient WHERE id = $1", recipient)
    return found


async def test_opt_out_between_windows_holds_for_the_next(town: Town, mail: Provider) -> None:
    async def opt_out(connection: Connection) -> None:
        for recipient in (1, 3):
            await optouts.suppress(connection, 1, "email", await address(connection, recipient), "unsubscribed")

    people = await between_windows(town, mail, opt_out)
    states = await town.all("SELECT recipient_id, standing % 16 AS state FROM delivery ORDER BY 1")
    assert people == [1, 2, 3, 4]
    assert [row["state"] for row in states] == [7, 7, 5, 7], "1 was in the window being sent"
    assert await town.one("SELECT reason FROM fact WHERE recipient_id = 3") == "unsubscribed"
    assert len(mail.accepted) == 3


async def test_opt_out_binds_the_address_though_the_recipient_comes_back(town: Town, mail: Provider) -> None:
    [person] = await town.settle_in(1)
    async with transaction(town.pool) as connection:
        where = await address(connection, person)
        await optouts.suppress(connection, 1, "email", where, "unsubscribed")
        await connection.execute("DELETE FROM recipient WHERE id = $1", person)
        await connection.execute(
            "INSERT INTO recipient (authority_id, channel, address) VALUES (1, 'email', $1)", where
        )
        await connection.execute("INSERT INTO subscription SELECT id, 'travaux', '' FROM recipient")
    await town.announce()
    await town.settle()
    assert await town.states() == {"suppressed": 1}
    assert mail.asked == []


async def test_withdrawal_between_windows_holds_for_the_next(town: Town, mail: Provider) -> None:
    await between_windows(town, mail, lambda connection: withdraw(connection, 1, reason="by mistake", silent=True))
    assert await town.states() == {"sent": 2, "withdrawn": 2}
    assert await town.one("SELECT state FROM batch") == "done"
    assert await town.one("SELECT DISTINCT reason FROM fact") == "withdrawn"


async def test_correction_between_windows_holds_for_the_next(town: Town, mail: Provider) -> None:
    async def correct(connection: Connection) -> None:
        await town.take_in(message(notice(revision=2, action="update")))

    await between_windows(town, mail, correct)
    assert await town.states(1) == {"sent": 2, "withdrawn": 2}
    assert await town.one("SELECT DISTINCT reason FROM fact") == "superseded"
    await town.settle()
    assert await town.states(2) == {"sent": 4}


async def test_expiry_between_windows_holds_for_the_next(town: Town, mail: Provider) -> None:
    await between_windows(
        town, mail, lambda connection: connection.execute("UPDATE delivery_order SET expires = clock_timestamp()")
    )
    assert await town.states() == {"sent": 2, "expired": 2}


@pytest.mark.parametrize(
    ("scope", "key"), [("hub", ""), ("authority", "96001"), ("channel", "email"), ("announcement", "1")]
)
async def test_hold_between_windows_holds_for_the_next_until_it_is_released(
    town: Town, mail: Provider, scope: str, key: str
) -> None:
    await between_windows(town, mail, lambda connection: holds.place(connection, scope, key, "panne"))
    assert await town.states() == {"sent": 2, "queued": 2}
    assert await town.one("SELECT waits_for FROM batch") == f"hold on {scope}: panne"
    await town.run()
    assert await town.states() == {"sent": 2, "queued": 2}, "it is not even dispatched"
    assert await town.one("SELECT state FROM batch") == "waiting"
    async with transaction(town.pool) as connection:
        assert await holds.release(connection, scope, key)
    await town.run()
    assert await town.states() == {"sent": 4}
    assert mail.repeats == 0


@pytest.mark.parametrize(
    ("scope", "key"), [("authority", "96002"), ("channel", "sms"), ("announcement", "2"), ("announcement", "96001")]
)
async def test_hold_of_something_else_holds_nothing_here(town: Town, mail: Provider, scope: str, key: str) -> None:
    await between_windows(town, mail, lambda connection: holds.place(connection, scope, key, "panne"))
    assert await town.states() == {"sent": 4}


async def test_withdrawn_while_held_is_never_sent_after_the_release(town: Town, mail: Provider) -> None:
    await between_windows(town, mail, lambda connection: holds.place(connection, "hub", "", "panne"))
    async with transaction(town.pool) as connection:
        await withdraw(connection, 1, reason="published by mistake", silent=True)
        await holds.release(connection, "hub", "")
    await town.settle()
    assert await town.states() == {"sent": 2, "withdrawn": 2}


async def test_daily_cap_is_never_exceeded_and_the_rest_waits_for_the_next_day(town: Town, mail: Provider) -> None:
    async with transaction(town.pool) as connection:
        await caps.limit(connection, 1, "email", 2)
    await town.settle_in(4)
    [batch] = await town.announced_and_dispatched()
    await town.deliver(batch)
    assert await town.states() == {"sent": 2, "queued": 2}
    row = (await town.all("SELECT state, waits_for, not_before > now() AS later FROM batch"))[0]
    assert tuple(row) == ("waiting", "daily cap", True)
    for _ in range(3):
        await town.let_time_pass()
        await town.run()
    assert len(mail.accepted) == 2
    await town.do("UPDATE daily_use SET day = day - 1")
    await town.settle()
    assert await town.states() == {"sent": 4}


@pytest.mark.parametrize("cap", [0, 1, 3])
async def test_cap_smaller_than_a_window_lets_as_many_go(town: Town, mail: Provider, cap: int) -> None:
    async with transaction(town.pool) as connection:
        await caps.limit(connection, 1, "email", cap)
    await town.settle_in(4)
    await town.announce()
    await town.run()
    assert len(mail.accepted) == cap
    assert await town.states() == {state: n for state, n in (("sent", cap), ("queued", 4 - cap)) if n}


async def test_cap_holds_over_batches_sent_at_once(town: Town, mail: Provider) -> None:
    import asyncio

    async with transaction(town.pool) as connection:
        await caps.limit(connection, 1, "email", 10)
    await town.settle_in(24)
    batches = await town.announced_and_dispatched()
    await asyncio.gather(*(town.deliver(batch) for batch in batches))
    assert len(mail.accepted) == 10


async def test_cap_of_one_channel_or_authority_is_its_own(town: Town, mail: Provider) -> None:
    neighbour = await town.found("96002", "Les Aulnes")
    async with transaction(town.pool) as connection:
        await caps.limit(connection, 1, "sms", 1)
        await caps.limit(connection, neighbour, "email", 1)
    await town.settle_in(4)
    await town.announce()
    await town.settle()
    assert await town.states() == {"sent": 4}


async def test_new_authority_writes_to_its_allow_list_only(town: Town, mail: Provider) -> None:
    new = await town.found("96003", "Orvelle", restricted=True)
    people = await town.settle_in(3, authority=new)
    await town.do("UPDATE recipient SET allow_listed = true WHERE id = $1", people[0])
    await town.announce(authority="96003")
    await town.settle()
    assert await town.states() == {"sent": 1, "suppressed": 2}
    assert await town.one("SELECT DISTINCT reason FROM fact") == "not on the allow-list"


async def test_cancellation_itself_is_sent_though_the_announcement_is_withdrawn(town: Town, mail: Provider) -> None:
    await town.settle_in(2)
    await town.announce()
    await town.settle()
    cancellation = await town.announce(revision=2, action="cancel")
    await town.settle()
    assert await town.states(cancellation) == {"sent": 2}
