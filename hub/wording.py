"""How dates, hours, lists and numbers are said, and how French is spaced. Values in, words out.

Babel knows names of days and months, plurals of lists and decimal signs; what it does not know is how a notice
says a range (« du 4 au 8 novembre »), the first of the month (« 1er ») or an hour (« 8 h 30 »).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import phonenumbers
from babel import Locale
from babel.dates import format_date
from babel.lists import format_list
from babel.numbers import format_decimal

LANGUAGES = ("fr", "en")
"""Languages that templates are written in, the first also standing in for one that is missing."""

_LOCALES = {"fr": Locale("fr", "FR"), "en": Locale("en", "GB")}
_NBSP = "\u00a0"
_FEMININE = frozenset(
    [
        "rue",
        "avenue",
        "place",
        "allée",
        "impasse",
        "route",
        "voie",
        "ruelle",
        "venelle",
        "esplanade",
        "promenade",
        "chaussée",
        "rocade",
        "sente",
        "côte",
        "montée",
        "traverse",
        "passerelle",
    ]
)
_ARTICLE = re.compile(r"^(?:l['’]|(?:le|la|les) )", re.IGNORECASE)

Moment = datetime | str
"""A moment with its offset, or its ISO 8601 form as JSON keeps it."""
Day = date | str
"""A day, or its ISO 8601 form."""


@dataclass(frozen=True, slots=True)
class Wording:
    """A language, a time zone, and the year that goes without saying. Raises ValueError for what is no date."""

    language: str
    zone: ZoneInfo
    year: int

    @property
    def _locale(self) -> Locale:
        return _LOCALES[self.language]

    def day(self, value: Day | Moment) -> str:
        """« mardi 4 novembre »; "Tuesday 4 November". The year is said when it is another."""
        return self._date(self._day(value), "EEEE d MMMM")

    def short_day(self, value: Day | Moment) -> str:
        """« 4 novembre »; "4 November"."""
        return self._date(self._day(value), "d MMMM")

    def hour(self, value: Moment | time) -> str:
        """« 8 h 30 », « midi »; "8.30 am", "noon". Takes "08:30" too."""
        at = self._time(value)
        if self.language == "fr":
            named = {time(0): "minuit", time(12): "midi"}
            minutes = f"{_NBSP}{at.minute:02}" if at.minute else ""
            return named.get(at, f"{at.hour}{_NBSP}h{minutes}")
        named = {time(0): "midnight", time(12): "noon"}
        minutes = f".{at.minute:02}" if at.minute else ""
        return named.get(at, f"{at.hour % 12 or 12}{minutes}{_NBSP}{'am' if at.hour < 12 else 'pm'}")

    def moment(self, value: Moment) -> str:
        """« mardi 4 novembre à 8 h »; "Tuesday 4 November at 8 am"."""
        return f"{self.day(value)} {'à' if self.language == 'fr' else 'at'} {self.hour(value)}"

    def days(self, first: Day, last: Day, *, weekdays: bool = False) -> str:
        """« du 4 au 8 novembre », « le 4 novembre »; "from 4 to 8 November", "on 4 November"."""
        start, end = self._day(first), self._day(last)
        full = "EEEE d MMMM" if weekdays else "d MMMM"
        on, since, until = ("le", "du", "au") if self.language == "fr" else ("on", "from", "to")
        if start == end:
            return f"{on} {self._date(start, full)}"
        if (start.year, start.month) == (end.year, end.month):
            begin = self._date(start, full.removesuffix(" MMMM"), year=False)
        else:
            begin = self._date(start, full, year=start.year != end.year)
        return f"{since} {begin} {until} {self._date(end, full)}"

    def hours(self, first: Moment | time, last: Moment | time) -> str:
        """« de 8 h à 17 h 30 »; "from 8 am to 5.30 pm"."""
        since, until = ("de", "à") if self.language == "fr" else ("from", "to")
        return f"{since} {self.hour(first)} {until} {self.hour(last)}"

    def listed(self, items: Iterable[str]) -> str:
        """« a, b et c »; "a, b and c"."""
        return str(format_list(list(items), locale=self._locale))

    def number(self, value: float) -> str:
        """« 5,35 »; "5.35"."""
        return str(format_decimal(value, locale=self._locale))

    def spaced(self, text: str) -> str:
        """The text with the no-break spaces that French puts before « : ; ! ? » and inside its quotes."""
        if self.language != "fr":
            return text
        return re.sub(r"(?<=«)[ ]?(?=\S)|[ ](?=[:;!?»€%](?:\s|\W|$))", _NBSP, text)

    def _date(self, day: date, pattern: str, *, year: bool = True) -> str:
        said = format_date(day, f"{pattern} y" if year and day.year != self.year else pattern, self._locale)
        return re.sub(r"\b1\b", "1er", said, count=1) if self.language == "fr" and day.day == 1 else said

    def _day(self, value: Day | Moment) -> date:
        if isinstance(value, str):
            value = date.fromisoformat(value) if len(value) == len("2026-11-04") else datetime.fromisoformat(value)
        return value.astimezone(self.zone).date() if isinstance(value, datetime) else value

    def _time(self, value: Moment | time) -> time:
        if isinstance(value, str):
            value = time.fromisoformat(value) if len(value) == len("08:30") else datetime.fromisoformat(value)
        return value.astimezone(self.zone).time() if isinstance(value, datetime) else value


def capital(text: str) -> str:
    """The text with a capital first; the rest is left as it is."""
    return text[:1].upper() + text[1:]


def phone(text: str) -> str:
    """A phone number as it is dialled in France, another country's in its international form.

    What is no phone number (a mail address, a service's name) comes back as it was.
    """
    try:
        number = phonenumbers.parse(text, "FR")
    except phonenumbers.NumberParseException:
        return text
    form = phonenumbers.PhoneNumberFormat.INTERNATIONAL
    if number.country_code == 33:
        form = phonenumbers.PhoneNumberFormat.NATIONAL
    return str(phonenumbers.format_number(number, form))


def clause(text: str) -> str:
    """The text to stand inside a sentence or after a label: without its final stop."""
    return text.rstrip(" .")


def sentence(text: str) -> str:
    """The text as a sentence: a capital first, a stop at the end unless it has one."""
    said = capital(text.strip())
    return said if said.endswith((".", "!", "?", "…")) else f"{said}."


def the_french(river: str) -> str:
    """A river's name with its article: « Orvelle » → « l’Orvelle ». One whose gender is unknown stays bare."""
    bare = not _ARTICLE.match(river)
    return f"l’{river}" if bare and river[:1].lower() in "aeiouyàâéèêîôûh" else river


def of_french(river: str) -> str:
    """« de » before a river: « de l’Orvelle », le Loir → « du Loir », les Usses → « des Usses »."""
    named = the_french(river)
    article, _, rest = named.partition(" ")
    contracted = {"le": "du", "les": "des"}.get(article.lower())
    return f"{contracted} {rest}" if contracted and rest else f"de {named}"


def the_english(name: str) -> str:
    """A French river's name in an English sentence: « l'Orvelle », "Orvelle" → "the Orvelle"."""
    return f"the {_ARTICLE.sub('', name)}"


def agree(street: str, masculine: str, feminine: str) -> str:
    """The form that agrees with a street's name: « rue des Tisserands » → barrée, « quai Vauclair » → barré."""
    return feminine if street.partition(" ")[0].lower() in _FEMININE else masculine
