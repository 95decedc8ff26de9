"""Posts on networks while something else happens: newer versions, officers, lost answers, limits, other owners.

The network's answers are the test's to choose; what is committed, and when, is the product's on a real database.
"""

import asyncio
import io
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest
from PIL import Image, ImageDraw

from hub.decisions import Decision, decide
from hub.withdrawal import withdraw
from publishers.base import Limits, Permanent, PostForm, PublishError, Receipt, Transient, Unclear, Unknown, Untried
from schemas.deliveries import DeliveryId
from schemas.messages import Post
from store import caps, pictures, posts, recipients, schedule
from store.database import transaction
from store.pictures import Entry
from store.recipients import Subscriber
from tests.integration.hub.town import Town

pytestmark = pytest.mark.integration

LONG = {"fr": "Rue des Tisserands barrée du 4 au 8, déviation par le quai Vauclair. " * 14}

Before = Callable[[Post], Awaitable[None]]


class Network:
    """A social network whose every answer a test chooses; ``wall`` is what its readers see, by reference.

    It can delete and not edit. ``lost``: so many posts are taken and not answered. ``errors``: for the next ones.
    """

    limits = Limits(window=10, concurrency=4)

    def __init__(self, channel: str, unclear: Unclear, *, deduplicates: bool = False) -> None:
        self.channel = channel
        self.unclear = unclear
        self.deduplicates = deduplicates
        self.wall: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        self.errors: list[PublishError] = []
        self.lost = 0
        self.before: Before | None = None
        self.published = 0

    async def form(self, account: str, /) -> PostForm:
        return PostForm(300, threads=True)

    async def publish(self, message: Post, /) -> Receipt:
        if self.before is not None:
            await self.before(message)
        if self.errors:
            raise self.errors.pop(0)
        if self.deduplicates and message.key in self.keys:
            return Receipt(self.keys[message.key])
        self.published += 1
        reference = f"{self.channel}-{self.published}"
        self.keys[message.key] = reference
        self.wall[reference] = message.text
        if self.lost:
            self.lost -= 1
            raise Unknown("no answer came")
        return Receipt(reference)

    async def delete(self, reference: str, account: str, /) -> None:
        self.wall.pop(reference, None)

    async def aclose(self) -> None:
        return None


class Searched(Network):
    """It can be searched as well. ``closed``: what is said instead."""

    key_kept = timedelta(minutes=55)
    closed: PublishError | None = None

    async def find(self, message: Post, since: datetime, /) -> Receipt | None:
        if self.closed is not None:
            raise self.closed
        found = [reference for reference, text in self.wall.items() if text == message.text]
        return Receipt(found[0]) if found else None


async def settled_on(town: Town, network: Network) -> None:
    town.publishers[network.channel] = network
    async with transaction(town.pool) as connection:
        await recipients.save(connection, 1, [Subscriber(network.channel, "valmerande", "fr", broadcast=True)])


async def withdrawn(town: Town) -> None:
    async with transaction(town.pool) as connection:
        announcement = await connection.fetchval("SELECT max(id) FROM announcement")
        await withdraw(connection, announcement, reason="wrong street", silent=True)


async def test_nothing_of_a_thread_stays_when_it_is_withdrawn_while_it_goes_out(town: Town) -> None:
    """The owner of version 1 posts on after version 2 has taken back what was out when it was planned."""
    network = Network("x", Unclear.WAIT)
    await settled_on(town, network)
    [batch] = await town.announced_and_dispatched(channels=["x"], body=LONG)
    second, go_on = asyncio.Event(), asyncio.Event()

    async def pause(message: Post) -> None:
        if network.published == 1:
            second.set()
            await go_on.wait()

    network.before = pause
    sending = asyncio.create_task(town.deliver(batch))
    await asyncio.wait_for(second.wait(), 10)
    await withdrawn(town)
    await town.run()
    go_on.set()
    await sending
    await town.settle()
    assert not network.wall


async def test_a_post_under_way_is_corrected_by_the_version_that_comes_meanwhile(town: Town) -> None:
    network = Searched("mastodon", Unclear.SEND_AGAIN, deduplicates=True)
    await settled_on(town, network)
    [batch] = await town.announced_and_dispatched(channels=["mastodon"])
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def pause(message: Post) -> None:
        under_way.set()
        await go_on.wait()

    network.before = pause
    sending = asyncio.create_task(town.deliver(batch))
    await asyncio.wait_for(under_way.wait(), 10)
    network.before = None
    await withdrawn(town)
    await town.run()
    go_on.set()
    await sending
    await town.settle()
    assert not network.wall


@pytest.mark.parametrize("then", [Untried("nobody listens"), Transient("too many requests", retry_after=5)])
async def test_a_post_of_lost_answer_stays_unclear_when_the_next_try_is_not_taken(town: Town, then: Transient) -> None:
    network = Searched("mastodon", Unclear.SEND_AGAIN, deduplicates=True)
    network.lost, network.errors = 1, []
    await settled_on(town, network)
    await town.announce(channels=["mastodon"])
    await town.run()
    assert len(network.wall) == 1
    network.errors = [then]
    await town.let_time_pass()
    await town.run()
    assert not network.errors, "the next try was made"
    await withdrawn(town)
    await town.settle()
    assert not network.wall


async def test_a_forgotten_key_is_searched_for_though_a_later_try_was_refused(town: Town) -> None:
    """G4: drop, then the server is down for an hour, then the key is forgotten."""
    network = Searched("mastodon", Unclear.SEND_AGAIN, deduplicates=True)
    network.lost = 1
    await settled_on(town, network)
    await town.announce(channels=["mastodon"])
    await town.run()
    network.errors = [Untried("nobody listens")]
    await town.let_time_pass()
    await town.run()
    network.keys.clear()
    await town.do("UPDATE post SET begun_at = begun_at - interval '2 hours'")
    await town.settle()
    assert len(network.wall) == 1


async def test_a_lost_answer_is_taken_back_where_sending_again_would_tell_its_reference(town: Town) -> None:
    """Bluesky can't be searched, and needs not: the same record under the same key tells its reference."""
    network = Network("bluesky", Unclear.SEND_AGAIN, deduplicates=True)
    network.lost = 1
    await settled_on(town, network)
    await town.announce(channels=["bluesky"])
    await town.run()
    assert len(network.wall) == 1
    await withdrawn(town)
    await town.settle()
    assert not network.wall


async def test_a_network_that_can_not_be_read_is_told_the_correction_nevertheless(town: Town) -> None:
    network = Searched("x", Unclear.LOOK_UP)
    network.closed = Permanent("the plan doesn't let the account read", code="cannot_look_up")
    network.lost = 1
    await settled_on(town, network)
    await town.announce(channels=["x"])
    await town.settle()
    order = await town.announce(channels=["x"], revision=2, action="update", headline={"fr": "Quai Vauclair barré"})
    await town.settle()
    assert await town.states(order) != {"failed": 1}
    assert any("uai Vauclair barré" in text for text in network.wall.values())


async def test_withdrawing_says_nothing_where_nothing_was_said(town: Town) -> None:
    """Begun, and surely not taken; then withdrawn as it should never have been said."""
    network = Network("x", Unclear.WAIT)
    network.errors = [Transient("too many requests")]
    await settled_on(town, network)
    await town.announce(channels=["x"])
    await town.run()
    assert not network.wall
    await withdrawn(town)
    await town.settle()
    assert not network.wall


async def test_a_database_away_after_the_call_leaves_the_post_to_an_officer(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing deduplicates or can be asked: "neither repeated nor looked for, an officer looks"."""
    network = Network("telegram", Unclear.WAIT)
    await settled_on(town, network)
    done, times = posts.done, iter([OSError("the database went away")])

    async def once(*arguments: object) -> None:
        for error in times:
            raise error
        await done(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(posts, "done", once)
    await town.announce(channels=["telegram"])
    await town.settle()
    assert network.published == 1


async def test_a_thread_counts_once_against_the_daily_cap(town: Town) -> None:
    """Else its head is out today and its end tomorrow."""
    network = Network("x", Unclear.WAIT)
    await settled_on(town, network)
    async with transaction(town.pool) as connection:
        await caps.limit(connection, 1, "x", 1)
    turn_is_over = [Untried("the rest of the thread goes out in the next turn")]

    async def second_in_the_next_turn(message: Post) -> None:
        if network.published == 1 and turn_is_over:
            raise turn_is_over.pop()

    network.before = second_in_the_next_turn
    await town.announce(channels=["x"], body=LONG)
    for _ in range(5):
        await town.run()
        await town.let_time_pass()
    assert len(network.wall) >= 1
    assert await town.states() == {"sent": 1}


async def test_what_was_never_handed_over_uses_up_nothing_of_the_daily_cap(town: Town) -> None:
    network = Network("x", Unclear.WAIT)
    network.errors = [Untried("nobody listens")] * 3
    await settled_on(town, network)
    async with transaction(town.pool) as connection:
        await caps.limit(connection, 1, "x", 2)
    await town.announce(channels=["x"])
    for _ in range(6):
        await town.run()
        await town.let_time_pass()
    assert await town.states() == {"sent": 1}


async def test_a_thread_whose_head_is_out_is_not_called_never_handed_over(town: Town) -> None:
    network = Network("x", Unclear.WAIT)
    await settled_on(town, network)

    async def second_waits(message: Post) -> None:
        if network.published:
            raise Untried("nobody listens")

    network.before = second_waits
    order = await town.announce(channels=["x"], body=LONG)
    await town.run()
    assert len(network.wall) == 1
    await town.let_it_expire(order)
    await town.settle()
    assert await town.states(order) != {"expired": 1}


async def test_an_officer_who_says_that_a_part_arrived_does_not_end_the_thread(town: Town) -> None:
    network = Network("telegram", Unclear.WAIT)
    await settled_on(town, network)

    async def second_is_lost(message: Post) -> None:
        network.lost = int(network.published == 1)

    network.before = second_is_lost
    order = await town.announce(channels=["telegram"], body=LONG)
    await town.settle()
    assert await town.states() == {"unknown": 1} and len(network.wall) == 2
    network.before = None
    [recipient] = await town.audience(order)
    async with transaction(town.pool) as connection:
        await decide(connection, DeliveryId(order, recipient), Decision.ARRIVED, "part 2 is on the channel")
    await town.settle()
    parts = await town.one("SELECT count(*) FROM post")
    assert len(network.wall) == parts


async def test_an_officer_and_the_clock_do_not_both_send_again(town: Town) -> None:
    """The clock's transaction is open, and takes the delivery's due row, while the officer decides."""
    network = Network("x", Unclear.WAIT)
    network.errors = [Transient("too many requests")]
    await settled_on(town, network)
    order = await town.announce(channels=["x"])
    await town.run()
    assert await town.states() == {"retrying": 1}
    [recipient] = await town.audience(order)
    await town.do("UPDATE due SET at = clock_timestamp()")

    async def officer() -> None:
        async with transaction(town.pool) as connection:
            await decide(connection, DeliveryId(order, recipient), Decision.AGAIN, "now")

    async with transaction(town.pool) as connection:
        await schedule.requeue_due(connection, 10)
        deciding = asyncio.create_task(officer())
        while not await town.one("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not deciding.done()
            await asyncio.sleep(0.01)
    await asyncio.gather(deciding, return_exceptions=True)
    assert await town.one("SELECT count(*) FROM batch WHERE state <> 'done'") == 1


async def test_a_stale_owner_does_not_reopen_what_another_has_done(town: Town) -> None:
    network = Network("x", Unclear.WAIT)
    await settled_on(town, network)
    order = await town.announce(channels=["x"])
    await town.settle()
    [recipient] = await town.audience(order)
    async with transaction(town.pool) as connection:
        await posts.begin(connection, order, recipient, 1, 1)
    assert await town.one("SELECT open FROM post") is False


async def test_what_the_emitter_mends_after_a_withdrawal_is_told(town: Town) -> None:
    """The withdrawal took the number of the emitter's next revision."""
    network = Network("x", Unclear.WAIT)
    await settled_on(town, network)
    await town.announce(channels=["x"])
    await town.settle()
    await withdrawn(town)
    await town.settle()
    await town.announce(channels=["x"], revision=2, action="update", headline={"fr": "La bonne rue"})
    await town.settle()
    assert "superseded" not in await town.outcomes()


async def test_a_post_with_large_plans_ends(town: Town) -> None:
    """Preparing them takes longer than a turn; each turn begins anew, and no limit of tries is ever met."""
    network = Pictured("mastodon", Unclear.SEND_AGAIN, deduplicates=True)
    await settled_on(town, network)
    async with transaction(town.pool) as connection:
        for name in ("plan-1", "plan-2"):
            await pictures.save(connection, 1, Entry(name, plan(), "image/png", 4096, 4096, {"fr": "Plan"}, "Ville"))
    await town.announce(channels=["mastodon"], pictures=["plan-1", "plan-2"])
    for _ in range(4):
        await town.run()
        await town.let_time_pass()
    assert await town.states() == {"sent": 1}


class Pictured(Network):
    async def form(self, account: str, /) -> PostForm:
        return PostForm(500, threads=True, pictures=4)


def plan() -> bytes:
    """A map as a planning office draws it: 4,096 pixels a side."""
    image, chance = Image.new("RGB", (4096, 4096), "white"), random.Random(1)
    pen = ImageDraw.Draw(image)
    for _ in range(6000):
        x, y = chance.randrange(4096), chance.randrange(4096)
        end = (x + chance.randrange(-300, 300), y + chance.randrange(-300, 300))
        pen.line((x, y, *end), fill=(chance.randrange(256), 80, 120), width=chance.randrange(1, 12))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
