"""Limits of accounts hold for all workers together, and over a restart: rates by the settings, pauses by providers."""

import asyncio
import random
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from hub.delivery import Deliverer
from hub.limiter import Limiter
from hub.settings import DeliverySettings
from publishers.accounts import Grant, Rate
from publishers.base import NotYet, PostForm, Receipt, Report, Transient, Unclear, Untried
from publishers.rest import Rest
from publishers.smtp.channel import Smtp
from publishers.smtp.options import DomainLimit
from schemas.messages import Message, Post
from store import caps, limits, recipients
from store.database import Pool, open_pool, transaction
from store.recipients import Subscriber
from tests.contract.smtp.scripted import Reply, ScriptedServer
from tests.contract.smtp.sending import options, over, relay
from tests.integration.hub.providers import Provider
from tests.integration.hub.town import DelivererTo, Town

pytestmark = pytest.mark.integration

SIZES = DeliverySettings(batch_size=40, window=20)


class Relays(Provider):
    """A channel over accounts of its own, that keeps to what it is granted. ``by_account`` is what each has taken."""

    def __init__(self, rates: Mapping[str, Rate], weights: Mapping[str, int] | None = None) -> None:
        super().__init__("email")
        self.rates = rates
        self.rest = Rest()
        self.given = dict(weights or {"main": 1})
        self.by_account: list[tuple[float, str]] = []
        self.says: Callable[[Message], Exception | None] = lambda _: None

    def weights(self) -> Mapping[str, int]:
        return {name: weight for name, weight in self.given.items() if not self.rest.left(name)}

    async def publish_many(self, messages: Sequence[Message], report: Report, /) -> None:
        await self.publish_within(messages, report, Grant({}))

    async def publish_within(self, messages: Sequence[Message], report: Report, grant: Grant, /) -> None:
        for message in messages:
            self.asked.append(message.key)
            account = next((name for name in self.weights() if grant.free(name)), None)
            error = self.says(message)
            if account is None:
                left = min((self.rest.left(name) for name in self.given), default=0)
                report(message.key, NotYet("the relay rests", retry_after=left) if left else Untried("none is free"))
            elif isinstance(error, Untried):
                report(message.key, error)
            elif isinstance(error, Transient):
                grant.use(account)
                self.rest.ask(account, error.retry_after, error.reason)
                report(message.key, error)
            else:
                grant.use(account)
                self.by_account.append((time.monotonic(), account))
                self.take(message)
                report(message.key, Receipt(f"ref-{message.key}"))


async def readers(town: Town, addresses: Sequence[str]) -> None:
    async with transaction(town.pool) as connection:
        people = [Subscriber("email", address, "fr", (("travaux", ""),)) for address in addresses]
        await recipients.save(connection, 1, people)


async def waiting(town: Town) -> list[tuple[str, str, bool]]:
    query = "SELECT state, waits_for, not_before > now() AS later FROM batch ORDER BY id"
    return [tuple(row) for row in await town.all(query)]


async def refill(town: Town, seconds: float) -> None:
    """So much time passes for buckets, bookings and pauses, and whatever waits is due."""
    await town.do(
        "UPDATE rate_bucket SET at = at - make_interval(secs => $1), booked = booked - make_interval(secs => $1)",
        seconds,
    )
    await town.do("UPDATE provider_pause SET until = until - make_interval(secs => $1)", seconds)
    await town.let_time_pass()


# --- rates


@pytest.mark.parametrize("seed", range(6))
async def test_bucket_never_gives_more_than_its_burst_and_what_refills_over_two_connections(
    database: str, seed: int
) -> None:
    chance = random.Random(seed)
    rate = Rate(chance.choice([50.0, 400.0, 3000.0]), chance.choice([1, 7, 60]))
    given: list[tuple[float, float, int]] = []
    pools = [await open_pool(database) for _ in range(2)]

    async def worker(pool: Pool, luck: random.Random) -> None:
        limiter = Limiter(Relays({"main": rate}))
        ends = time.monotonic() + 1.0
        while time.monotonic() < ends:
            wanted, asked = luck.randint(1, 40), time.monotonic()
            async with pool.acquire() as connection, connection.transaction():
                await asyncio.sleep(luck.choice([0, 0, 0.002]))  # so that its moment is an old one
                got = 0
                for _ in range(min(wanted, 5)):
                    got += await limiter.take_one(connection, "main") is None
                if got and luck.random() < 0.3:
                    await limiter.give_back(connection, {"main": 1})
                    got -= 1
            given.append((asked, time.monotonic(), got))

    try:
        await asyncio.gather(*(worker(pool, random.Random(seed * 10 + n)) for n, pool in enumerate(pools * 2)))
    finally:
        for pool in pools:
            await pool.close()
    for begin in sorted({asked for asked, _, _ in given}):
        inside = sorted((told, got) for asked, told, got in given if asked >= begin)
        total = 0
        for told, got in inside:
            total += got
            assert total <= rate.burst + (told - begin) * rate.per_second + 1e-6
    assert sum(got for *_, got in given) > rate.burst


async def test_two_workers_keep_the_rate_of_a_relay_together(town: Town, database: str) -> None:
    """The product's own mail channel, two of it, each with a pool of its own as in two processes."""
    count, per_second, burst = 240, 60.0, 30
    await readers(town, [f"lecteur.{n}@courriel.example" for n in range(count)])
    town.sizes = SIZES
    await town.announce()
    await town.fan_out()
    times: list[float] = []
    async with ScriptedServer() as server:
        workers: list[Deliverer] = []
        pools = [await open_pool(database) for _ in range(2)]
        channels = [Smtp(options(server.port, per_second=per_second, burst=burst)) for _ in pools]
        for pool, smtp in zip(pools, channels, strict=True):
            workers.append(DelivererTo(pool, {"email": smtp}, sizes=SIZES))
        by_worker: Counter[int] = Counter()

        async def work(number: int) -> None:
            while len(server.received) < count and time.monotonic() < ends:
                found = await town.all(
                    "UPDATE batch SET state = 'dispatched', lease_until = now() + interval '10 s' WHERE id ="
                    " (SELECT id FROM batch WHERE state = 'waiting' AND not_before <= now() ORDER BY id LIMIT 1"
                    " FOR UPDATE SKIP LOCKED) RETURNING id"
                )
                for row in found:
                    before = len(server.received)
                    await workers[number].deliver(row["id"])
                    by_worker[number] += len(server.received) > before
                times.extend([time.monotonic()] * (len(server.received) - len(times)))
                await asyncio.sleep(0.01)

        began = time.monotonic()
        ends = began + 20
        await asyncio.gather(work(0), work(1))
        took = time.monotonic() - began
        for smtp in channels:
            await smtp.aclose()
        for pool in pools:
            await pool.close()
        assert len(server.received) == len({recipient for recipient, _ in server.received}) == count
    least = (count - burst) / per_second
    assert least * 0.98 <= took <= least * 1.6 + 0.5, "neither faster than the rate, nor much of it wasted"
    for moment in times:
        within = bisect_right(times, moment + 1.0) - bisect_right(times, moment - 1e-9)
        assert within <= burst + per_second * 1.0 + burst, "a window that was granted may reach into the next second"
    assert min(by_worker.values()) >= 1 and len(by_worker) == 2
    assert await town.states() == {"sent": count}


async def test_restart_does_not_fill_the_bucket(town: Town, database: str) -> None:
    await town.settle_in(12)
    town.sizes = SIZES
    rates = {"main": Rate(0.01, 5)}
    first, again = Relays(rates), Relays(rates)
    [batch] = await town.announced_and_dispatched()
    await DelivererTo(town.pool, {"email": first}, sizes=SIZES).deliver(batch)
    assert len(first.accepted) == 4, "one in four is left to what is urgent"
    pool = await open_pool(database)
    await town.let_time_pass()
    await town.dispatch()
    await DelivererTo(pool, {"email": again}, sizes=SIZES).deliver(batch)
    await pool.close()
    assert again.accepted == []
    assert await waiting(town) == [("waiting", "rate limit of main", True)]


async def test_window_takes_what_there_is_and_the_batch_goes_back_until_there_is_more(town: Town) -> None:
    mail = Relays({"main": Rate(1, 8)})
    town.publishers["email"], town.sizes = mail, SIZES
    await town.settle_in(20)
    [batch] = await town.announced_and_dispatched()
    await town.deliver(batch)
    assert await town.states() == {"sent": 6, "queued": 14}
    assert await waiting(town) == [("waiting", "rate limit of main", True)]
    assert await town.one("SELECT in_flight FROM batch") == []
    seconds = await town.one("SELECT extract(epoch FROM not_before - now()) FROM batch")
    assert 3 < seconds <= 4, "half a burst"
    await refill(town, 4)
    await town.run()
    assert await town.states() == {"sent": 10, "queued": 10}
    for _ in range(3):
        await refill(town, 4)
        await town.run()
    assert await town.states() == {"sent": 20}
    assert mail.repeats == 0


async def test_urgent_batch_does_not_wait_behind_what_others_have_booked(town: Town) -> None:
    mail = Relays({"main": Rate(0.01, 8)})
    town.publishers["email"], town.sizes = mail, SIZES
    await town.settle_in(20)
    await town.announce()
    await town.run()
    assert len(mail.accepted) == 6
    order = await town.announce(matter="Crue", lane="urgent")
    await town.run()
    assert await town.states(order) == {"sent": 2, "queued": 18}
    await refill(town, 200)
    await town.run()
    assert await town.states(order) == {"sent": 4, "queued": 16}, "what refills is for the urgent one first"
    assert (await town.states())["sent"] == 10


async def test_tokens_of_mails_that_were_not_handed_over_go_back(town: Town) -> None:
    mail = Relays({"main": Rate(0.001, 50), "@courriel.example": Rate(0.001, 50)})
    mail.says = lambda _: Untried("nobody listens")
    town.publishers["email"], town.sizes = mail, SIZES
    await readers(town, [f"lecteur.{n}@courriel.example" for n in range(10)])
    [batch] = await town.announced_and_dispatched()
    await town.deliver(batch)
    assert mail.accepted == [] and len(mail.asked) == 10
    assert [round(row["tokens"]) for row in await town.all("SELECT tokens FROM rate_bucket")] == [50, 50]
    assert (await waiting(town))[0][:2] == ("waiting", "the provider")


async def test_daily_cap_counts_only_those_whom_the_rate_lets_go(town: Town) -> None:
    mail = Relays({"main": Rate(0.001, 3)})
    town.publishers["email"], town.sizes = mail, SIZES
    async with transaction(town.pool) as connection:
        await caps.limit(connection, 1, "email", 10)
    await town.settle_in(8)
    [batch] = await town.announced_and_dispatched()
    await town.deliver(batch)
    assert await town.states() == {"sent": 3, "queued": 5}
    assert await town.one("SELECT used FROM daily_use") == 3


async def test_domain_with_a_rate_gets_that_of_all_workers_and_the_others_go_on(town: Town) -> None:
    await readers(town, [f"l{n}@{'free' if n % 2 else 'autre'}.example" for n in range(40)])
    town.sizes = DeliverySettings(batch_size=20, window=10)
    await town.announce()
    await town.fan_out()
    async with ScriptedServer() as server:
        smtp = [Smtp(options(server.port, domains={"free.example": DomainLimit(per_minute=60)})) for _ in range(2)]
        for round_, batch in enumerate(await town.all("SELECT id FROM batch ORDER BY id")):
            await town.dispatch()
            worker = DelivererTo(town.pool, {"email": smtp[round_ % 2]}, sizes=town.sizes)
            await worker.deliver(batch["id"])
        to = Counter(recipient.rpartition("@")[2] for recipient, _ in server.received)
        assert to["autre.example"] == 20, "nobody else waits"
        assert to["free.example"] == 8, "ten seconds' worth, of which a quarter (2) is left to what is urgent"
        assert {why for state, why, _ in await waiting(town) if state == "waiting"} == {"rate limit of free.example"}
        town.publishers["email"] = smtp[0]
        for _ in range(12):
            await refill(town, 5)
            await town.run()
        assert await town.states() == {"sent": 40}
        assert len(server.received) == 40
        for one in smtp:
            await one.aclose()


async def test_relays_share_by_weight_within_their_rates_and_the_other_takes_over(town: Town) -> None:
    await readers(town, [f"l{n}@courriel.example" for n in range(20)])
    town.sizes = DeliverySettings(batch_size=20, window=20)
    async with ScriptedServer() as slow, ScriptedServer() as free:
        relays = {"slow": relay(slow.port, weight=3, per_second=0.01, burst=3), "free": relay(free.port, weight=1)}
        town.publishers["email"] = Smtp(over(relays))
        await town.announce()
        await town.run()
        assert (len(slow.received), len(free.received)) == (3, 17)
        await town.publishers["email"].aclose()


async def test_where_no_rate_is_set_nothing_is_asked(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        raise AssertionError("a round trip for nothing")

    for name in ("lock", "keep", "pause", "paused"):
        monkeypatch.setattr(limits, name, never)
    town.publishers["email"] = Relays({})
    await town.settle_in(6)
    await town.announce()
    await town.run()
    assert await town.states() == {"sent": 6}


# --- pauses


async def test_pause_that_one_worker_was_asked_for_is_kept_by_all_and_over_a_restart(town: Town) -> None:
    await town.settle_in(8)
    town.sizes = DeliverySettings(batch_size=4, window=4)
    asked, other, restarted = Relays({}), Relays({}), Relays({})
    asked.says = lambda _: Transient("slow down", code="429", retry_after=60)
    first, second = await town.announced_and_dispatched()
    await DelivererTo(town.pool, {"email": asked}, sizes=town.sizes).deliver(first)
    async with town.pool.acquire() as connection:
        [row] = await limits.paused(connection, "email")
    assert (row.account, row.reason) == ("main", "slow down") and 55 < row.seconds <= 60
    for worker in (other, restarted):
        await DelivererTo(town.pool, {"email": worker}, sizes=town.sizes).deliver(second)
        assert worker.by_account == [] and worker.weights() == {}
        state = await town.all("SELECT state, waits_for, not_before - now() AS wait FROM batch WHERE id = $1", second)
        assert (state[0]["state"], state[0]["waits_for"]) == ("waiting", "the relay rests")
        assert 50 < state[0]["wait"].total_seconds() <= 60
        await town.let_time_pass()
        await town.dispatch()
    assert len(asked.asked) == 4, "one that says it, and those of its window"
    await town.do("UPDATE provider_pause SET until = now()")
    town.publishers["email"] = fresh = Relays({})
    await town.settle()
    assert len(fresh.accepted) == 8
    assert await town.states() == {"sent": 8}


async def test_relay_that_asks_for_a_pause_is_left_alone_by_the_other_worker(town: Town) -> None:
    await readers(town, [f"l{n}@courriel.example" for n in range(8)])
    town.sizes = DeliverySettings(batch_size=4, window=4)
    words = Reply(b"450 4.7.1 Error: too much mail from 192.0.2.1, try again in 40 seconds")

    def script(_: int, verb: str, __: str) -> Reply | None:
        return words if verb == "MAIL" else None

    async with ScriptedServer(script) as server:
        first, second = await town.announced_and_dispatched()
        workers = [Smtp(options(server.port)), Smtp(options(server.port))]
        await DelivererTo(town.pool, {"email": workers[0]}, sizes=town.sizes).deliver(first)
        said = len(server.commands)
        await DelivererTo(town.pool, {"email": workers[1]}, sizes=town.sizes).deliver(second)
        assert len(server.commands) == said, "not a word to a relay that asked for quiet"
        found = await town.all("SELECT waits_for FROM batch WHERE id = $1", second)
        assert found[0]["waits_for"] == "the relay has asked for a pause"
        shown = {"channel": "email", "provider": "main"}
        assert REGISTRY.get_sample_value("tambour_provider_shut", shown) == 1, "an operator sees it"
        for one in workers:
            assert one.shut() == {"main": True}
            await one.aclose()


# --- social networks


class Network:
    """A social network that takes every post, and says so."""

    unclear = Unclear.SEND_AGAIN
    channel = "mastodon"

    def __init__(self, rates: Mapping[str, Rate]) -> None:
        self.limits = replace(Provider().limits, window=10)
        self.rates = rates
        self.rest = Rest()
        self.wall: list[str] = []

    async def form(self, account: str, /) -> PostForm:
        return PostForm(200, threads=True)

    async def publish(self, message: Post, /) -> Receipt:
        self.rest.check(message.account)
        self.wall.append(message.key)
        return Receipt(f"{message.account}-{len(self.wall)}")

    async def aclose(self) -> None:
        pass


async def test_each_post_of_a_thread_takes_of_the_accounts_rate_and_the_rest_goes_on_later(town: Town) -> None:
    network = Network({"valmerande": Rate(0.01, 2)})
    town.publishers["mastodon"] = network
    async with transaction(town.pool) as connection:
        accounts = [Subscriber("mastodon", name, "fr", broadcast=True) for name in ("valmerande", "marche")]
        await recipients.save(connection, 1, accounts)
    words = "Rue des Tisserands barrée du 4 au 8, déviation par le quai Vauclair. " * 8
    await town.announce(channels=["mastodon"], body={"fr": words})
    await town.run()
    posts = Counter(int(key.partition("-")[2].partition(".")[0]) for key in network.wall)
    assert sorted(posts.values())[0] == 2 and sorted(posts.values())[1] > 3, "the other account has no limit"
    assert (await waiting(town))[0] == ("waiting", "rate limit of valmerande", True)
    seconds = await town.one("SELECT extract(epoch FROM not_before - now()) FROM batch WHERE state = 'waiting'")
    assert 90 < seconds <= 100, "until there is a token"
    for _ in range(6):
        await refill(town, 100)
        await town.run()
    assert await town.states() == {"sent": 2}
    assert len(network.wall) == len(set(network.wall)), "a thread without a second head"


async def test_account_that_rests_holds_up_no_other_and_costs_no_try(town: Town) -> None:
    network = Network({})
    town.publishers["mastodon"] = network
    async with transaction(town.pool) as connection:
        accounts = [Subscriber("mastodon", name, "fr", broadcast=True) for name in ("valmerande", "marche")]
        await recipients.save(connection, 1, accounts)
        await limits.pause(connection, "mastodon", [limits.Paused("valmerande", 600, "remaining 0")])
    await town.announce(channels=["mastodon"])
    await town.run()
    assert await town.states() == {"sent": 1, "queued": 1}
    assert sorted(row["tries"] for row in await town.all("SELECT tries FROM delivery")) == [0, 1]
    assert (await waiting(town))[0][0] == "waiting"
    network.rest = Rest()
    await town.do("UPDATE provider_pause SET until = now()")
    town.publishers["mastodon"] = Network({})
    await town.settle()
    assert await town.states() == {"sent": 2}
