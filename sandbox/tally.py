"""How often each provider accepted, refused, deferred or dropped, and what it got twice."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Counts of one provider; keys are kept as 64-bit hashes only.

    ``duplicates``: accepted lines beyond the first accepted one of their key. ``repeated_after_drop``: accepted
    though the same key had been taken before without an answer (the sender could not know).
    """

    outcomes: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    repeated_after_drop: int = 0
    _accepted: set[int] = field(default_factory=set)
    _dropped: set[int] = field(default_factory=set)

    def record(self, outcome: str, *key: str) -> None:
        """Count one decision; ``key`` is what must not come twice, and matters for accepted and dropped."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if outcome == "dropped":
            self._dropped.add(hash(key))
        elif outcome == "accepted":
            known = hash(key)
            if known in self._accepted:
                self.duplicates += 1
            elif known in self._dropped:
                self.repeated_after_drop += 1
            self._accepted.add(known)

    def as_json(self) -> dict[str, int]:
        """For ``GET /sandbox/counts``."""
        return {
            **{name: self.outcomes.get(name, 0) for name in ("accepted", "refused", "deferred", "dropped")},
            **{name: count for name, count in sorted(self.outcomes.items())},
            "distinct": len(self._accepted | self._dropped),
            "duplicates": self.duplicates,
            "repeated_after_drop": self.repeated_after_drop,
        }
