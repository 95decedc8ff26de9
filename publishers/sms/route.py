"""Which gateway a message goes to: by weight, by its key, and by how the gateways have been doing."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

PATIENCE = 3
"""Failures in a row after which a gateway is left alone for a while."""
FIRST_PAUSE = 2.0
LONGEST_PAUSE = 60.0
LONGEST_ASKED = 300.0
"""Of a pause that the gateway itself asks for. All three in seconds."""


def order(key: str, weights: Mapping[str, int]) -> list[str]:
    """The gateways' names as this key prefers them (rendezvous hashing with weights).

    The same key gives the same order in every process, each gateway is first for its share of the keys, and taking
    one away moves its own keys only. Those of weight 0 come after all others.
    """
    return sorted(weights, key=lambda name: _score(key, name, weights[name]), reverse=True)


def _score(key: str, name: str, weight: int) -> tuple[bool, float]:
    digest = hashlib.blake2b(f"{name}\0{key}".encode(), digest_size=8).digest()
    share = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)  # never 0 or 1
    return weight > 0, (weight or 1) / -math.log(share)


@dataclass(slots=True)
class Health:
    """How one gateway has been doing; ``now`` is always seconds of one monotonic clock.

    Open: it gets its share. Shut, for a pause that doubles each time: it gets nothing. Then one message, the probe,
    decides whether it is open again or shut for longer.
    """

    failures: int = 0
    opens_at: float = 0.0
    probing: bool = False
    pause: float = 0.0

    def takes(self, now: float) -> bool:
        """Whether it should be given a message."""
        return now >= self.opens_at and not self.probing

    def begin(self) -> None:
        """A message is about to be given to it."""
        self.probing = self.failures >= PATIENCE

    def end(self) -> None:
        """That message is done with, whatever came of it."""
        self.probing = False

    def good(self) -> bool:
        """It answered for itself. True when it had been shut."""
        was_shut = self.pause > 0
        self.failures, self.opens_at, self.pause = 0, 0.0, 0.0
        return was_shut

    def bad(self, now: float, asked: float | None = None) -> bool:
        """It failed, or asked to be left alone for ``asked`` seconds. True when that shuts it."""
        self.failures += 1
        if now < self.opens_at:
            return False  # answers to what was given before it was shut
        if self.failures >= PATIENCE:
            self.pause = min(LONGEST_PAUSE, self.pause * 2 or FIRST_PAUSE)
            self.opens_at = now + self.pause
        if asked:
            self.pause = max(self.pause, min(asked, LONGEST_ASKED))
            self.opens_at = max(self.opens_at, now + min(asked, LONGEST_ASKED))
        return self.opens_at > now
