"""Intake: a Kafka message becomes an event, an announcement and orders, all in one transaction, or a dead letter.

Attempts are counted before a message is decoded, once a process: a database that goes away and comes back is no
fault of the message's. A batch in which an earlier process attempted something is taken one message at a time: so
the message that kills its worker is alone when it does, and is set aside the third time.

Other batches are taken in by one commit, but for the events that it leaves (hub.intake_group): those are dealt with
after it, one by one.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from hub import metrics
from hub.intake_group import Candidate, Raced, arrival_of, take_in_together
from hub.ordering import orders_on
from hub.routing import Announce, NothingToEnd, Superseded, Told, is_stale, plan, route_of, unknown_codes
from hub.rules import Known, Rules, parse_rules
from publishers.registry import CHANNELS
from schemas import tracing
from schemas.announcements import Action
from schemas.cloudevents import CloudEvent, Headers, Undecodable, decode
from schemas.events import TYPES, EventData, Invalid, UnknownType, parse, template_of
from store import announcements, attempts, authorities, deadletters, events, outbox
from store.authorities import Authority
from store.database import AWAY, CROSSED, Connection, Pool, database_time, transaction
from store.orders import order_message

log = structlog.get_logger()

TOPICS = ("municipal.events", "municipal.events.urgent")
MAX_ATTEMPTS = 3
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Incoming:
    """A Kafka message as it came, undecoded."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def place(self) -> attempts.Place:
        """Topic, partition and offset."""
        return self.topic, self.partition, self.offset

    @property
    def line(self) -> object:
        """Messages of one line keep their order."""
        return self.key or self.partition


_MET: tuple[type[Exception], ...] = (Raced, *CROSSED)


class _Poison(Exception):
    """This message can't become an announcement: a word to filter by, and what to say."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Intake:
    """Takes batches of messages in. One serves a process."""

    def __init__(self, pool: Pool, *, max_age: timedelta) -> None:
        self._pool = pool
        self._max_age = max_age
        self._rules: dict[int, tuple[str, Rules]] = {}
        self._counted: set[attempts.Place] = set()

    async def take_in(self, messages: Sequence[Incoming]) -> int:
        """Deal with every message; returns how many met a defect of ours (they are dead letters too).

        Raises one of store.database.AWAY when the database is away: nothing is lost, the batch comes again.
        """
        if await self._attempted_before(messages):
            defects = [await self._alone(message) for message in messages]
        else:
            defects = await self._together(messages)
        self._counted.difference_update(message.place for message in messages)
        return sum(defects)

    async def _attempted_before(self, messages: Sequence[Incoming]) -> bool:
        """Whether an earlier process began one of these and never finished; if not, they are counted."""
        places = [message.place for message in messages if message.place not in self._counted]
        if not places:
            return False
        async with self._pool.acquire() as connection:
            if await attempts.known(connection, places):
                return True
            await attempts.count(connection, places)
        self._counted.update(places)
        return False

    async def _together(self, messages: Sequence[Incoming]) -> list[int]:
        """Messages of one key keep their order; different keys do not wait for each other."""
        by_key: dict[object, list[Incoming]] = {}
        for message in await self._in_one_commit(messages):
            by_key.setdefault(message.line, []).append(message)
        turns = asyncio.Semaphore(_AT_ONCE)

        async def in_order(line: Sequence[Incoming]) -> list[int]:
            async with turns:
                return [await self._one(message) for message in line]

        lines = await asyncio.gather(*(in_order(line) for line in by_key.values()), return_exceptions=True)
        defects: list[int] = []
        for found in lines:
            if isinstance(found, BaseException):
                raise found
            defects += found
        return defects

    async def _in_one_commit(self, messages: Sequence[Incoming]) -> list[Incoming]:
        """Take in together what can be; returns the others, in their order, of which nothing is recorded yet."""
        read = _read(messages) if len(messages) > 1 else []
        if len(read) < 2:
            return list(messages)
        try:
            async with transaction(self._pool) as connection:
                group = [candidate for _, candidate in read]
                outcomes = await take_in_together(connection, group, self._parsed, self._max_age)
                taken = {read[position][0]: outcome for position, outcome in outcomes.items()}
                await attempts.forget_all(connection, [messages[index].place for index in taken])
        except _MET:
            return list(messages)
        except AWAY:
            raise
        except Exception as error:  # whose fault it is shows when each is alone
            log.warning("group_taken_apart", messages=len(messages), error=f"{type(error).__name__}: {error}")
            return list(messages)
        for position, outcome in outcomes.items():
            event = read[position][1].event
            metrics.event_taken_in(outcome)
            log.info("event", event_source=event.source, event_id=event.id, outcome=outcome)
        return [message for index, message in enumerate(messages) if index not in taken]

    async def _alone(self, message: Incoming) -> int:
        if message.place in self._counted:
            return await self._one(message)
        async with self._pool.acquire() as connection:
            if await deadletters.kept(connection, message.place, message.key, message.value):
                await attempts.forget(connection, message.place)  # it comes again for its neighbours' sake
                return 0
            counted = await attempts.count(connection, [message.place])
        self._counted.add(message.place)
        if counted[message.place] > MAX_ATTEMPTS:
            await self._set_aside(
                message,
                _Poison(
                    "attempts", f"The worker ended {MAX_ATTEMPTS} times while it read this message. Mend it first."
                ),
            )
            return 0
        return await self._one(message)

    async def _one(self, message: Incoming) -> int:
        try:
            await self._understand(message)
        except _Poison as poison:
            await self._set_aside(message, poison)
        except AWAY:
            raise
        except Exception as error:
            log.exception("intake_defect", place=message.place)
            await self._set_aside(
                message, _Poison("defect", f"Tambour failed on it: {type(error).__name__}: {error}. Report this.")
            )
            return 1
        return 0

    async def _set_aside(self, message: Incoming, poison: _Poison) -> None:
        async with transaction(self._pool) as connection:
            letter = await deadletters.add(
                connection,
                place=message.place,
                key=message.key,
                value=message.value,
                headers=message.headers,
                reason=poison.reason,
                detail=poison.detail,
            )
            await attempts.forget(connection, message.place)
        metrics.set_aside(poison.reason)
        log.warning("dead_letter", letter=letter, reason=poison.reason, place=message.place)

    async def _understand(self, message: Incoming) -> None:
        event, data = _understood(message)
        with tracing.span("intake", _trace_of(event, message), type=event.type):
            await self._commit(message, event, data)

    async def _commit(self, message: Incoming, event: CloudEvent, data: EventData) -> None:
        for _ in range(5):
            try:
                async with transaction(self._pool) as connection:
                    outcome = await self._admit(connection, event, data)
                    await attempts.forget(connection, message.place)
            except Raced:
                continue
            metrics.event_taken_in(outcome)
            log.info("event", event_source=event.source, event_id=event.id, outcome=outcome)
            return
        raise RuntimeError("the same matter was written by others five times in a row")

    async def _admit(self, connection: Connection, event: CloudEvent, data: EventData) -> str:
        if await events.seen(connection, event.source, event.id):
            return "duplicate"
        authority = await authorities.find(connection, data.authority)
        if authority is None:
            raise _Poison("unknown_authority", f"data.authority: no authority has the code {data.authority!r} here.")
        faults = unknown_codes(data, areas=authority.areas, themes=authority.themes, channels=CHANNELS)
        if faults:
            raise _Poison("invalid", "\n".join(map(str, faults)))
        announcement, version, outcome = await self._decide(connection, event, data, authority)
        arrival = arrival_of(event, data, authority, outcome, data.model_dump(mode="json"))
        if await events.add(connection, replace(arrival, announcement_id=announcement, version=version)) is None:
            raise Raced
        return outcome

    async def _decide(
        self, connection: Connection, event: CloudEvent, data: EventData, authority: Authority
    ) -> tuple[int | None, int | None, str]:
        """Announcement, version and outcome; announcement and orders are written on the way."""
        if is_stale(event.time, data.expires, await database_time(connection), self._max_age):
            return None, None, "stale"
        rules = self._parsed(authority, await authorities.rules(connection, authority.id))
        route = None if rules is None else route_of(rules, data)
        if route is None:
            return None, None, "no_rule"
        known = await announcements.lock(connection, authority.id, data.matter)
        told = None if known is None else Told(known.version, known.revision, known.channels, known.lane)
        decision = plan(data, route, told, authority.areas)
        match decision:
            case Superseded():
                assert known is not None  # only a known matter can be superseded
                return known.id, known.version, "superseded"
            case NothingToEnd():
                return None, None, "nothing_to_end"
            case Announce():
                announcement, version = await self._announce(connection, authority, known, decision, data.action)
                return announcement, version, "announced"

    async def _announce(
        self,
        connection: Connection,
        authority: Authority,
        known: announcements.Known | None,
        decision: Announce,
        action: Action,
    ) -> tuple[int, int]:
        content = decision.content
        if known is None:
            made = await announcements.first(connection, authority.id, content)
            if made is None:
                raise Raced
            announcement, version = made, 1
        else:
            announcement = known.id
            version = await announcements.revise(connection, known, content, withdraw=action is Action.CANCEL)
        orders = await announcements.order(
            connection,
            announcement=announcement,
            version=version,
            authority_id=authority.id,
            content=content,
            orders=orders_on(content.channels, decision.audience),
        )
        await outbox.put(connection, [order_message(order, content.lane) for order in orders])
        return announcement, version

    def _parsed(self, authority: Authority, found: tuple[str, str] | None) -> Rules | None:
        """Rules from their file name and text; parsed again only when the text has changed."""
        if found is None:
            return None
        filename, source = found
        cached = self._rules.get(authority.id)
        if cached is None or cached[0] != source:
            cached = self._rules[authority.id] = source, parse_rules(source, filename, known_to(authority))
        return cached[1]


def _understood(message: Incoming) -> tuple[CloudEvent, EventData]:
    try:
        event = decode(message.value, message.headers)
        return event, parse(event)
    except Undecodable as error:
        raise _Poison("undecodable", str(error)) from error
    except UnknownType as error:
        raise _Poison("unknown_type", str(error)) from error
    except Invalid as error:
        raise _Poison("invalid", str(error)) from error


def _trace_of(event: CloudEvent, message: Incoming) -> str | None:
    brought = event.extensions.get(tracing.HEADER) or tracing.of_headers(message.headers)
    return str(brought) if brought else None


def _read(messages: Sequence[Incoming]) -> list[tuple[int, Candidate]]:
    """What can be understood, each with its index, of every line until something can't be."""
    found: list[tuple[int, Candidate]] = []
    stopped: set[object] = set()
    for index, message in enumerate(messages):
        if message.line in stopped:
            continue
        try:
            event, data = _understood(message)
            found.append((index, Candidate(message.line, event, data, _trace_of(event, message))))
        except Exception:  # it is told when the message is dealt with alone
            stopped.add(message.line)
    return found


def known_to(authority: Authority) -> Known:
    """The codes that this authority's rules may name."""
    return Known(
        areas=authority.areas,
        themes=authority.themes,
        channels=tuple(CHANNELS),
        templates=tuple(template_of(name) for name in TYPES),
        languages=authority.languages,
    )
