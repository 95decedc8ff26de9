"""What a school can't offer."""

from datetime import date
from enum import StrEnum
from typing import ClassVar

from pydantic import Field, ValidationInfo, field_validator

from schemas.events.base import EventData
from schemas.events.fields import Day, Line, Link, Localized, not_before
from schemas.lanes import Severity


class Disruption(StrEnum):
    """What a school can't offer."""

    CLOSED = "closed"
    PARTLY_CLOSED = "partly_closed"
    CANTEEN = "canteen"
    AFTER_SCHOOL = "after_school"
    TRANSPORT = "transport"


class SchoolDisruption(EventData):
    """A school, its canteen or its after-school care is closed."""

    TYPE: ClassVar[str] = "fr.tambour.school-disruption"

    school: Line = Field(description="« école Jules-Verne »")
    disruption: Disruption
    first_day: Day
    last_day: Day = Field(description="Included.")
    reason: Localized
    classes: Localized | None = Field(default=None, description="Which classes, when not all.")
    minimum_service: Localized | None = None
    meal: Localized | None = Field(default=None, description="« prévoyez un pique-nique »")
    reopening: Day | None = None
    link: Link | None = None

    def usual_severity(self) -> Severity:
        """Moderate when children can't come in."""
        closed = self.disruption in {Disruption.CLOSED, Disruption.PARTLY_CLOSED}
        return Severity.MODERATE if closed else Severity.MINOR

    @field_validator("last_day")
    @classmethod
    def _ends_after_start(cls, last_day: date, known: ValidationInfo) -> date:
        return not_before(last_day, known, "first_day")
