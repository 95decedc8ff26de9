"""The kinds of values that events are made of. Text that would break a header or a page is refused."""

import re
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

_CONTROLS = r"\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069"
"""Controls, line separators, and the marks that turn the direction of the text after them (Trojan Source)."""
_CONTROLS_IN_BLOCK = _CONTROLS.replace(r"\u0000-\u001f", r"\u0000-\u0008\u000b-\u001f")
_IN_LINE = re.compile(f"[{_CONTROLS}]")
_IN_BLOCK = re.compile(f"[{_CONTROLS_IN_BLOCK}]")
_URL: TypeAdapter[HttpUrl] = TypeAdapter(HttpUrl)
_YEARS = range(2000, 2101)


def refusal(kind: str, reason: str, mend: str) -> PydanticCustomError:
    """The error a validator raises: what is wrong, and what to do (``schemas.events.parsing`` reads both)."""
    return PydanticCustomError(kind, "{reason}", {"reason": reason, "mend": mend})


def _line(text: str) -> str:
    if found := _IN_LINE.search(text):
        code = f"U+{ord(found[0]):04X} at character {found.start() + 1}"
        raise refusal("control_character", f"holds a control character ({code})", "Write it on one line, without it.")
    return _filled(text)


def _block(text: str) -> str:
    if found := _IN_BLOCK.search(text):
        code = f"U+{ord(found[0]):04X} at character {found.start() + 1}"
        raise refusal("control_character", f"holds a control character ({code})", "Remove it; new lines are welcome.")
    return _filled(text)


def _filled(text: str) -> str:
    if not text.strip():
        raise refusal("blank", "is blank", "Write the text, or leave the field out when it is not required.")
    return text.strip()


def _link(text: str) -> str:
    try:
        url = _URL.validate_python(_line(text))
    except ValidationError:
        raise refusal("link", "is not a web address", "Write it in full: https://www.valmerande.example/…") from None
    if url.username or url.password:
        raise refusal("link", "is a web address with a user name in it", "Remove what stands before the @.")
    return str(url)


def _instant(at: datetime) -> datetime:
    if at.year not in _YEARS:
        raise refusal("year", f"is in the year {at.year}", "Check the year: 2000 to 2100 are understood.")
    return at


def _day(day: date) -> date:
    if day.year not in _YEARS:
        raise refusal("year", f"is in the year {day.year}", "Check the year: 2000 to 2100 are understood.")
    return day


def unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values, for a validator. Raises when one of them stands twice."""
    if len(set(values)) != len(values):
        twice = next(value for value in values if values.count(value) > 1)
        raise refusal("twice", f"has {str(twice)!r} twice", "Keep one of them.")
    return values


_ONE_LINE = {"pattern": f"^[^{_CONTROLS}]*$"}
_LINES = {"pattern": f"^[^{_CONTROLS_IN_BLOCK}]*$"}

Line = Annotated[str, Field(min_length=1, max_length=200, json_schema_extra=_ONE_LINE), AfterValidator(_line)]
"""A name or a number that reads the same in every language, on one line."""
Sentence = Annotated[str, Field(min_length=1, max_length=600, json_schema_extra=_ONE_LINE), AfterValidator(_line)]
"""Words for the reader, on one line."""
Block = Annotated[str, Field(min_length=1, max_length=8000, json_schema_extra=_LINES), AfterValidator(_block)]
"""Words for the reader, in paragraphs: Markdown."""
Matter = Annotated[str, Field(min_length=1, max_length=200, json_schema_extra=_ONE_LINE), AfterValidator(_line)]
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""A code of ours (authority, area, theme, channel): letters, digits, dots, dashes."""
Codes = Annotated[
    tuple[Code, ...], Field(max_length=100, json_schema_extra={"uniqueItems": True}), AfterValidator(unique)
]
Link = Annotated[
    str,
    Field(max_length=500, json_schema_extra={"format": "uri", "pattern": "^https?://"}),
    AfterValidator(_link),
]
"""A web address, http or https, kept in its normal form."""
Instant = Annotated[AwareDatetime, AfterValidator(_instant)]
"""A moment with its offset from UTC."""
Day = Annotated[date, AfterValidator(_day)]
"""A day of the local calendar."""
ClockTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
"""A time of the local day: "08:30"."""


class Part(BaseModel):
    """What every model of this package is: frozen, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Localized(Part):
    """One sentence in each language; French is required, and stands in for a language that is missing."""

    fr: Sentence
    en: Sentence | None = None

    def text(self, language: str) -> str:
        """The sentence in that language, in French when there is none."""
        return (self.en if language == "en" else None) or self.fr


class LocalizedText(Part):
    """Paragraphs (Markdown) in each language; French is required, and stands in for a missing language."""

    fr: Block
    en: Block | None = None

    def text(self, language: str) -> str:
        """The paragraphs in that language, in French when there are none."""
        return (self.en if language == "en" else None) or self.fr


class Place(Part):
    """Somewhere to go: a shelter, a meeting room, where bottles are handed out, a bring point."""

    name: Line
    address: Line | None = None
    hours: Localized | None = None
    accessible: bool | None = None
    """Step-free; None when not known."""


Places = Annotated[tuple[Place, ...], Field(max_length=20)]
Sentences = Annotated[tuple[Localized, ...], Field(max_length=20)]


def not_before(last: date, known: ValidationInfo, name: str) -> date:
    """``last``, for a validator. Raises when the field ``name``, declared before it, is later."""
    first = known.data.get(name)  # absent when it has a fault of its own
    if first is not None and last < first:
        raise refusal("order", f"is {last}, before {name}, {first}", "Swap them, or correct one.")
    return last
