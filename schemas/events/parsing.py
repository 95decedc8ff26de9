"""From a CloudEvent to its validated data. Every fault is told at once, in words its sender can act on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.cloudevents import CloudEvent
from schemas.events.base import EventData
from schemas.events.council_meeting import CouncilMeeting
from schemas.events.flood_vigilance import FloodVigilance
from schemas.events.notice import Notice
from schemas.events.road_works import RoadWorks
from schemas.events.school_disruption import SchoolDisruption
from schemas.events.waste_collection import WasteCollectionChanged
from schemas.events.water_quality import WaterQuality

TYPES: Mapping[str, type[EventData]] = {
    kind.TYPE: kind
    for kind in (
        RoadWorks,
        WasteCollectionChanged,
        WaterQuality,
        SchoolDisruption,
        CouncilMeeting,
        FloodVigilance,
        Notice,
    )
}
"""Every type of event that is understood, by its CloudEvents ``type``."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong: ``where`` ("data.areas[0]"), ``reason`` and ``mend``, in plain English."""

    where: str
    reason: str
    mend: str

    def __str__(self) -> str:
        return f"{self.where} {self.reason}. {self.mend}"


class Invalid(ValueError):
    """An event that can't become an announcement: ``faults``, all of them.

    Invalid
    └── UnknownType   no such type
    """

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


class UnknownType(Invalid):
    """The event's ``type`` is none of ours; ``near`` are those it resembles."""

    def __init__(self, name: str) -> None:
        self.near = tuple(get_close_matches(name, TYPES, n=3, cutoff=0.6))
        known = ", ".join(self.near or sorted(TYPES))
        super().__init__((Fault("type", f"{name!r} is not a known type", f"Use one of: {known}."),))


def template_of(type_: str) -> str:
    """The folder of templates/ that renders events of that type: "fr.tambour.road-works" → "road-works"."""
    return type_.rpartition(".")[2]


def parse(event: CloudEvent) -> EventData:
    """The validated data of an event. Raises UnknownType, or Invalid with every fault."""
    kind = TYPES.get(event.type)
    if kind is None:
        raise UnknownType(event.type)
    if not isinstance(event.data, Mapping):
        raise Invalid((Fault("data", "is not a JSON object", f"See the schema {template_of(event.type)}."),))
    try:
        # read as JSON and strictly: "2" is no number, 1762243200 no date, whatever Python would make of them
        return kind.model_validate_json(json.dumps(event.data), strict=True)
    except ValidationError as error:
        raise Invalid(tuple(_fault(detail) for detail in error.errors(include_url=False))) from None


def _fault(detail: ErrorDetails) -> Fault:
    where = _where(detail["loc"])
    context = detail.get("ctx") or {}
    if "mend" in context:
        return Fault(where, str(context["reason"]), str(context["mend"]))
    reason, mend = _WORDS.get(detail["type"], (_sentence(detail["msg"]), "Compare with the schema."))
    named = {"got": json.dumps(detail["input"], ensure_ascii=False, default=str)[:60], **context}
    return Fault(where, reason.format_map(named), mend.format_map(named))


def _where(location: tuple[int | str, ...]) -> str:
    path = "data"
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        else:  # the name of an unknown field is the sender's, and may hold anything
            path += f".{step}" if step.isidentifier() else f".{json.dumps(step)[:60]}"
    return path


def _sentence(message: str) -> str:
    return f"is refused: {message[:1].lower()}{message[1:]}"


_DATETIME = ("is not a moment: {got}", "Write it as 2026-11-04T08:00:00+01:00.")
_DATE = ("is not a day: {got}", "Write it as 2026-11-04.")
_WORDS: Mapping[str, tuple[str, str]] = {
    "missing": ("is missing", "This field is required."),
    "extra_forbidden": ("is not a field of this event", "Remove it, or check its spelling."),
    "enum": ("has a value that is not in the list: {got}", "Use one of: {expected}."),
    "string_type": ("is not a text: {got}", "Write it between quotes."),
    "string_too_short": ("is empty", "Write the text, or leave the field out when it is not required."),
    "string_too_long": ("is longer than {max_length} characters", "Shorten it."),
    "string_pattern_mismatch": ("is not written as expected: {got}", "It must match {pattern}."),
    "int_type": ("is not a whole number: {got}", "Write a number, without quotes."),
    "int_from_float": ("is not a whole number: {got}", "Write a whole number."),
    "float_type": ("is not a number: {got}", "Write a number, without quotes."),
    "bool_type": ("is neither true nor false: {got}", "Write true or false, without quotes."),
    "greater_than_equal": ("is {got}, less than {ge}", "Write {ge} or more."),
    "less_than_equal": ("is {got}, more than {le}", "Write {le} or less."),
    "tuple_type": ("is not a list: {got}", "Write it between [ and ]."),
    "too_short": ("has {actual_length} items", "Give at least {min_length}."),
    "too_long": ("has more than {max_length} items", "Give at most {max_length}."),
    "model_type": ("is not an object: {got}", "Write it between braces, with its fields."),
    "timezone_aware": ("has no offset from UTC: {got}", "Write it as 2026-11-04T08:00:00+01:00."),
    "datetime_type": _DATETIME,
    "datetime_parsing": _DATETIME,
    "datetime_from_date_parsing": _DATETIME,
    "date_type": _DATE,
    "date_parsing": _DATE,
    "date_from_datetime_parsing": _DATE,
    "date_from_datetime_inexact": _DATE,
}
"""Pydantic's kinds of errors, in words for whoever sends events."""
