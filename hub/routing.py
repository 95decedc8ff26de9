"""What an event leads to, as values: the rule that is its, and what its announcement becomes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum

from hub.rules import Rules
from schemas.announcements import Action, Content
from schemas.events import EventData, Fault, Notice, template_of
from schemas.lanes import Lane, Severity

_FASTEST_FIRST = (Lane.URGENT, Lane.ROUTINE, Lane.BULK)


@dataclass(frozen=True, slots=True)
class Route:
    """Where an announcement goes; ``line`` is that of the rule that says so."""

    line: int
    themes: tuple[str, ...]
    lane: Lane
    channels: tuple[str, ...]
    languages: tuple[str, ...]
    template: str


def route(rules: Rules, data_type: str, severity: Severity, areas: Collection[str]) -> Route | None:
    """Where the first rule that matches sends such an event; None when there is none."""
    for rule in rules.rules:
        if rule.matches(data_type, severity, areas):
            template = rule.template or template_of(data_type)
            return Route(rule.line, rule.themes, rule.lane, rule.channels, rule.languages, template)
    return None


def route_of(rules: Rules, data: EventData) -> Route | None:
    """Where an event goes. An officer's notice has the last word on its themes, channels and lane."""
    found = route(rules, data.TYPE, data.severity, data.areas)
    if found is None or not isinstance(data, Notice):
        return found
    return replace(found, themes=data.themes, channels=data.channels or found.channels, lane=data.lane or found.lane)


def unknown_codes(
    data: EventData,
    *,
    areas: Collection[str],
    themes: Collection[str],
    channels: Collection[str],
    pictures: Collection[str] | None = None,
) -> tuple[Fault, ...]:
    """Codes in the event that its authority doesn't have, as faults that can be mended.

    ``pictures`` None: a picture that is missing doesn't stop the event, which then goes out without it.
    """
    named: list[tuple[str, tuple[str, ...], Collection[str]]] = [("areas", data.areas, areas)]
    if isinstance(data, Notice):
        named += [("themes", data.themes, themes), ("channels", data.channels or (), channels)]
        if pictures is not None:
            named.append(("pictures", data.pictures, pictures))
    faults = []
    for field, codes, known in named:
        for index, code in enumerate(codes):
            if code not in known:
                near = get_close_matches(code, known, n=1)
                there = ", ".join(sorted(known)) or "none yet"
                mend = f"Did you mean {near[0]!r}?" if near else f"There are: {there}."
                faults.append(Fault(f"data.{field}[{index}]", f"is unknown here: {code!r}", mend))
    return tuple(faults)


class Audience(StrEnum):
    """Who hears a version."""

    MATCHES = "matches"
    """Whoever subscribes to its themes and areas."""
    HOLDERS = "holders"
    """Whoever has, or may have, an earlier version."""
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of a matter: the current version, its revision, and the roads it took."""

    version: int
    revision: int
    channels: tuple[str, ...] = ()
    lane: Lane | None = None


@dataclass(frozen=True, slots=True)
class Announce:
    """Store this version and send it."""

    version: int
    content: Content
    audience: Audience


@dataclass(frozen=True, slots=True)
class Superseded:
    """A revision as new, or newer, is already out: events may arrive out of order."""

    revision: int


@dataclass(frozen=True, slots=True)
class NothingToEnd:
    """The end, or the cancellation, of something that nobody was told."""


Decision = Announce | Superseded | NothingToEnd


def plan(data: EventData, taken: Route, told: Told | None, area_names: Mapping[str, str] | None = None) -> Decision:
    """What becomes of an event. ``area_names``: names by code, for the reader.

    What revises an announcement goes, besides the rule's channels, wherever the announcement went: whoever
    read the alert in an SMS reads its end there too, though ends are less severe than alerts. And what cancels
    it takes no slower lane.
    """
    if told is None:
        if data.action in {Action.CANCEL, Action.END}:
            return NothingToEnd()
        return Announce(1, _content(data, taken, area_names or {}), Audience.MATCHES)
    if data.revision <= told.revision:
        return Superseded(told.revision)
    channels = tuple(dict.fromkeys(taken.channels + told.channels))
    lane = taken.lane
    if data.action is Action.CANCEL and told.lane is not None:
        lane = fastest(lane, told.lane)
    content = _content(data, replace(taken, channels=channels, lane=lane), area_names or {})
    audience = Audience.HOLDERS if data.action is Action.CANCEL else Audience.BOTH
    return Announce(told.version + 1, content, audience)


def fastest(*lanes: Lane) -> Lane:
    """The one that is served first."""
    return min(lanes, key=_FASTEST_FIRST.index)


def is_stale(event_time: datetime | None, expires: datetime, now: datetime, max_age: timedelta) -> bool:
    """Whether nobody should hear of it any more: it is over, or was emitted too long ago."""
    return expires <= now or (event_time is not None and now - event_time > max_age)


def _content(data: EventData, taken: Route, area_names: Mapping[str, str]) -> Content:
    return Content(
        authority=data.authority,
        type=data.TYPE,
        matter=data.matter,
        revision=data.revision,
        action=data.action,
        severity=data.severity,
        lane=taken.lane,
        themes=taken.themes,
        areas=data.areas,
        channels=taken.channels,
        languages=taken.languages,
        template=taken.template,
        onset=data.onset,
        expires=data.expires,
        contact=data.contact,
        area_names=tuple(area_names.get(code, code) for code in data.areas),
        data=data.model_dump(mode="json"),
    )
