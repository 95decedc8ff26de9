"""A small town whose whole path runs on a real database, driven step by step instead of by Kafka.

``carry`` stands where relay, broker and agents do: a message is forgotten only once it has been dealt with, and can
be dealt with twice. Time passes when a test says so, by moving the rows that wait for it.
"""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, HttpUrl, SecretStr

from hub.composing import Composer
from hub.delivery import Deliverer
from hub.fanout import fan_out
from hub.intake import TOPICS, Incoming, Intake
from hub.posting import poster
from hub.receipts import bind_all
from hub.rendering import Renderer
from hub.settings import DeliverySettings, LinkSettings
from hub.studio import Studio
from publishers.base import Publisher, Publishes
from schemas.authorities import Identity
from schemas.cloudevents import CloudEvent, encode_structured
from schemas.deliveries import ENDS, State
from schemas.lanes import Lane
from store import authorities, outbox, receipts, recipients, schedule, tallies, totals
from store.database import Connection, Pool, transaction
from store.recipients import Subscriber

LINKS = LinkSettings(
    public_url=HttpUrl("http://127.0.0.1:8470"),
    secret=SecretStr("a secret of the tests, long enough"),
    bounce_domain="bounces.valmerande.example",
)
RULES = """\
type;severity;areas;themes;lane;channels;languages;template
road-works;*;*;travaux,transports;routine;email;*;*
flood-vigilance;>=Severe;*;alertes;urgent;email,sms;*;*
notice;*;*;*;routine;email;*;*
"""
AREAS = {"centre": "Centre", "tanneries": "Tanneries", "gare": "Gare"}
THEMES = ("alertes", "travaux", "transports", "conseil")
_RENDERER = Renderer()
_STUDIO = Studio()
_numbers = itertools.count(1)


def identity(name: str = "Valmerande") -> Identity:
    domain = f"{name.lower().replace(' ', '-')}.example"
    return Identity.model_validate(
        {
            "name": f"Ville de {name}",
            "short_name": name,
            "mail_from": f"annonces@{domain}",
            "list_id": f"annonces.{domain}",
            "website": f"https://www.{domain}/",
            "postal_address": f"Mairie, place du Marché, {name}",
            "sms_sender": "+33639980001",
        }
    )


def notice(**changes: Any) -> dict[str, Any]:
    """The data of an officer's notice, to everybody who follows works, by mail."""
    now = datetime.now(UTC)
    return {
        "authority": "96001",
        "matter": "Marché",
        "revision": 1,
        "onset": (now - timedelta(hours=1)).isoformat(),
        "expires": (now + timedelta(days=3)).isoformat(),
        "headline": {"fr": "Rue des Tisserands barrée"},
        "body": {"fr": "Déviation par le quai Vauclair."},
        "themes": ["travaux"],
    } | changes


def message(
    data: Any,
    *,
    id: str | None = None,
    type: str = "fr.tambour.notice",
    time: datetime | None = None,
    key: bytes | None = None,
    offset: int | None = None,
    topic: str = TOPICS[0],
) -> Incoming:
    """An event as it comes from Kafka, at an offset of its own unless told otherwise."""
    number = next(_numbers)
    event = CloudEvent(
        id=id or f"event-{number}", source="/tests", type=type, time=time or datetime.now(UTC), data=data
    )
    value, headers = encode_structured(event)
    return raw(value, key=key, offset=number if offset is None else offset, headers=tuple(headers), topic=topic)


def raw(
    value: bytes | None,
    *,
    key: bytes | None = None,
    offset: int | None = None,
    headers: tuple[tuple[str, bytes], ...] = (),
    topic: str = TOPICS[0],
) -> Incoming:
    """Any bytes, as they come from Kafka."""
    return Incoming(topic, 0, next(_numbers) if offset is None else offset, key, value, headers)


class _Options(BaseModel):
    """Of a channel whose publisher is given."""


class DelivererTo(Deliverer):
    """The product's deliverer, over publishers that are given instead of opened."""

    def __init__(self, pool: Pool, publishers: Mapping[str, Publisher[Any]], **options: Any) -> None:
        usual: dict[str, Any] = {
            "owner": "a worker",
            "composer": Composer(_RENDERER, LINKS),
            "channels": {name: _Options() for name in publishers},
            "sizes": DeliverySettings(),
        }
        super().__init__(pool, **usual | options)
        self._studio = _STUDIO  # a worker's lasts as long as it; the town's workers end with each step
        for name, publisher in publishers.items():
            self._publishers[name] = (
                poster(pool, publisher, self._studio) if isinstance(publisher, Publishes) else publisher
            )


@dataclass
class Town:
    """Valmerande over one database."""

    pool: Pool
    publishers: dict[str, Publisher[Any]] = field(default_factory=dict)
    sizes: DeliverySettings = field(default_factory=lambda: DeliverySettings(batch_size=4, window=2))
    max_age: timedelta = timedelta(hours=24)
    known_lost: int = 0
    """Deliveries that a test has left unaccounted on purpose."""

    # --- who lives there

    async def found(
        self, code: str = "96001", name: str = "Valmerande", *, rules: str | None = RULES, restricted: bool = False
    ) -> int:
        """An authority with areas, themes and rules; returns its row."""
        async with transaction(self.pool) as connection:
            authority = await authorities.save(
                connection,
                code=code,
                name=name,
                identity=identity(name),
                time_zone="Europe/Paris",
                languages=("fr", "en"),
                areas=AREAS,
                themes={theme: {"fr": theme} for theme in THEMES},
                restricted=restricted,
            )
            if rules is not None:
                await authorities.save_rules(connection, authority, "rules.csv", rules)
        return authority

    async def settle_in(
        self,
        count: int,
        *subscriptions: tuple[str, str],
        channel: str = "email",
        authority: int = 1,
        prefix: str = "habitant",
        broadcast: bool = False,
    ) -> list[int]:
        """So many new recipients; without subscriptions they follow works, everywhere. Returns their ids."""
        wanted = subscriptions or (() if broadcast else (("travaux", ""),))
        places = [_address(channel, prefix) for _ in range(count)]
        async with transaction(self.pool) as connection:
            await recipients.save(
                connection, authority, [Subscriber(channel, place, "fr", wanted, broadcast) for place in places]
            )
            rows = await connection.fetch(
                "SELECT id FROM recipient WHERE authority_id = $1 AND address = ANY($2::text[]) ORDER BY id",
                authority,
                places,
            )
        return [row["id"] for row in rows]

    # --- the path

    async def take_in(self, *messages: Incoming) -> int:
        return await Intake(self.pool, max_age=self.max_age).take_in(messages)

    async def announce(self, **changes: Any) -> int:
        """Take a notice in; returns its first order."""
        await self.take_in(message(notice(**changes)))
        return int(await self.one("SELECT max(id) FROM delivery_order"))

    async def announced_and_dispatched(self, **changes: Any) -> list[int]:
        """Take a notice in, fan it out and dispatch its batches, which nobody has claimed; returns them."""
        order = await self.announce(**changes)
        await self.fan_out()
        await self.dispatch()
        return [row["id"] for row in await self.all("SELECT id FROM batch WHERE order_id = $1 ORDER BY id", order)]

    async def fan_out(self) -> None:
        """Read every order's audience to its end."""
        for row in await self.all("SELECT id, lane FROM delivery_order WHERE fanned_out_at IS NULL ORDER BY id"):
            while not await fan_out(self.pool, row["id"], Lane(row["lane"]), page_size=self.sizes.batch_size):
                pass

    async def dispatch(self, depth: int = 100) -> int:
        async with self.pool.acquire() as connection:
            roads = await schedule.roads_with_work(connection)
        dispatched = 0
        for family, lane in roads:
            async with transaction(self.pool) as connection:
                dispatched += await schedule.dispatch(connection, family, lane, depth)
        return dispatched

    def deliverer(self, **options: Any) -> Deliverer:
        return DelivererTo(self.pool, self.publishers, **{"sizes": self.sizes} | options)

    async def deliver(self, batch: int, **options: Any) -> None:
        await self.deliverer(**options).deliver(batch)

    async def carry(self, *, times: int = 1) -> int:
        """Deal with every message of the outbox, ``times`` times each, then forget it; returns how many."""
        deliverer = self.deliverer()
        async with self.pool.acquire() as connection:
            rows = await outbox.take(connection, 10_000)
        for row, one in rows:
            for _ in range(times):
                await self._deal(deliverer, one)
            async with self.pool.acquire() as connection:
                await outbox.remove(connection, [row])
        return len(rows)

    async def _deal(self, deliverer: Deliverer, one: outbox.Outgoing) -> None:
        if one.topic.startswith("tambour.orders."):
            lane = Lane(one.topic.rpartition(".")[2])
            await fan_out(self.pool, json.loads(one.value)["order"], lane, page_size=self.sizes.batch_size)
        elif one.topic.startswith("tambour.batches."):
            await deliverer.deliver(json.loads(one.value)["batch"])
        elif one.topic == receipts.TOPIC:
            await bind_all(self.pool, receipts.ids_of(one.value))
        elif one.topic in TOPICS:
            await self.take_in(raw(one.value, key=one.key, headers=one.headers, topic=one.topic))

    async def run(self) -> None:
        """Everything that can happen before any more time passes."""
        for _ in range(100):
            moved = await self.carry()
            async with transaction(self.pool) as connection:
                moved += len(await schedule.requeue_due(connection, self.sizes.batch_size))
            if not moved + await self.dispatch():
                await self.tally()
                return
        raise AssertionError("the town never comes to rest without time passing")

    async def tally(self) -> int:
        """Count the orders on which nobody works any more, as the clock does; returns how many."""
        async with self.pool.acquire() as connection:
            return sum([await tallies.tally(connection, order) for order in await tallies.ready(connection)])

    async def settle(self, *, rounds: int = 30) -> None:
        """Run, and let time pass, until every delivery has ended or waits for an officer."""
        for _ in range(rounds):
            await self.run()
            if not await self.let_time_pass():
                return
            await self._until_pauses_end()
            await self.do("UPDATE fact SET at = at - interval '11 minutes' WHERE state = 6")
        raise AssertionError(f"something is still under way: {await self.states()}")

    async def _until_pauses_end(self) -> None:
        """A provider's pause is kept in memory too, by the real clock: no row of ours makes it shorter."""
        async with asyncio.timeout(10):
            while await self.one("SELECT count(*) FROM provider_pause WHERE until > now()"):
                await asyncio.sleep(0.02)

    # --- time

    async def let_time_pass(self) -> int:
        """Retries, resolutions and pauses are over, and so are leases; returns for how many rows."""
        moved = 0
        async with transaction(self.pool) as connection:
            for statement in (
                "UPDATE due SET at = clock_timestamp() WHERE kind <> 'officer' AND at > clock_timestamp()",
                "UPDATE batch SET not_before = now() WHERE state = 'waiting' AND not_before > now()",
            ):
                moved += _count(await connection.execute(statement))
        return moved + await self.let_leases_end()

    async def let_leases_end(self) -> int:
        """Every batch that was dispatched or claimed is offered again; returns how many."""
        async with transaction(self.pool) as connection:
            await connection.execute("UPDATE batch SET lease_until = now() WHERE state IN ('dispatched', 'claimed')")
            return await schedule.dispatch_lost(connection)

    async def let_it_expire(self, order: int) -> None:
        await self.do("UPDATE delivery_order SET expires = now() WHERE id = $1", order)
        await self.do("UPDATE due SET at = now() WHERE order_id = $1", order)

    # --- what is seen

    async def one(self, query: str, *arguments: Any) -> Any:
        async with self.pool.acquire() as connection:
            return await connection.fetchval(query, *arguments)

    async def all(self, query: str, *arguments: Any) -> list[Any]:
        async with self.pool.acquire() as connection:
            found: list[Any] = await connection.fetch(query, *arguments)
            return found

    async def do(self, statement: str, *arguments: Any) -> None:
        async with self.pool.acquire() as connection:
            await connection.execute(statement, *arguments)

    async def states(self, order: int | None = None) -> dict[str, int]:
        """How many deliveries are in each state, by its word."""
        rows = await self.all("SELECT standing FROM delivery WHERE $1::bigint IS NULL OR order_id = $1", order)
        return dict(Counter(State(row["standing"] % 16).word for row in rows))

    async def outcomes(self) -> list[str]:
        return [row["outcome"] for row in await self.all("SELECT outcome FROM event ORDER BY id")]

    async def letters(self) -> list[str]:
        return [row["reason"] for row in await self.all("SELECT reason FROM dead_letter ORDER BY id")]

    async def audience(self, order: int) -> list[int]:
        query = "SELECT recipient_id FROM delivery WHERE order_id = $1 ORDER BY recipient_id"
        return [row["recipient_id"] for row in await self.all(query, order)]

    async def dues(self) -> dict[str, int]:
        return dict(Counter(row["kind"] for row in await self.all("SELECT kind FROM due")))

    async def check(self) -> None:
        """What holds at every moment, whatever happened: guarantee G2, and what it rests on."""
        async with self.pool.acquire() as connection:
            figures = await totals.totals(connection)
            assert figures.unaccounted == self.known_lost, f"{figures.unaccounted} deliveries wait for nothing"
            await _check_rows(connection)
            await check_tallies(connection)


async def check_tallies(connection: Connection) -> None:
    """Whatever is tallied says what counting says."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        wrong = await connection.fetch(
            "SELECT o.id, c.counted, t.tallied FROM delivery_order o"
            " LEFT JOIN LATERAL (SELECT jsonb_object_agg(rank, n) AS counted FROM (SELECT standing % 16 AS rank,"
            "   count(*) AS n FROM delivery d WHERE d.order_id = o.id GROUP BY 1) s) c ON true"
            " LEFT JOIN LATERAL (SELECT jsonb_object_agg(rank, deliveries) AS tallied FROM order_tally t"
            "   WHERE t.order_id = o.id) t ON true"
            " WHERE o.tallied_at IS NOT NULL AND o.purged_at IS NULL AND c.counted IS DISTINCT FROM t.tallied"
        )
        assert not wrong, f"tallies that counting does not confirm: {wrong}"
        lost = await connection.fetch(
            "SELECT o.id, o.unaccounted, count(d) FROM delivery_order o LEFT JOIN delivery d ON d.order_id = o.id"
            " AND d.standing % 16 <> ALL($1::int[])"
            " AND NOT EXISTS (SELECT FROM due u WHERE u.order_id = d.order_id AND u.recipient_id = d.recipient_id)"
            " AND NOT EXISTS (SELECT FROM batch b WHERE b.order_id = d.order_id AND b.state <> 'done'"
            "                 AND d.recipient_id = ANY(b.members))"
            " WHERE o.tallied_at IS NOT NULL AND o.purged_at IS NULL"
            " GROUP BY o.id, o.unaccounted HAVING count(d) <> o.unaccounted",
            [state.value for state in ENDS],
        )
        assert not lost, f"tallied orders with deliveries that nobody misses: {lost}"


async def _check_rows(connection: Connection) -> None:
    waiting_twice = await connection.fetch(
        "SELECT d.order_id, d.recipient_id FROM delivery d WHERE d.standing % 16 <> ALL($1::int[]) AND"
        " (SELECT count(*) FROM due u WHERE u.order_id = d.order_id AND u.recipient_id = d.recipient_id)"
        " + (SELECT count(*) FROM batch b WHERE b.order_id = d.order_id AND b.state <> 'done'"
        "    AND d.recipient_id = ANY(b.members)) > 1",
        [state.value for state in ENDS],
    )
    assert not waiting_twice, f"waits in more than one place: {waiting_twice}"
    assert not await connection.fetchval("SELECT count(*) FROM batch WHERE state = 'done' AND in_flight <> '{}'")
    assert not await connection.fetch(
        "SELECT o.id FROM delivery_order o WHERE o.purged_at IS NULL AND o.recipients <>"
        " (SELECT count(*) FROM delivery d WHERE d.order_id = o.id)"
    )
    assert not await connection.fetch(
        "SELECT d.* FROM delivery d JOIN fact f USING (order_id, recipient_id)"
        " WHERE d.standing < CASE WHEN f.state = 9 THEN 16000 ELSE 0 END + f.attempt * 16 + f.state"
    ), "a standing is below one of its facts"


def _address(channel: str, prefix: str) -> str:
    number = next(_numbers)
    return {
        "email": f"{prefix}.{number}@courriel.example",
        "sms": f"+3363998{number:04d}",
        "mastodon": f"{prefix}{number}",
    }[channel]


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])


def channels(*wanted: str) -> dict[str, Sequence[str]]:
    """For ``notice``: by these channels."""
    return {"channels": list(wanted)}
