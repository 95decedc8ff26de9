"""Several measurements of one thing, told by their lowest, middle and highest."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """The lowest, the median and the highest of some measurements."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of at least one value. Of an even number, the median is the mean of the two in the middle."""
        if not values:
            raise ValueError("nothing was measured")
        ordered = sorted(values)
        middle = len(ordered) // 2
        median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
        return cls(ordered[0], median, ordered[-1])


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share (0 < share ≤ 1) of all are not above: the nearest rank."""
    if not values:
        raise ValueError("nothing was measured")
    if not 0 < share <= 1:
        raise ValueError(f"{share} is no share")
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1]
