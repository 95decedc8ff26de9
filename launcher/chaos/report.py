"""What a scenario came to: counted, compared with what docs/guarantees.md promises, and told."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

TIMES_AT_MOST = 2
"""How often one mail reaches its server: once more after an unclear outcome, then an officer decides."""


@dataclass
class Report:
    """One scenario, or one run of it; printed as JSON."""

    scenario: str
    seed: int
    channels: list[str]
    events: int = 0
    deliveries: int = 0
    states: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    repeated: int = 0
    repeat_bound: int = 0
    bound_of: list[str] = field(default_factory=list)
    most_times: int = 0
    """How often the mail that reached its server most often did so."""
    repeated_idempotent: int = 0
    sigterm: dict[str, int] = field(default_factory=dict)
    unaccounted: int = 0
    agree: bool = True
    settled: bool = True
    blows: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    """What the scenario measured besides."""
    disagreements: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """What the scenario itself found broken, in words; ``faults`` has it all."""
    seconds: float = 0.0

    @property
    def faults(self) -> list[str]:
        """The promises that were broken, in words."""
        checks = {
            "something was lost": self.lost > 0,
            "more was repeated than the bound allows": self.repeated > self.repeat_bound,
            f"one mail was sent more than {TIMES_AT_MOST} times": self.most_times > TIMES_AT_MOST,
            "a provider that deduplicates, or can be searched, has something twice": self.repeated_idempotent > 0,
            "ending with SIGTERM lost or repeated something": any(self.sigterm.values()),
            "deliveries are unaccounted for": self.unaccounted > 0,
            "journals and database disagree": not self.agree,
            "not everything settled in time": not self.settled,
        }
        return [*(words for words, broken in checks.items() if broken), *self.broken]

    def as_json(self) -> str:
        """One line."""
        return json.dumps({**vars(self), "faults": self.faults}, ensure_ascii=False)

    def as_words(self) -> str:
        """One line for people."""
        held = "held" if not self.faults else f"BROKEN ({'; '.join(self.faults)})"
        return (
            f"{self.scenario}: {self.events} events, {self.deliveries} deliveries, {len(self.blows)} blows: "
            f"lost {self.lost}, repeated {self.repeated} (at most {self.repeat_bound}), "
            f"{self.seconds:.0f} s. {held}."
        )


@dataclass(frozen=True, slots=True)
class Spread:
    """A distribution as people read it. ``p95`` is the smallest value that 95 % do not exceed."""

    min: float
    median: float
    p95: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Of at least one value."""
        found = sorted(values)
        return cls(found[0], median(found), found[math.ceil(0.95 * len(found)) - 1], found[-1])


def spread_of_runs(reports: Sequence[Report]) -> dict[str, Any]:
    """The last line of several runs of one scenario: how the repeats are distributed, and the bound."""
    spread = Spread.of(report.repeated for report in reports)
    return {
        "scenario": reports[0].scenario,
        "runs": len(reports),
        "deliveries": sum(report.deliveries for report in reports),
        "lost": sum(report.lost for report in reports),
        "repeated_min": spread.min,
        "repeated_median": spread.median,
        "repeated_p95": spread.p95,
        "repeated_max": spread.max,
        "repeat_bound": min(report.repeat_bound for report in reports),
        "most_times": max(report.most_times for report in reports),
        "repeated": [report.repeated for report in reports],
        **_ends(reports),
    }


def summary(reports: Sequence[Report]) -> dict[str, Any]:
    """The last line of several scenarios."""
    return {
        "scenarios": len(reports),
        "deliveries": sum(report.deliveries for report in reports),
        "lost": sum(report.lost for report in reports),
        "repeated": sum(report.repeated for report in reports),
        "repeat_bound": sum(report.repeat_bound for report in reports),
        **_ends(reports),
    }


def _ends(reports: Sequence[Report]) -> Mapping[str, Any]:
    return {
        "broken": sorted({report.scenario for report in reports if report.faults}),
        "seconds": round(sum(report.seconds for report in reports), 1),
    }
