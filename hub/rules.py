"""The rules file: which announcement goes to which themes, by which lane and channels, in which languages.

CSV with semicolons, UTF-8: officers open it in a spreadsheet. One rule a line, the first that matches wins;
empty lines and lines that begin with # are for the reader. Columns, in any order::

    type;severity;areas;themes;lane;channels;languages;template
    water-quality;>=Severe;*;alertes,eau-energie;urgent;*;*;*

type, severity and areas say what a rule matches: ``*``, a list with commas, or for the severity a minimum.
A rule with areas matches an event that concerns at least one of them, hence also one for the whole authority.
The others say what follows: ``*`` is every channel, every language, the type's own template.
"""

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product

from schemas.events import TYPES, Notice, template_of
from schemas.lanes import Lane, Severity

COLUMNS = ("type", "severity", "areas", "themes", "lane", "channels", "languages", "template")
ANY = "*"
_SEVERITIES = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Known:
    """The codes that rules of one authority may name."""

    areas: Collection[str]
    themes: Collection[str]
    channels: Collection[str]
    templates: Collection[str]
    languages: Collection[str] = ("fr", "en")


@dataclass(frozen=True, slots=True)
class Rule:
    """One line. ``areas`` None is everywhere; ``template`` None is the type's own.

    ``themes`` is empty in a rule for notices only: they bring their own.
    """

    line: int
    types: frozenset[str]
    severities: frozenset[Severity]
    areas: frozenset[str] | None
    themes: tuple[str, ...]
    lane: Lane
    channels: tuple[str, ...]
    languages: tuple[str, ...]
    template: str | None

    def matches(self, type_: str, severity: Severity, areas: Collection[str]) -> bool:
        """Whether an event is this rule's; no areas is the whole authority."""
        somewhere = self.areas is None or not areas or not self.areas.isdisjoint(areas)
        return somewhere and type_ in self.types and severity in self.severities


@dataclass(frozen=True, slots=True)
class Rules:
    """A whole file, in its order."""

    filename: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class RuleFault:
    """One thing wrong in a rules file, and what to do about it; ``line`` counts from 1."""

    filename: str
    line: int
    reason: str
    mend: str

    def __str__(self) -> str:
        return f"{self.filename}:{self.line}: {self.reason}. {self.mend}"


class RulesInvalid(ValueError):
    """A rules file that can't be used: ``faults``, all of them, in the order of their lines."""

    def __init__(self, faults: tuple[RuleFault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def parse_rules(text: str, filename: str, known: Known) -> Rules:
    """The rules of a file. Raises RulesInvalid with every fault: file, line, what is wrong, way to mend."""
    faults: list[RuleFault] = []
    rows = _rows(text.removeprefix("\ufeff"), filename, faults)
    rules: list[Rule] = []
    if rows:
        (header_line, header), *lines = rows
        columns = [name.strip().casefold() for name in header]
        faults += _header_faults(columns, header_line, filename)
        if not faults:
            for number, cells in lines:
                line = _Line(filename, number, faults)
                rule = line.rule(columns, cells, known)
                if rule is not None:
                    rules.append(rule)
            if not lines:
                faults.append(RuleFault(filename, header_line, "there is no rule", "Write one a line, below."))
    elif not faults:
        faults.append(RuleFault(filename, 1, "the file is empty", f"Begin with the line {';'.join(COLUMNS)}"))
    faults += _shadowed(rules, filename)
    if faults:
        raise RulesInvalid(tuple(sorted(faults, key=lambda fault: fault.line)))
    return Rules(filename, tuple(rules))


def _rows(text: str, filename: str, faults: list[RuleFault]) -> list[tuple[int, list[str]]]:
    """Lines that say something, each with the number of its (first) line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";", strict=True)
    rows: list[tuple[int, list[str]]] = []
    before = 0
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells) and not cells[0].lstrip().startswith("#"):
                rows.append((before + 1, cells))
            before = reader.line_num
    except csv.Error as error:
        faults.append(RuleFault(filename, before + 1, f"not a line of CSV ({error})", "Check the quotes there."))
    return rows


def _header_faults(columns: Sequence[str], line: int, filename: str) -> list[RuleFault]:
    if len(columns) == 1 and "," in columns[0]:
        return [RuleFault(filename, line, "columns are separated by commas", "Save the sheet with semicolons.")]
    faults = [
        RuleFault(filename, line, f"the column {name!r} is missing", f"The columns are {';'.join(COLUMNS)}.")
        for name in COLUMNS
        if name not in columns
    ]
    for index, name in enumerate(columns):
        if name in columns[:index]:
            faults.append(RuleFault(filename, line, f"the column {name!r} stands twice", "Keep one of them."))
        elif name not in COLUMNS:
            mend = _near(name, COLUMNS) or "Remove it."
            faults.append(RuleFault(filename, line, f"unknown column {name!r}", mend))
    return faults


@dataclass(slots=True)
class _Line:
    """Reads one line's cells and notes what is wrong in them."""

    filename: str
    number: int
    faults: list[RuleFault]

    def rule(self, columns: Sequence[str], cells: Sequence[str], known: Known) -> Rule | None:
        """The rule, None when the line has faults."""
        before = len(self.faults)
        if len(cells) != len(columns):
            self._fault(f"{len(cells)} cells for {len(columns)} columns", "Write one cell a column; * stands for any.")
            return None
        cell = {name: text.strip() for name, text in zip(columns, cells, strict=True)}
        types = self._types(cell["type"])
        severities = self._severities(cell["severity"])
        areas = None if cell["areas"] == ANY else frozenset(self._list("area", cell["areas"], known.areas))
        own_themes = cell["themes"] == ANY
        if own_themes and types != {Notice.TYPE}:
            self._fault("the themes are *, which only notices can have", f"Use some of: {_some(known.themes)}.")
        themes = () if own_themes else self._list("theme", cell["themes"], known.themes)
        lanes = self._list("lane", cell["lane"], [lane.value for lane in Lane])
        if len(lanes) > 1:
            self._fault("more than one lane", f"Keep one of: {', '.join(lanes)}.")
        channels = self._list_or_all("channel", cell["channels"], known.channels)
        languages = self._list_or_all("language", cell["languages"], known.languages)
        template = self._template(cell["template"], types, known.templates)
        if len(self.faults) > before:
            return None
        return Rule(self.number, types, severities, areas, themes, Lane(lanes[0]), channels, languages, template)

    def _fault(self, reason: str, mend: str) -> None:
        self.faults.append(RuleFault(self.filename, self.number, reason, mend))

    def _types(self, text: str) -> frozenset[str]:
        if text == ANY:
            return frozenset(TYPES)
        names = {template_of(name): name for name in TYPES} | {name: name for name in TYPES}
        return frozenset(names[short] for short in self._list("type", text, list(names)))

    def _severities(self, text: str) -> frozenset[Severity]:
        if text == ANY:
            return frozenset(Severity)
        names = [severity.value for severity in Severity]
        if not text.startswith(">="):
            return frozenset(map(Severity, self._list("severity", text, names)))
        least = self._list("severity", text.removeprefix(">="), names)
        if len(least) > 1:
            self._fault("a minimum and a list of severities", "Write >= with one severity, or a list.")
        return frozenset(_SEVERITIES[names.index(least[0]) :]) if least else frozenset()

    def _template(self, text: str, types: Collection[str], templates: Collection[str]) -> str | None:
        if text != ANY:
            return next(iter(self._list("template", text, templates)), None)
        for missing in sorted({template_of(type_) for type_ in types} - set(templates)):
            self._fault(f"there is no template {missing!r}", f"Write another: {_some(templates)}.")
        return None

    def _list_or_all(self, what: str, text: str, known: Collection[str]) -> tuple[str, ...]:
        return tuple(known) if text == ANY else self._list(what, text, known)

    def _list(self, what: str, text: str, known: Collection[str]) -> tuple[str, ...]:
        """The codes of a cell that are known; capitals don't matter, spreadsheets like to add them."""
        folded = {code.casefold(): code for code in known}
        found: dict[str, None] = {}
        for word in (part.strip() for part in text.split(",")):
            code = folded.get(word.casefold())
            if not word:
                self._fault(f"the {what} is empty", f"Use some of: {_some(known)}.")
            elif code is None:
                self._fault(f"unknown {what} {word!r}", _near(word, known) or f"Use some of: {_some(known)}.")
            elif code in found:
                self._fault(f"the {what} {code!r} stands twice", "Keep one of them.")
            else:
                found[code] = None
        return tuple(found)


def _shadowed(rules: Sequence[Rule], filename: str) -> list[RuleFault]:
    """Rules that no event can reach, because earlier ones, alone or together, take all that they match."""
    faults = []
    for index, rule in enumerate(rules):
        takers: dict[int, None] = {}
        everywhere: frozenset[str] = frozenset({"\0"})  # a place that no list of areas holds
        for type_, severity, area in product(rule.types, rule.severities, rule.areas or everywhere):
            taker = next((earlier for earlier in rules[:index] if earlier.matches(type_, severity, (area,))), None)
            if taker is None:
                break
            takers[taker.line] = None
        else:
            lines = ", ".join(map(str, sorted(takers)))
            faults.append(
                RuleFault(
                    filename,
                    rule.line,
                    f"never reached: line {lines} takes all that it matches",
                    "Move it up, or remove it.",
                )
            )
    return faults


def _near(word: str, known: Collection[str]) -> str:
    folded: Mapping[str, str] = {code.casefold(): code for code in known}
    near = get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return f"Did you mean {folded[near[0]]!r}?" if near else ""


def _some(known: Collection[str]) -> str:
    return ", ".join(sorted(known)) or "(there is none yet)"
