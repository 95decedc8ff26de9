"""The limits of accounts at providers, as rows that all workers share: asked when a window opens, told when it closes.

Two things are shared: the operator's rates (``hub.limits``), and the pauses that providers ask for. Neither costs a
round trip where there is none: pauses come with what the opening of a window reads anyway.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog

from hub import metrics
from hub.limits import Ration, Wait, put_back, reckon, sooner, take
from publishers.accounts import Grant, Limited, Rate, Rationed
from publishers.base import NotYet, Outcome, Publisher
from publishers.rest import Rest, Rests
from schemas.lanes import Lane
from store import limits
from store.batches import Limit, Member
from store.database import Connection, Pool, transaction
from store.limits import Bucket, Paused

log = structlog.get_logger()


@dataclass
class Limiter:
    """The limits of one channel, for one worker. ``rates`` is empty where the operator set none: nothing is asked."""

    publisher: Publisher[Any]
    channel: str = field(init=False)
    rates: Mapping[str, Rate] = field(init=False)
    rest: Rest | None = field(init=False)
    accounts: Sequence[str] = field(init=False)
    """The limited ones, without the recipients' domains."""
    _rationed: Rationed | None = field(init=False)

    def __post_init__(self) -> None:
        self.channel = self.publisher.channel
        self.rates = self.publisher.rates if isinstance(self.publisher, Limited) else {}
        self.rest = self.publisher.rest if isinstance(self.publisher, Rests) else None
        self._rationed = self.publisher if isinstance(self.publisher, Rationed) else None
        self.accounts = [name for name in self.rates if not name.startswith("@")]

    def window(self, members: Iterable[Member], lane: Lane) -> "Window | None":
        """The limits that concern these members; None where there is none, and the window opens as without any."""
        if not self.rates or self._rationed is None:
            return None
        domains = {one.recipient_id: name for one in members if (name := _domain(one)) in self.rates}
        return Window(self, self._rationed, domains, lane) if domains or self.accounts else None

    async def tell(self, pool: Pool) -> None:
        """What providers have asked of this worker, for all the others."""
        if self.rest is None:
            return
        news = [Paused(one.account, one.seconds, one.reason) for one in self.rest.news()]
        if news:
            for one in news:
                log.warning("provider_paused", channel=self.channel, account=one.account, seconds=round(one.seconds))
            async with transaction(pool) as connection:
                await limits.pause(connection, self.channel, news)

    async def give_back(self, connection: Connection, unused: Mapping[str, int]) -> None:
        """Tokens that were taken for messages which were not handed over."""
        buckets = {name: count for name, count in unused.items() if count and name in self.rates}
        if buckets:
            now, rows = await self.locked(connection, buckets)
            after = {name: put_back(rows[name], self.rates[name], count, now) for name, count in buckets.items()}
            await limits.keep(connection, self.channel, after)

    async def take_one(self, connection: Connection, account: str) -> float | None:
        """One token of this account; else the seconds until there is one."""
        rate = self.rates.get(account)
        if rate is None:
            return None
        now, rows = await self.locked(connection, [account])
        given, bucket = take(rows[account], rate, 1, now)
        if given:
            await limits.keep(connection, self.channel, {account: bucket})
            return None
        return (1 - bucket.tokens) / rate.per_second

    async def locked(self, connection: Connection, names: Iterable[str]) -> tuple[datetime, dict[str, Bucket]]:
        """See ``store.limits.lock``."""
        full = {name: float(self.rates[name].burst) for name in names}
        return await limits.lock(connection, self.channel, full)


@dataclass
class Window:
    """One window under limits; ``ration`` once it was reckoned. Called in the transaction that opens it."""

    limiter: Limiter
    rationed: Rationed
    domains: Mapping[int, str]
    lane: Lane
    ration: Ration | None = None

    async def __call__(self, connection: Connection, ids: Sequence[int]) -> Sequence[int]:
        """Who of these recipients may go."""
        limiter, weights = self.limiter, self.rationed.weights()
        names = {name for name in weights if name in limiter.rates}
        names |= {self.domains[one] for one in ids if one in self.domains}
        if not names:  # no account can be used now: the publisher says why
            self.ration = Ration(tuple(ids), Grant(dict.fromkeys(limiter.accounts, 0)), {}, None, partly=True)
            return ids
        now, buckets = await limiter.locked(connection, names)
        self.ration, after = reckon(ids, self.domains, weights, limiter.rates, buckets, now, self.lane)
        await limits.keep(connection, limiter.channel, after)
        metrics.put_off(limiter.channel, len(ids) - len(self.ration.going))
        return self.ration.going


@dataclass
class Meter:
    """One turn's dealings with the limits of its channel: window after window."""

    limiter: Limiter
    lane: Lane
    wait: Wait | None = None
    """When the first of those comes back who can't go now."""
    dry: bool = False
    """Whether no account takes anything now, whoever it is for."""
    unused: Counter[str] = field(default_factory=Counter)
    """Tokens that were taken for messages which were not handed over."""
    _window: Window | None = None
    _refused: bool = False

    def opening(self, members: Sequence[Member]) -> Limit | None:
        """What opening a window for these members is to reckon with."""
        self._refused = False
        self._window = self.limiter.window(members, self.lane)
        return self._window

    @property
    def grant(self) -> Grant | None:
        """What the accounts may take in the window that is open; None without limits."""
        ration = self._window and self._window.ration
        return ration.grant if ration else None

    def heard(self, pauses: Sequence[tuple[str, float]]) -> None:
        """What providers have asked of any worker: accounts, and seconds that are left."""
        if pauses and self.limiter.rest is not None:
            for account, seconds in pauses:
                self.limiter.rest.learn(account, seconds)

    def not_handed_over(self, member: Member, outcome: Outcome, now: datetime) -> None:
        """A member of the window stays in its batch."""
        ration = self._window and self._window.ration
        if ration and (domain := ration.domains.get(member.recipient_id)):
            self.unused[domain] += 1
        if isinstance(outcome, NotYet):
            self._refused = True
            metrics.put_off(self.limiter.channel, 1)
            at = now + timedelta(seconds=outcome.retry_after or 1.0)
            self.wait = sooner(self.wait, Wait(at, outcome.reason))

    async def close(self, pool: Pool, *, handed: bool) -> None:
        """The window is over; ``handed``: a provider was asked about one of its messages."""
        ration = self._window and self._window.ration
        if ration:
            self.wait = sooner(self.wait, ration.wait)
            self.unused.update({name: left for name, left in ration.grant.left.items() if left})
        self.dry = bool(ration and not ration.partly) or (self._refused and not handed)
        self._window = None
        await self.limiter.tell(pool)

    async def give_back(self, connection: Connection) -> None:
        """Put back what was not used."""
        await self.limiter.give_back(connection, self.unused)


def _domain(member: Member) -> str:
    return f"@{(member.address or '').rpartition('@')[2].lower()}"
