"""Waste collections that move or don't take place."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from schemas.events.base import EventData
from schemas.events.fields import Day, Link, Localized, Places, unique


class WasteKind(StrEnum):
    """What is collected."""

    HOUSEHOLD = "household"
    RECYCLING = "recycling"
    BIO = "bio"
    GLASS = "glass"
    PAPER = "paper"
    GARDEN = "garden"
    BULKY = "bulky"


class WasteCollectionChanged(EventData):
    """A collection is moved to another day, or doesn't take place."""

    TYPE: ClassVar[str] = "fr.tambour.waste-collection"

    kinds: Annotated[
        tuple[WasteKind, ...], Field(min_length=1, json_schema_extra={"uniqueItems": True}), AfterValidator(unique)
    ]
    usual_day: Day
    new_days: Annotated[
        tuple[Day, ...], Field(max_length=10, json_schema_extra={"uniqueItems": True}), AfterValidator(unique)
    ] = Field(default=(), description="None: this collection doesn't take place.")
    put_out: Localized | None = Field(default=None, description="« la veille au soir, après 19 h »")
    reason: Localized
    bring_points: Places = ()
    link: Link | None = None
