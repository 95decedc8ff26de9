"""Several events in one commit: those whose outcome depends on no other event of the group.

An event that can't be taken in (a code that its authority doesn't have, rules that are broken), whose matter has an
announcement already, or came a moment ago in the same group, is left to hub.intake, which deals with it alone; and so
is whatever comes after it in its line, because messages of one key keep their order.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from hub.ordering import orders_on
from hub.routing import Announce, is_stale, plan, route_of, unknown_codes
from hub.rules import Rules
from publishers.registry import CHANNELS
from schemas import tracing
from schemas.cloudevents import CloudEvent
from schemas.events import EventData
from store import announcements, authorities, events, outbox
from store.announcements import New
from store.authorities import Authority
from store.database import Connection, database_time, impatient
from store.events import Arrival, Name
from store.orders import order_message

RulesOf = Callable[[Authority, tuple[str, str] | None], Rules | None]
"""An authority's rules from their file name and text. May raise: the event is left then."""


_PATIENCE_S = 1
"""For a lock that somebody else has: one event of the group may wait for a frozen worker, the others must not."""


class Raced(Exception):
    """Another worker recorded the same event or matter first: roll back and look again."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An event that was understood. Those of one ``line`` keep their order."""

    line: object
    event: CloudEvent
    data: EventData
    trace: str | None = None
    """The traceparent that it came with."""

    @property
    def name(self) -> Name:
        """What tells it from all other events."""
        return self.event.source, self.event.id


@dataclass(frozen=True, slots=True)
class Known:
    """What the database says of a group, read at once."""

    authorities: Mapping[str, Authority]
    rules: Mapping[int, tuple[str, str]]
    """File name and text, by the authority's id."""
    events: Collection[Name]
    matters: Collection[tuple[int, str]]


@dataclass(slots=True)
class Sorted:
    """What becomes of a group."""

    outcomes: dict[int, str] = field(default_factory=dict)
    """By position; a position that is missing is left."""
    again: Counter[Name] = field(default_factory=Counter)
    """Arrivals of events that are recorded, more than were counted."""
    arrivals: dict[Name, Arrival] = field(default_factory=dict)
    """New events, without the announcement they make."""
    news: dict[Name, New] = field(default_factory=dict)
    """Announcements to make, by the event that makes them."""


async def take_in_together(
    connection: Connection, group: Sequence[Candidate], rules_of: RulesOf, max_age: timedelta
) -> dict[int, str]:
    """Record what can be recorded together, in the caller's transaction; returns outcomes by position.

    A position that is missing is left. Raises Raced: roll back, and take each in alone.
    """
    since = tracing.now()
    await impatient(connection, _PATIENCE_S)
    found = sort_out(group, await _look(connection, group), rules_of, await database_time(connection), max_age)
    if not await events.seen_again(connection, found.again):
        raise Raced
    arrivals = found.arrivals
    if found.news:
        news = [
            replace(new, trace=tracing.step("intake", new.trace, since=since, type=found.arrivals[name].type))
            for name, new in found.news.items()
        ]
        made = await announcements.first_all(connection, news)
        if made is None:
            raise Raced
        orders = await announcements.order_first(connection, made, news)
        await outbox.put(connection, [order_message(*one) for one in orders])
        announced = dict(zip(found.news, made, strict=True))
        arrivals = {
            name: replace(one, announcement_id=announced[name], version=1) if name in announced else one
            for name, one in arrivals.items()
        }
    if not await events.add_all(connection, list(arrivals.values())):
        raise Raced
    return found.outcomes


async def _look(connection: Connection, group: Sequence[Candidate]) -> Known:
    found = await authorities.find_all(connection, {one.data.authority for one in group})
    rules = await authorities.rules_of_all(connection, [authority.id for authority in found.values()])
    names = list(dict.fromkeys(one.name for one in group))
    matters = {(found[one.data.authority].id, one.data.matter) for one in group if one.data.authority in found}
    return Known(
        found,
        rules,
        await events.known(connection, names),
        await announcements.known_matters(connection, list(matters)),
    )


def sort_out(group: Sequence[Candidate], known: Known, rules_of: RulesOf, now: datetime, max_age: timedelta) -> Sorted:
    """What becomes of each event of a group, and which are left."""
    found = Sorted()
    stopped: set[object] = set()
    left: set[Name] = set()
    matters: set[tuple[str, str]] = set()
    for position, one in enumerate(group):
        matter = one.data.authority, one.data.matter
        outcome = None
        if one.line not in stopped and one.name not in left:
            outcome = _again(found, known, one)
            if outcome is None and matter not in matters:
                outcome = _new(found, known, one, rules_of, now, max_age)
        matters.add(matter)
        if outcome is None:
            stopped.add(one.line)
            left.add(one.name)
        else:
            found.outcomes[position] = outcome
    return found


def _again(found: Sorted, known: Known, one: Candidate) -> str | None:
    if one.name in known.events:
        found.again[one.name] += 1
    elif one.name in found.arrivals:
        first = found.arrivals[one.name]
        found.arrivals[one.name] = replace(first, seen=first.seen + 1)
    else:
        return None
    return "duplicate"


def _new(
    found: Sorted, known: Known, one: Candidate, rules_of: RulesOf, now: datetime, max_age: timedelta
) -> str | None:
    authority = known.authorities.get(one.data.authority)
    if authority is None or unknown_codes(one.data, areas=authority.areas, themes=authority.themes, channels=CHANNELS):
        return None
    content: dict[str, Any] | None = None
    if is_stale(one.event.time, one.data.expires, now, max_age):
        outcome = "stale"
    else:
        try:
            rules = rules_of(authority, known.rules.get(authority.id))
        except Exception:  # hub.intake, which meets it again, tells it
            return None
        route = None if rules is None else route_of(rules, one.data)
        if route is None:
            outcome = "no_rule"
        elif (authority.id, one.data.matter) in known.matters:
            return None
        elif isinstance(decision := plan(one.data, route, None, authority.areas), Announce):
            outcome = "announced"
            found.news[one.name] = _announcement(authority, decision, one.trace)
            content = decision.content.data
        else:  # of a matter that nobody was told
            outcome = "nothing_to_end"
    payload = one.data.model_dump(mode="json") if content is None else content
    found.arrivals[one.name] = arrival_of(one.event, one.data, authority, outcome, payload)
    return outcome


def _announcement(authority: Authority, decision: Announce, trace: str | None) -> New:
    return New(authority.id, decision.content, orders_on(decision.content.channels, decision.audience), trace)


def arrival_of(
    event: CloudEvent, data: EventData, authority: Authority, outcome: str, payload: dict[str, Any]
) -> Arrival:
    """A new event as it is recorded, ``payload`` its data, but for the announcement that it makes or speaks of."""
    return Arrival(
        source=event.source,
        event_id=event.id,
        type=event.type,
        authority_id=authority.id,
        matter=data.matter,
        revision=data.revision,
        action=data.action.value,
        outcome=outcome,
        occurred_at=event.time,
        payload=payload,
    )
