"""Faults that an operator asks for, whatever the address: ``POST /sandbox/faults``. A restart forgets them."""

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from sandbox.statuses import NETWORKS

PROVIDERS = ("email", "sms", *NETWORKS, "mastodon_media", "webhook", "apprise")
KINDS = ("throttle", "refuse", "hang", "error", "drop")
MAIL_KINDS = ("slow", "leave", "reset", "half_close", "hang_at_end", "lie")
"""What the mail server can do besides."""
SLOW = "slow"
"""A way to answer, and no answer: it is met by every reply, and hides no other fault."""


@dataclass(frozen=True, slots=True)
class Fault:
    """``count`` requests left (None: no end), until ``ends`` (monotonic seconds, None: no end).

    One in ``every`` requests meets it; ``passed`` have not since the last that did. ``ms``: how slow.
    """

    provider: str
    kind: str
    count: int | None = None
    retry_after: int = 1
    ends: float | None = None
    every: int = 1
    passed: int = 0
    ms: int = 0

    def as_json(self, clock: float) -> dict[str, Any]:
        """For the index page and ``GET /sandbox/faults``; ``seconds`` are those left."""
        seconds = None if self.ends is None else max(0.0, round(self.ends - clock, 1))
        found = {
            "provider": self.provider,
            "kind": self.kind,
            "count": self.count,
            "retry_after": self.retry_after,
            "seconds": seconds,
            "every": self.every,
        }
        return found | {"ms": self.ms} if self.kind == SLOW else found


class Faults:
    """The faults asked for, oldest first; one request meets at most one."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, asked: Any) -> Fault:
        """Take ``{"provider", "kind", "count"?, "every"?, "retry_after"?, "seconds"?}``, for slow ``{"ms"}`` too.

        ValueError says what is wrong.
        """
        if not isinstance(asked, dict) or asked.get("provider") not in PROVIDERS:
            raise ValueError(f"provider must be one of {', '.join(PROVIDERS)}")
        provider, kind = asked["provider"], str(asked.get("kind"))
        kinds = (*KINDS, *MAIL_KINDS) if provider == "email" else KINDS
        if kind not in kinds:
            raise ValueError(f"kind must be one of {', '.join(kinds)}")
        count, seconds, retry_after = asked.get("count"), asked.get("seconds"), asked.get("retry_after", 1)
        every, ms = asked.get("every", 1), asked.get("ms", 0)
        if count is not None and (not isinstance(count, int) or count < 1):
            raise ValueError("count must be a whole number of 1 or more, or left out")
        if seconds is not None and (not isinstance(seconds, int | float) or seconds <= 0):
            raise ValueError("seconds must be positive, or left out")
        if not isinstance(retry_after, int) or retry_after < 0:
            raise ValueError("retry_after must be a whole number of seconds")
        if not isinstance(every, int) or every < 1:
            raise ValueError("every must be a whole number of 1 or more, or left out")
        if (kind == SLOW) != (isinstance(ms, int) and ms > 0):
            raise ValueError("ms must be the milliseconds before each reply, with slow and only there")
        if kind == SLOW and (count is not None or every != 1):
            raise ValueError("slow concerns every reply: it takes neither count nor every")
        ends = None if seconds is None else time.monotonic() + seconds
        fault = Fault(provider, kind, count, retry_after, ends, every, ms=ms)
        self._faults.append(fault)
        return fault

    def take(self, provider: str, kinds: Collection[str] = KINDS) -> Fault | None:
        """The fault this request meets, used up once; None when there is none (of these kinds) now."""
        self._forget_ended()
        for index, fault in enumerate(self._faults):
            if fault.provider != provider or fault.kind == SLOW:
                continue
            if fault.kind not in kinds:
                return None
            if fault.passed + 1 < fault.every:
                self._faults[index] = replace(fault, passed=fault.passed + 1)
                continue
            if fault.count == 1:
                del self._faults[index]
            else:
                left = None if fault.count is None else fault.count - 1
                self._faults[index] = replace(fault, count=left, passed=0)
            return fault
        return None

    def pause(self, provider: str) -> float:
        """Seconds to pass before each reply of this provider now."""
        if not self._faults:
            return 0.0
        self._forget_ended()
        return max((fault.ms / 1000 for fault in self._faults if fault.provider == provider), default=0.0)

    def _forget_ended(self) -> None:
        if self._faults:
            clock = time.monotonic()
            self._faults = [fault for fault in self._faults if fault.ends is None or fault.ends > clock]

    def clear(self) -> None:
        """Forget all."""
        self._faults = []

    def as_json(self) -> list[dict[str, Any]]:
        """Those still to come."""
        clock = time.monotonic()
        return [fault.as_json(clock) for fault in self._faults if fault.ends is None or fault.ends > clock]
