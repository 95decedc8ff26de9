"""What each domain of recipients takes at a time: limits from the settings, and those learned from its own complaints.

A domain that asks for less is paused while the others go on: its mails come back later, at a moment of their own
each, instead of being refused again and again. Only domains with a limit or a complaint are counted at all. How many
a minute is the hub's to keep, for all workers together; a pause is told to the others (``rest``, as "@domain").
"""

import random
from collections.abc import Callable, Mapping
from math import inf

import structlog

from publishers.base import Transient
from publishers.rest import Rest
from publishers.smtp.allowance import Allowance
from publishers.smtp.options import DomainLimit
from publishers.smtp.replies import for_logs

_log = structlog.get_logger(__name__)

_UNLIMITED = 64
"""At a time, for a domain that has complained and has no limit of its own; once it takes these it is forgotten."""
_PAUSE_FIRST, _PAUSE_LONGEST = 30.0, 1800.0
"""Seconds of a pause: doubled when the domain complains again after it, spread by a quarter."""
_FORGIVEN = 3600.0
"""Seconds without a complaint after which the next pause is a first one again."""


class Domain:
    """One domain that is watched. Times are the event loop's."""

    def __init__(self, name: str, limit: DomainLimit | None, now: float) -> None:
        self.name, self.limit = name, limit
        self.allowance = Allowance(limit.connections or _UNLIMITED if limit else _UNLIMITED)
        self.full = False
        """Whether somebody was turned away because its allowance was used up."""
        self._paused_until, self._complained, self._pauses = -inf, -inf, 0

    def wait(self, now: float) -> tuple[float, str] | None:
        """Seconds until a mail may go, and why it must wait; None when it may go now."""
        if now < self._paused_until:
            left = self._paused_until - now
            # come back one after the other, not all at the end of the pause
            return left + random.uniform(0, left / 2), "has asked for fewer mails at a time, and is left in peace"
        return None

    def complain(self, now: float, pause: float | None, why: str) -> float:
        """It asked for less; ``pause`` is what it said itself. Returns the seconds it is left in peace."""
        self.allowance.slow_down(now)
        if now >= self._paused_until:  # else an answer to what was already on its way
            self._pauses = 0 if now - self._complained > _FORGIVEN else self._pauses
            usual = min(_PAUSE_FIRST * 2**self._pauses, _PAUSE_LONGEST) * random.uniform(0.75, 1.25)
            self._pauses = min(self._pauses + 1, 30)
            self._paused_until = now + (usual if pause is None else pause)
            seconds = round(self._paused_until - now, 1)
            _log.warning("email.domain_paused", domain=self.name, seconds=seconds, reason=for_logs(why))
        self._complained = now
        return max(self._paused_until - now, 0.0)

    def pause(self, until: float) -> None:
        """It has asked another worker for less."""
        self._paused_until = max(self._paused_until, until)

    def forgotten(self, now: float) -> bool:
        """Whether there is no reason to watch it any more."""
        whole = self.allowance.allowed == self.allowance.most and not self.allowance.in_use
        return self.limit is None and whole and now - max(self._complained, self._paused_until) > _FORGIVEN


class Domains:
    """All watched domains. ``freed`` is called when a domain that had turned mails away takes one again."""

    def __init__(self, limits: Mapping[str, DomainLimit], freed: Callable[[], None], rest: Rest | None = None) -> None:
        self._limits = {name: limit for name, limit in limits.items() if limit.connections is not None}
        self._freed = freed
        self._rest = rest or Rest()
        self._watched: dict[str, Domain] = {}
        self.watching = bool(self._limits)
        """Whether any domain needs to be asked about; usually none does, and mails pass by."""

    def of(self, address: str, now: float) -> Domain | None:
        """The domain of an address when it is watched."""
        name = domain_of(address)
        domain = self._watched.get(name)
        if domain is None and name in self._limits:
            domain = self._watched[name] = Domain(name, self._limits[name], now)
        return domain

    def complain(self, address: str, now: float, pause: float | None, why: str) -> float:
        """The domain of this address asked for less. Returns the seconds for which it is left in peace."""
        domain = self.of(address, now)
        if domain is None:
            for old in [name for name, one in self._watched.items() if one.forgotten(now)]:
                del self._watched[old]
            name = domain_of(address)
            domain = self._watched[name] = Domain(name, None, now)
            self.watching = True
        left = domain.complain(now, pause, why)
        self._rest.ask(f"@{domain.name}", left, for_logs(why))
        return left

    def heed(self, now: float) -> None:
        """Leave in peace what has asked another worker for it."""
        for account, seconds in self._rest.resting().items():
            if account.startswith("@"):
                name = account[1:]
                domain = self._watched.setdefault(name, Domain(name, self._limits.get(name), now))
                domain.pause(now + seconds)
                self.watching = True

    def release(self, domain: Domain) -> None:
        """A mail to it, counted before, is settled."""
        domain.allowance.release()
        if domain.full and domain.allowance.free:
            domain.full = False
            self._freed()


def turned_away(domain: Domain, wait: tuple[float, str]) -> Transient:
    """What is told of a mail that our own care for its domain holds back."""
    seconds, why = wait
    return Transient(f"{domain.name} {why}", code="domain_pause", retry_after=round(seconds, 1))


def domain_of(address: str) -> str:
    """The domain of an address, in small letters."""
    return address.rpartition("@")[2].lower()
