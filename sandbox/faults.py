"""Faults that an operator asks for, whatever the address: ``POST /sandbox/faults``. A restart forgets them."""

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from sandbox.statuses import NETWORKS

PROVIDERS = ("email", "sms", *NETWORKS, "mastodon_media", "webhook", "apprise")
KINDS = ("throttle", "refuse", "hang", "error", "drop")


@dataclass(frozen=True, slots=True)
class Fault:
    """``count`` requests left (None: no end), until ``ends`` (monotonic seconds, None: no end)."""

    provider: str
    kind: str
    count: int | None = None
    retry_after: int = 1
    ends: float | None = None

    def as_json(self, clock: float) -> dict[str, Any]:
        """For the index page and ``GET /sandbox/faults``; ``seconds`` are those left."""
        seconds = None if self.ends is None else max(0.0, round(self.ends - clock, 1))
        return {
            "provider": self.provider,
            "kind": self.kind,
            "count": self.count,
            "retry_after": self.retry_after,
            "seconds": seconds,
        }


class Faults:
    """The faults asked for, oldest first; one request meets at most one."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, asked: Any) -> Fault:
        """Take ``{"provider", "kind", "count"?, "retry_after"?, "seconds"?}``; ValueError says what is wrong."""
        if not isinstance(asked, dict) or asked.get("provider") not in PROVIDERS:
            raise ValueError(f"provider must be one of {', '.join(PROVIDERS)}")
        if asked.get("kind") not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}")
        count, seconds, retry_after = asked.get("count"), asked.get("seconds"), asked.get("retry_after", 1)
        if count is not None and (not isinstance(count, int) or count < 1):
            raise ValueError("count must be a whole number of 1 or more, or left out")
        if seconds is not None and (not isinstance(seconds, int | float) or seconds <= 0):
            raise ValueError("seconds must be positive, or left out")
        if not isinstance(retry_after, int) or retry_after < 0:
            raise ValueError("retry_after must be a whole number of seconds")
        ends = None if seconds is None else time.monotonic() + seconds
        fault = Fault(asked["provider"], asked["kind"], count, retry_after, ends)
        self._faults.append(fault)
        return fault

    def take(self, provider: str, kinds: Collection[str] = KINDS) -> Fault | None:
        """The fault this request meets, used up once; None when there is none (of these kinds) now."""
        clock = time.monotonic()
        self._faults = [fault for fault in self._faults if fault.ends is None or fault.ends > clock]
        for index, fault in enumerate(self._faults):
            if fault.provider != provider:
                continue
            if fault.kind not in kinds:
                return None
            if fault.count == 1:
                del self._faults[index]
            elif fault.count is not None:
                self._faults[index] = replace(fault, count=fault.count - 1)
            return fault
        return None

    def clear(self) -> None:
        """Forget all."""
        self._faults = []

    def as_json(self) -> list[dict[str, Any]]:
        """Those still to come."""
        clock = time.monotonic()
        return [fault.as_json(clock) for fault in self._faults if fault.ends is None or fault.ends > clock]
