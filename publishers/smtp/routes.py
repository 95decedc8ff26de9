"""The relays as this process knows them: which can be used now, how many mails each takes at a time, whose turn."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Mapping, Sequence
from math import inf
from types import MappingProxyType

import aiosmtplib
import structlog

from publishers.accounts import Grant
from publishers.base import NotYet, Untried
from publishers.smtp.allowance import Seats
from publishers.smtp.connections import Connections
from publishers.smtp.options import Relay, SmtpOptions
from publishers.smtp.replies import SmtpSettingsError, for_logs

_log = structlog.get_logger(__name__)

_AWAY_FIRST, _AWAY_LONGEST = 1.0, 120.0
"""Seconds for which a relay that can't be reached is set aside: doubled each time, spread by half."""
_MENDING = 60.0
"""Seconds for which a relay that refuses us is set aside: somebody must mend the settings, there or here."""
_MANY_DOMAINS, _WITHIN = 3, 60.0
"""So many domains asking for less within so many seconds of one relay: it is the relay."""


class Route:
    """One relay: its connections, how many it takes at a time, and until when it is set aside."""

    def __init__(self, name: str, relay: Relay, options: SmtpOptions) -> None:
        self.name, self.relay = name, relay
        self.seats = Seats(relay.connections)
        self.connections = Connections(relay, options, self._failed_unseen)
        self.why: Untried | SmtpSettingsError | None = None
        """What it was set aside for; None once it was reached again."""
        self.took = 0.0  # seconds that the last accepted mail took, from its envelope on
        self.credit = 0  # of the smooth weighted round robin
        self._until = -inf
        self._failures = 0  # times it was set aside since it last worked
        self._missed = 0  # connections that failed since one was opened
        self._talking = 0
        self._asking: deque[tuple[float, str]] = deque()

    def ready(self, now: float) -> bool:
        """Whether it may be used, or tried again."""
        return now >= self._until

    async def take(self) -> tuple[aiosmtplib.SMTP, bool]:
        """See ``Connections.take``; notes how it went."""
        try:
            connection, used = await self.connections.take()
        except (Untried, SmtpSettingsError) as error:
            self.failed(error)
            raise
        self._talking += 1
        if self._missed and not used:
            self.slow_down("it refuses some of our connections", self._missed)
        self.why, self._until, self._missed = None, -inf, 0
        return connection, used

    def worked(self) -> None:
        """It has answered about a mail."""
        if self._failures:
            _log.info("email.relay_back", relay=self.name)
            self._failures = 0

    def give_back(self, connection: aiosmtplib.SMTP) -> None:
        """Keep the connection, or part with it when the relay takes fewer than there are."""
        self._talking -= 1
        # this one's seat is still counted as taken, and the next sender's may be already: count who talks
        if self._talking + self.connections.waiting + 1 > self.seats.allowed:
            self.connections.part_with(connection)
        else:
            self.connections.give_back(connection)

    def give_up(self, connection: aiosmtplib.SMTP) -> None:
        """The connection is of no more use."""
        self._talking -= 1
        connection.close()

    def failed(self, error: Untried | SmtpSettingsError, *, seated: bool = True) -> None:
        """A connection could not be opened, or was of no use; ``seated``: its seat is still held."""
        now = asyncio.get_running_loop().time()
        if isinstance(error, SmtpSettingsError):
            if self.ready(now):
                _log.error("email.settings_fault", relay=self.name, reason=for_logs(error.reason), code=error.code)
            self._set_aside(error, now + _MENDING)
            return
        self._missed += 1
        if self._talking or self.connections.idle:  # it has a limit
            return self.slow_down(error.reason)
        opening = self.seats.in_use - seated + self.connections.waiting
        if self.ready(now) and (not opening or self._missed >= self.seats.most):  # else the others will tell
            pause = min(_AWAY_FIRST * 2**self._failures, _AWAY_LONGEST) * random.uniform(0.75, 1.25)
            _log.warning(
                "email.relay_set_aside", relay=self.name, seconds=round(pause, 1), reason=for_logs(error.reason)
            )
            self._set_aside(error, now + pause)

    def _failed_unseen(self, error: Untried | SmtpSettingsError) -> None:
        self.failed(error, seated=False)

    def slow_down(self, why: str, besides: int = 0) -> None:
        """It asks for fewer at a time; ``besides`` were tried just now, and refused."""
        if self.seats.slow_down(asyncio.get_running_loop().time(), besides):
            _log.warning("email.relay_slowed", relay=self.name, connections=self.seats.allowed, reason=for_logs(why))
            while self.connections.idle and self.seats.in_use + self.connections.waiting > self.seats.allowed:
                self.connections.part_with()

    def rests(self, seconds: float, why: str) -> None:
        """It has asked us, or another worker, to leave it alone for so long."""
        until = asyncio.get_running_loop().time() + seconds
        if until > self._until:
            self.why, self._until = NotYet(why, code="pause", retry_after=seconds), until

    def left(self, now: float) -> float:
        """Seconds until it may be used again."""
        return max(0.0, self._until - now)

    def domain_asks(self, domain: str, why: str) -> None:
        """A domain asked for less by this relay's mouth; several in a short time mean the relay itself."""
        now = asyncio.get_running_loop().time()
        self._asking.append((now, domain))
        while self._asking[0][0] < now - _WITHIN:
            self._asking.popleft()
        if len({name for _, name in self._asking}) >= _MANY_DOMAINS:
            self._asking.clear()
            self.slow_down(why)

    def _set_aside(self, error: Untried | SmtpSettingsError, until: float) -> None:
        self.why, self._until = error, until
        self._failures, self._missed = min(self._failures + 1, 30), 0
        self.seats.start_anew()
        while self.connections.idle:
            self.connections.part_with()


class Routes:
    """All relays, and the sharing out of mails among them by weight."""

    def __init__(self, options: SmtpOptions) -> None:
        self.all: Sequence[Route] = [Route(name, relay, options) for name, relay in options.relays.items()]

    def weights(self, without: Sequence[Route] = ()) -> dict[Route, int]:
        """The relays that can be used now, and their weights; spares, of weight 0, only while no other can be."""
        now = time.monotonic()  # the event loop's clock, also where no loop runs
        ready = [route for route in self.all if route.ready(now) and route not in without]
        return {route: route.relay.weight for route in ready if route.relay.weight} or dict.fromkeys(ready, 1)

    def share(
        self,
        count: int,
        without: Sequence[Route] = (),
        *,
        grant: Grant | None = None,
        promised: Mapping[Route, int] = MappingProxyType({}),
    ) -> dict[Route, int]:
        """How many of so many mails each relay is to take; empty when none can be used now.

        By weight over those that can be used (smooth weighted round robin, so that single mails are shared, too).
        With a ``grant``, no relay is given more than that allows beside what it is ``promised``.
        """
        weights = self.weights(without)
        if grant is not None and any(route.name in grant.left for route in weights):
            return self._within(grant, weights, count, promised)
        if len(weights) <= 1:
            return dict.fromkeys(weights, count)
        shares, total = dict.fromkeys(weights, 0), sum(weights.values())
        for _ in range(count):
            for route, weight in weights.items():
                route.credit += weight
            best = max(weights, key=lambda route: route.credit)
            best.credit -= total
            shares[best] += 1
        return shares

    @staticmethod
    def _within(
        grant: Grant, weights: Mapping[Route, int], count: int, promised: Mapping[Route, int]
    ) -> dict[Route, int]:
        shares = dict.fromkeys(weights, 0)
        room = {route: grant.left.get(route.name, count) - max(0, promised.get(route, 0)) for route in weights}
        for _ in range(count):
            able = [route for route in weights if shares[route] < room[route]]
            if not able:
                break
            for route in able:
                route.credit += weights[route]
            best = max(able, key=lambda route: route.credit)
            best.credit -= sum(weights[route] for route in able)
            shares[best] += 1
        return shares

    def why_none(self) -> Untried | SmtpSettingsError | None:
        """Why no relay can be used now: a fault of the settings only when it is all that keeps them, a pause that
        they asked for only when none may be back before."""
        now = asyncio.get_running_loop().time()
        whys = [route.why for route in self.all if not route.ready(now) and route.why is not None]
        if len(whys) < len(self.all):
            return None
        away = next((why for why in whys if isinstance(why, Untried) and not isinstance(why, NotYet)), None)
        resting = [route for route in self.all if isinstance(route.why, NotYet)]
        if away is not None or not resting:
            return away or whys[0]
        first = min(resting, key=lambda route: route.left(now))
        assert first.why is not None  # it is NotYet
        return NotYet(first.why.reason, code=first.why.code, retry_after=max(first.left(now), 0.1))

    async def aclose(self) -> None:
        """Close every relay's connections."""
        await asyncio.gather(*(route.connections.aclose() for route in self.all))
