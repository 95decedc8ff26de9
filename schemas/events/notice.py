"""What an officer writes."""

from typing import Annotated, ClassVar

from pydantic import Field

from schemas.events.base import EventData
from schemas.events.fields import Code, Codes, Link, Localized, LocalizedText
from schemas.lanes import Lane


class Notice(EventData):
    """What an officer writes: it names its themes itself, and may name its channels and lane."""

    TYPE: ClassVar[str] = "fr.tambour.notice"

    headline: Localized
    body: LocalizedText = Field(description="Markdown.")
    instruction: Localized | None = Field(default=None, description="What to do, in one sentence.")
    themes: Annotated[Codes, Field(min_length=1)]
    channels: Annotated[tuple[Code, ...], Field(min_length=1)] | None = None
    lane: Lane | None = None
    link: Link | None = None
    pictures: Annotated[Codes, Field(max_length=4)] = Field(
        default=(), description="Names in the authority's library of pictures, the most important first."
    )
    warning: Localized | None = Field(
        default=None, description="What networks that can show instead of the text, until the reader asks for it."
    )
