"""Works in a street."""

from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, ValidationInfo, field_validator

from schemas.events.base import EventData
from schemas.events.fields import ClockTime, Day, Line, Link, Localized, Part, not_before, refusal


class Traffic(StrEnum):
    """What remains of a street during works."""

    CLOSED = "closed"
    ALTERNATING = "alternating"
    ONE_WAY = "one_way"
    NARROWED = "narrowed"


class BusChange(Part):
    """What works do to one bus line."""

    line: Line
    change: Localized


class RoadWorks(EventData):
    """A street is closed or narrowed for works."""

    TYPE: ClassVar[str] = "fr.tambour.road-works"

    street: Line = Field(description="« rue des Tisserands »")
    section: Localized | None = Field(default=None, description="« entre la place du Marché et le quai Vauclair »")
    traffic: Traffic
    starts: Day
    ends: Day = Field(description="The last day, included.")
    daily_from: ClockTime | None = None
    daily_to: ClockTime | None = Field(default=None, validate_default=True)
    reason: Localized = Field(description="« remplacement de la conduite d'eau »")
    detour: Localized | None = Field(default=None, description="« par le quai Vauclair »")
    access: Localized | None = Field(default=None, description="How residents, deliveries and rescue still get in.")
    parking: Localized | None = None
    pedestrians: Localized | None = None
    buses: Annotated[tuple[BusChange, ...], Field(max_length=20)] = ()
    contractor: Line | None = None
    link: Link | None = None

    @field_validator("ends")
    @classmethod
    def _ends_after_start(cls, ends: date, known: ValidationInfo) -> date:
        return not_before(ends, known, "starts")

    @field_validator("daily_to")
    @classmethod
    def _hours_in_pairs(cls, daily_to: str | None, known: ValidationInfo) -> str | None:
        if "daily_from" in known.data and (known.data["daily_from"] is None) != (daily_to is None):
            raise refusal("pair", "goes with daily_from: one of them is missing", "Give both hours, or neither.")
        return daily_to
