"""Lanes: three roads that never share a topic or a worker, so that no alert queues behind a newsletter."""

from enum import StrEnum


class Lane(StrEnum):
    """The road an announcement takes from routing to delivery (design: guarantee G8)."""

    URGENT = "urgent"
    ROUTINE = "routine"
    BULK = "bulk"


class Severity(StrEnum):
    """Severity in the words of CAP 1.2, section 3.2.2 (info.severity), least to most severe."""

    UNKNOWN = "Unknown"
    MINOR = "Minor"
    MODERATE = "Moderate"
    SEVERE = "Severe"
    EXTREME = "Extreme"
