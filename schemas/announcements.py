"""An announcement's version as it is stored and rendered: one structured notice, on every channel."""

from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.lanes import Lane, Severity


class Action(StrEnum):
    """What an event does to the announcement of its matter."""

    ANNOUNCE = "announce"
    UPDATE = "update"
    CANCEL = "cancel"
    END = "end"


class Content(BaseModel):
    """One version of one announcement. Kept in ``announcement_version.content`` as JSON.

    ``data`` is the validated data of the event, from which templates are rendered; ``areas`` are codes of
    the authority, empty for all of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    authority: str
    type: str
    matter: str
    revision: int = Field(ge=1)
    action: Action
    severity: Severity
    lane: Lane
    themes: tuple[str, ...] = Field(min_length=1)
    areas: tuple[str, ...]
    channels: tuple[str, ...] = Field(min_length=1)
    languages: tuple[str, ...] = Field(min_length=1)
    template: str
    """Folder of templates/ that renders it: "road-works"."""
    onset: AwareDatetime | None = None
    expires: AwareDatetime
    contact: str | None = None
    retracted: bool = False
    """A cancellation of what should never have been said: posts are taken back where the network can."""
    area_names: tuple[str, ...] = ()
    """The areas' names, for the reader; empty when the whole authority is meant."""
    data: dict[str, Any]
