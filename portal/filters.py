"""What a list is narrowed to, read from a page's address and written back into links."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from schemas.deliveries import DeliveryId

PERIODS: Mapping[str, timedelta | None] = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "all": None,
}


class BadFilter(ValueError):
    """A page's address asks for something that can't be; the message says which part."""


@dataclass(frozen=True, slots=True)
class Filters:
    """The narrowing of a list; None narrows nothing. ``before`` is where the page before this one ended."""

    announcement: int | None = None
    order: int | None = None
    channel: str | None = None
    state: str | None = None
    outcome: str | None = None
    authority: str | None = None
    q: str | None = None
    period: str | None = None
    before: str | None = None
    pause: str | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Filters":
        """From a query string; blank fields of a form count as absent. Raises BadFilter."""
        given: dict[str, Any] = {}
        for name in cls.__slots__:
            text = query.get(name, "").strip()
            if not text:
                continue
            if "\0" in text or len(text) > 300:
                raise BadFilter(f"{name}: not a text to look for")
            given[name] = _number(name, text) if name in ("announcement", "order") else text
        if given.get("period", "all") not in PERIODS:
            raise BadFilter(f"period: one of {', '.join(PERIODS)}")
        return cls(**given)

    def since(self, now: datetime, default: str = "all") -> datetime | None:
        """When the period began; None for all time."""
        length = PERIODS[self.period or default]
        return None if length is None else now - length

    @property
    def before_id(self) -> int | None:
        """``before`` as the number of a row. Raises BadFilter."""
        return None if self.before is None else _number("before", self.before)

    @property
    def before_delivery(self) -> DeliveryId | None:
        """``before`` as a delivery. Raises BadFilter."""
        try:
            return None if self.before is None else DeliveryId.parse(self.before)
        except ValueError as error:
            raise BadFilter(f"before: {error}") from None

    def link(self, path: str, **changes: object) -> str:
        """Address of ``path`` with this narrowing and some changes; a change to None takes one away."""
        merged = asdict(self) | changes
        query = urlencode({name: value for name, value in merged.items() if value is not None})
        return f"{path}?{query}" if query else path


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadFilter(f"{name}: not a number")
    return int(text)
