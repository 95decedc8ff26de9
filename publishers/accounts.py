"""What an account at a provider takes: rates by the operator's settings, and its part in one send.

The hub keeps the rates, because all workers share them; a publisher only says which there are, and, where it
shares messages out among several accounts itself (relays, gateways), keeps to what it was granted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pydantic import Field

from publishers.base import Report
from publishers.settings import Options
from schemas.messages import Message


@dataclass(frozen=True, slots=True)
class Rate:
    """So many messages ``per_second`` in the long run, and at most ``burst`` (1 or more) of them together."""

    per_second: float
    burst: int

    @classmethod
    def of(cls, per_second: float, burst: int | None, usual_s: float) -> "Rate":
        """A rate; without a burst, ``usual_s`` seconds' worth may go together, and one at least."""
        return cls(per_second, burst or max(1, int(per_second * usual_s)))


class SpeedOptions(Options):
    """Settings of a relay or gateway: messages ``per_second`` of all workers together, ``burst`` at once
    (two seconds' worth)."""

    per_second: float | None = Field(default=None, gt=0, le=100_000)
    burst: int | None = Field(default=None, ge=1, le=100_000)

    @property
    def pace(self) -> Rate | None:
        """The rate, where one is set."""
        return None if self.per_second is None else Rate.of(self.per_second, self.burst, 2)


class PaceOptions(Options):
    """Settings of an account on a network: posts ``per_hour`` of all workers together, ``burst`` of them at once
    (ten minutes' worth). Each post of a thread counts, each edit and each deletion."""

    per_hour: float | None = Field(default=None, gt=0, le=1_000_000)
    burst: int | None = Field(default=None, ge=1, le=100_000)

    @property
    def pace(self) -> Rate | None:
        """The rate, where one is set."""
        return None if self.per_hour is None else Rate.of(self.per_hour / 3600, self.burst, 600)


class HasRate(Protocol):
    """Settings in which a rate may stand."""

    @property
    def pace(self) -> Rate | None:
        """The rate, where one is set."""
        ...


def rates_of(accounts: Mapping[str, HasRate]) -> dict[str, Rate]:
    """The rates of those accounts that have one."""
    return {name: rate for name, one in accounts.items() if (rate := one.pace) is not None}


class Grant:
    """How many messages each limited account may take in one send; one that is not named takes as many as come."""

    __slots__ = ("left",)

    def __init__(self, left: Mapping[str, int]) -> None:
        self.left = dict(left)

    def free(self, account: str) -> bool:
        """Whether the account may take one more."""
        return self.left.get(account, 1) > 0

    def use(self, account: str) -> bool:
        """One more goes to the account; False when it may not."""
        left = self.left.get(account)
        if left is None:
            return True
        if left <= 0:
            return False
        self.left[account] = left - 1
        return True

    def back(self, account: str) -> None:
        """Nothing of that one was handed over after all."""
        if account in self.left:
            self.left[account] += 1


@runtime_checkable
class Limited(Protocol):
    """A channel with rates: by account, on a network; by relay or gateway and "@domain" elsewhere."""

    @property
    def rates(self) -> Mapping[str, Rate]:
        """The rates that are set."""
        ...


@runtime_checkable
class Rationed(Limited, Protocol):
    """A channel that shares messages out among accounts of its own."""

    def weights(self) -> Mapping[str, int]:
        """The accounts that would be given messages now, and their shares against each other."""
        ...

    async def publish_within(self, messages: Sequence[Message], report: Report, grant: Grant, /) -> None:
        """Like ``publish_many``; no account takes more than it was granted. What is left in the grant afterwards
        was not used."""
        ...


@runtime_checkable
class Shuts(Protocol):
    """A channel that leaves an account alone while it fails: a circuit breaker for each."""

    def shut(self) -> Mapping[str, bool]:
        """Each account, and whether it gets nothing at present."""
        ...
