"""Floods, in the words of Vigicrues."""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field, ValidationInfo, field_validator

from schemas.events.base import EventData
from schemas.events.fields import Instant, Line, Link, Localized, Places, Sentences, refusal
from schemas.lanes import Severity


class Level(StrEnum):
    """Levels of Vigicrues (vigicrues.gouv.fr)."""

    GREEN = "green"
    YELLOW = "yellow"
    ORANGE = "orange"
    RED = "red"


class Trend(StrEnum):
    """Where the water is going."""

    RISING = "rising"
    STEADY = "steady"
    FALLING = "falling"


class FloodVigilance(EventData):
    """A river rises, floods, or is back in its bed."""

    TYPE: ClassVar[str] = "fr.tambour.flood-vigilance"

    river: Line = Field(description="Its name, without article: « Orvelle ».")
    level: Level
    situation: Localized = Field(description="What is seen and expected, in one or two sentences.")
    station: Line | None = Field(default=None, description="Where the height is read: « pont des Tanneurs ».")
    height_m: float | None = Field(
        default=None, ge=-5, le=50, allow_inf_nan=False, description="Metres on the station's scale."
    )
    trend: Trend | None = None
    peak_m: float | None = Field(default=None, ge=-5, le=50, allow_inf_nan=False)
    peak_at: Instant | None = None
    evacuate: bool = False
    return_possible: bool = False
    evacuation: Localized | None = Field(default=None, description="Who leaves, or returns; by which way.")
    instructions: Sentences = ()
    shelters: Places = ()
    link: Link | None = None

    def usual_severity(self) -> Severity:
        """The level's, and Extreme when people must leave."""
        if self.evacuate:
            return Severity.EXTREME
        return {
            Level.GREEN: Severity.MINOR,
            Level.YELLOW: Severity.MODERATE,
            Level.ORANGE: Severity.SEVERE,
            Level.RED: Severity.EXTREME,
        }[self.level]

    @field_validator("return_possible")
    @classmethod
    def _leave_or_return(cls, return_possible: bool, known: ValidationInfo) -> bool:
        if return_possible and known.data.get("evacuate"):
            raise refusal("contradiction", "contradicts evacuate", "Keep the one that is true now.")
        return return_possible
