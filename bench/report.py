"""What a bench came to: rounds of figures, their spread, what each process used; as tables and as one JSON object."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.spread import Spread
from bench.statements import Statement
from bench.usage import Used

_DIGITS_BELOW = 100.0  # smaller figures are shown with a decimal


@dataclass(frozen=True)
class Round:
    """One round: figures by their flat key, what each process used meanwhile, samples by step of the hub's work."""

    figures: Mapping[str, float]
    used: Mapping[str, Used] = field(default_factory=dict)
    steps: Mapping[str, int] = field(default_factory=dict)
    places: Mapping[str, int] = field(default_factory=dict)
    statements: Sequence[Statement] = ()


@dataclass
class Report:
    """A bench with its settings (flat keys, as asked), rounds, and in ``faults`` what was not as it must be."""

    bench: str
    settings: Mapping[str, int | str]
    rounds: list[Round] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def spreads(self) -> dict[str, Spread]:
        """The spread of each figure over the rounds that have it."""
        keys = dict.fromkeys(key for one in self.rounds for key in one.figures)
        return {key: Spread.of([one.figures[key] for one in self.rounds if key in one.figures]) for key in keys}

    @property
    def used(self) -> dict[str, Used]:
        """Of each process, the median of its processor time over the rounds, and its highest peak of memory."""
        names = dict.fromkeys(name for one in self.rounds for name in one.used)
        found = {}
        for name in names:
            rounds = [one.used[name] for one in self.rounds if name in one.used]
            cpu = Spread.of([one.cpu_s for one in rounds]).median
            found[name] = Used(round(cpu, 2), max(one.peak_mb for one in rounds))
        return found

    @property
    def steps(self) -> dict[str, float]:
        """The share of the hub's own processor time in each step, largest first; in all 1."""
        return _shares([one.steps for one in self.rounds])

    @property
    def places(self) -> dict[str, float]:
        """The share in each function of ours, with all that it calls outside; the largest only."""
        return dict(list(_shares([one.places for one in self.rounds]).items())[:25])

    @property
    def statements(self) -> Sequence[Statement]:
        """The dearest statements of the last round."""
        return self.rounds[-1].statements if self.rounds else ()

    def as_json(self) -> str:
        """One line: medians under their flat keys, and beside them the spreads, processes, steps and faults."""
        spreads = self.spreads
        found: dict[str, Any] = {"bench": self.bench, **self.settings, "rounds": len(self.rounds)}
        found |= {key: _rounded(spread.median) for key, spread in spreads.items()}
        found["spread"] = {
            key: [_rounded(spread.low), _rounded(spread.median), _rounded(spread.high)]
            for key, spread in spreads.items()
        }
        found["processes"] = {
            name: {"cpu_s": used.cpu_s, "peak_mb": round(used.peak_mb, 1)} for name, used in self.used.items()
        }
        found["steps"] = self.steps
        found["places"] = self.places
        found["statements"] = [asdict(one) for one in self.statements]
        found["machine"] = machine()
        found["faults"] = self.faults
        return json.dumps(found, ensure_ascii=False)

    def show(self, console: Console) -> None:
        """Tables for people."""
        console.print(_figures(self))
        if self.used:
            console.print(_processes(self.used))
        if self.steps:
            console.print(_steps("share of the hub's processor time by step", self.steps))
        if self.statements:
            console.print(_statements(self.statements))
        for note in self.notes:
            console.print(f"- {note}", highlight=False, markup=False, soft_wrap=True)
        for fault in self.faults:
            console.print(f"Not as it must be: {fault}.", highlight=False, markup=False, soft_wrap=True)


def machine() -> dict[str, str | int | float]:
    """The machine that was measured: figures of another are other figures. ``load`` is the last minute's."""
    return {
        "cores": os.cpu_count() or 0,
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def _shares(rounds: Sequence[Mapping[str, int]]) -> dict[str, float]:
    counts: dict[str, int] = {}
    for one in rounds:
        for step, count in one.items():
            counts[step] = counts.get(step, 0) + count
    total = sum(counts.values())
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return {step: round(count / total, 4) for step, count in ordered if count}


def _figures(report: Report) -> Table:
    settings = ", ".join(f"{key} {value}" for key, value in report.settings.items())
    table = Table(title=f"bench {report.bench} ({settings}; {len(report.rounds)} rounds)", title_justify="left")
    table.add_column("figure")
    for name in ("min", "median", "max"):
        table.add_column(name, justify="right")
    for key, spread in report.spreads.items():
        table.add_row(key, *map(_number, (spread.low, spread.median, spread.high)))
    return table


def _processes(used: Mapping[str, Used]) -> Table:
    table = Table(title="processes", title_justify="left")
    table.add_column("process")
    table.add_column("CPU seconds", justify="right")
    table.add_column("peak MB", justify="right")
    for name, one in used.items():
        table.add_row(name, f"{one.cpu_s:.2f}", f"{one.peak_mb:.0f}")
    return table


def _steps(title: str, shares: Mapping[str, float]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("step")
    table.add_column("share", justify="right")
    for step, share in shares.items():
        table.add_row(step, f"{share:.1%}")
    return table


def _statements(dearest: Sequence[Statement]) -> Table:
    table = Table(title="PostgreSQL's dearest statements in the last round", title_justify="left")
    table.add_column("statement", max_width=70, overflow="ellipsis", no_wrap=True)
    for name in ("calls", "seconds", "ms each"):
        table.add_column(name, justify="right")
    for one in dearest:
        each = one.seconds / one.calls * 1000
        table.add_row(one.text, f"{one.calls:,}", f"{one.seconds:.2f}", f"{each:.2f}")
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= _DIGITS_BELOW or value == int(value) else f"{value:,.2f}"


def _rounded(value: float) -> float:
    return round(value) if abs(value) >= 1000 else round(value, 3)
