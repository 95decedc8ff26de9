"""Meetings of the council."""

from typing import Annotated, ClassVar

from pydantic import Field

from schemas.events.base import EventData
from schemas.events.fields import Instant, Link, Localized, Place


class CouncilMeeting(EventData):
    """The municipal (or community) council meets."""

    TYPE: ClassVar[str] = "fr.tambour.council-meeting"

    starts_at: Instant
    place: Place
    agenda: Annotated[tuple[Localized, ...], Field(min_length=1, max_length=40)]
    open_to_public: bool = True
    live_url: Link | None = None
    documents_url: Link | None = None
    accessibility: Localized | None = Field(default=None, description="Induction loop, sign language, step-free way.")
    reason: Localized | None = Field(default=None, description="Why it is moved or cancelled.")
