"""How much work is kept on Kafka ahead of the workers: so much as they do in a moment, whatever their speed.

A partition is first-in first-out: what is on it already goes before whoever comes next. With a relay that takes ten
thousand mails a second, forty batches are a moment; with one that takes five hundred they are sixteen seconds, in
which a village waits, workers give back what they don't come to, and leases run out.
"""

import math
from dataclasses import dataclass, replace

AHEAD_S = 0.4
"""Work of so many seconds is under way."""
READY = 4
"""But never fewer batches than are in hand, and so many for whoever is free: else workers beyond the first would stand
idle beside a relay that takes seconds for a batch, however many it takes at once."""
LEAST = 8
"""While nobody has anything in hand, and nobody knows how fast it goes."""

_MEMORY_S = 1.0
_TOO_SOON_S = 0.001  # after the last look: what ended since is counted by the next


@dataclass(frozen=True, slots=True)
class Pace:
    """What is known of a road's speed. ``most`` batches may be under way at any speed; moments are seconds.

    Only while the road is full does what ends tell how fast the workers are; else it tells how much there was to do.
    """

    most: int
    rate: float | None = None
    """Batches that end in a second."""
    under_way: int = 0
    in_hand: int = 0
    """Batches of those under way that workers have claimed."""
    full: bool = False
    at: float = 0.0

    @property
    def depth(self) -> int:
        """How many batches are to be under way."""
        return min(self.most, max(LEAST, self.in_hand + READY, math.ceil((self.rate or 0) * AHEAD_S)))

    def seen(self, under_way: int, in_hand: int, now: float) -> "Pace":
        """So many are under way at this moment, so many of them in hand; the others of the last look have ended."""
        elapsed = now - self.at
        if not self.full:
            return replace(self, under_way=under_way, in_hand=in_hand, at=now)
        if elapsed < _TOO_SOON_S:
            return replace(self, in_hand=in_hand)
        fresh = max(0, self.under_way - under_way) / elapsed
        weight = 1 - math.exp(-elapsed / _MEMORY_S)
        rate = fresh if self.rate is None else self.rate + weight * (fresh - self.rate)
        return replace(self, rate=rate, under_way=under_way, in_hand=in_hand, at=now)

    def offered(self, batches: int) -> "Pace":
        """So many more are under way."""
        under_way = self.under_way + batches
        return replace(self, under_way=under_way, full=under_way >= self.depth)
