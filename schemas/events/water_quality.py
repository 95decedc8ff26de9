"""What may be done with tap water."""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from schemas.events.base import EventData
from schemas.events.fields import Instant, Link, Localized, Places, Sentences
from schemas.lanes import Severity


class Restriction(StrEnum):
    """What may be done with tap water."""

    DO_NOT_DRINK = "do_not_drink"
    BOIL = "boil"
    PRESSURE = "pressure"
    """Low pressure or none: the water itself is good."""
    OK_AGAIN = "ok_again"


class WaterQuality(EventData):
    """Tap water may not be drunk, must be boiled, is scarce, or is good again."""

    TYPE: ClassVar[str] = "fr.tambour.water-quality"

    restriction: Restriction
    cause: Localized | None = None
    forbidden_uses: Localized | None = Field(default=None, description="« boire, cuisiner, préparer les biberons »")
    allowed_uses: Localized | None = Field(default=None, description="« la douche, la vaisselle et la lessive »")
    precautions: Sentences = ()
    vulnerable: Localized | None = Field(default=None, description="For infants, pregnant women, patients.")
    distribution: Places = Field(default=(), description="Where bottles are handed out, and when.")
    ration: Localized | None = Field(default=None, description="« six litres par foyer et par jour »")
    next_update: Instant | None = None
    link: Link | None = None

    def usual_severity(self) -> Severity:
        """Severe when health is at stake."""
        return {
            Restriction.DO_NOT_DRINK: Severity.SEVERE,
            Restriction.BOIL: Severity.SEVERE,
            Restriction.PRESSURE: Severity.MODERATE,
            Restriction.OK_AGAIN: Severity.MINOR,
        }[self.restriction]
