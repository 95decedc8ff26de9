"""What every event says, whatever its type."""

from datetime import datetime
from typing import Any, ClassVar, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from schemas.announcements import Action
from schemas.events.fields import Code, Codes, Instant, Line, Matter, Part, refusal
from schemas.lanes import Severity


def _without_default(schema: dict[str, Any]) -> None:
    """The severity of an event that names none depends on its type and its other fields."""
    del schema["default"]


class EventData(Part):
    """The data of an event: the fields that all types share. Each type adds its own."""

    TYPE: ClassVar[str]
    """The CloudEvents ``type`` of these events: "fr.tambour.road-works"."""

    authority: Code = Field(description="Code of the authority that speaks: its INSEE code or SIREN number.")
    matter: Matter = Field(
        description="What the event is about, in the emitting system's own stable key: works order 2026-114. "
        "The next event of this matter revises its announcement instead of making a second one."
    )
    revision: int = Field(ge=1, le=1_000_000, description="Counts the events of one matter, from 1, upwards.")
    action: Action = Field(
        default=Action.ANNOUNCE,
        description="announce or update: tell the news. cancel: it was said and is not so. end: it is over.",
    )
    areas: Codes = Field(default=(), description="Codes of the places concerned; none means the whole authority.")
    severity: Severity = Field(
        default=Severity.MINOR,
        json_schema_extra=_without_default,
        description="CAP 1.2 severity. When left out: what the type and its other fields suggest.",
    )
    onset: Instant = Field(description="When it begins.")
    expires: Instant = Field(description="When there is nothing left to tell: nothing is sent after it.")
    contact: Line | None = Field(default=None, description="Who answers questions: a phone number, a mail address.")

    def usual_severity(self) -> Severity:
        """The severity of an event that names none, from its other fields."""
        return Severity.MINOR

    @model_validator(mode="after")
    def _severity_of_the_type(self) -> Self:
        if "severity" not in self.model_fields_set:
            object.__setattr__(self, "severity", self.usual_severity())
        return self

    @field_validator("expires")
    @classmethod
    def _expires_after_onset(cls, expires: datetime, known: ValidationInfo) -> datetime:
        onset = known.data.get("onset")  # absent when it has a fault of its own
        if onset is not None and expires <= onset:
            raise refusal(
                "order",
                f"is {expires.isoformat()}, not after onset, {onset.isoformat()}",
                "Give the moment when there is nothing left to tell.",
            )
        return expires
