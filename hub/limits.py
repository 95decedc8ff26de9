"""Rate limits as functions of values: what a window may take of the accounts' buckets, and when the rest comes back.

``hub.limiter`` reckons with them, on rows that all workers share (``store.limits``). A bucket gives at most
``burst + rate × time`` over any interval, whoever asks: its row is locked meanwhile, and time is the database's.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from publishers.accounts import Grant, Rate
from schemas.lanes import Lane
from store.limits import Bucket


def level(bucket: Bucket, rate: Rate, now: datetime) -> float:
    """The tokens that are there; a moment before ``bucket.at`` (somebody was faster) adds none."""
    elapsed = max(0.0, (now - bucket.at).total_seconds())
    return min(float(rate.burst), bucket.tokens + elapsed * rate.per_second)


def take(bucket: Bucket, rate: Rate, wanted: int, now: datetime, *, reserve: int = 0) -> tuple[int, Bucket]:
    """Take so many tokens, or as many as there are beyond ``reserve``; how many, and the bucket afterwards."""
    there = level(bucket, rate, now)
    given = max(0, min(wanted, math.floor(there - reserve)))
    return given, replace(bucket, tokens=there - given, at=max(bucket.at, now))


def put_back(bucket: Bucket, rate: Rate, unused: int, now: datetime) -> Bucket:
    """Tokens that were taken and not used."""
    there = level(bucket, rate, now)
    return replace(bucket, tokens=min(float(rate.burst), there + unused), at=max(bucket.at, now))


def book(bucket: Bucket, rate: Rate, waiting: int, now: datetime) -> tuple[datetime, Bucket]:
    """When those who got nothing should come back, and the bucket in which that is written down.

    Each gets a time of its own behind those who wait already. Half a burst is waited for at most: the bucket
    would run over, and so waste tokens, if whoever waits came back when it is full.
    """
    chunk = min(waiting, max(1, rate.burst // 2))
    moment = max(bucket.booked, now) + timedelta(seconds=chunk / rate.per_second)
    return moment, replace(bucket, booked=moment)


def reserve_of(rate: Rate, lane: Lane) -> int:
    """Tokens that a lane leaves where they are: a quarter of the burst is for what is urgent, however much waits."""
    return 0 if lane is Lane.URGENT else rate.burst // 4


def shared_out(count: int, weights: Mapping[str, int], room: Mapping[str, int]) -> dict[str, int]:
    """How many of so many messages each limited account is to take: by weight, within its room.

    ``room`` holds the limited ones. What one can't take goes to those that can; where there is an unlimited one,
    that takes it, and nobody else is asked for more than its share.
    """
    total = sum(weights.values())
    shares = {
        name: min(room[name], math.ceil(count * weight / total)) for name, weight in weights.items() if name in room
    }
    if len(shares) < len(weights):
        return shares
    left = count - sum(shares.values())
    for name in shares:  # rounding up gave too much, dry accounts too little
        change = max(-shares[name], min(left, room[name] - shares[name]))
        shares[name] += change
        left -= change
    return shares


@dataclass(frozen=True, slots=True)
class Wait:
    """Who waits, comes back at ``at``; ``why`` is told to officers."""

    at: datetime
    why: str


def sooner(one: Wait | None, other: Wait | None) -> Wait | None:
    """The one that is over first."""
    if one is None or other is None:
        return one or other
    return min(one, other, key=lambda wait: wait.at)


@dataclass(frozen=True, slots=True)
class Ration:
    """What the limits leave of a window: ``going`` may go, with the ``grant`` for its accounts.

    ``partly``: others of the batch may still go, since it is their recipients' domain that makes some wait. ``wait``
    is theirs who stay.
    """

    going: tuple[int, ...]
    grant: Grant
    domains: Mapping[int, str]
    wait: Wait | None
    partly: bool


def reckon(
    ids: Sequence[int],
    domains: Mapping[int, str],
    weights: Mapping[str, int],
    rates: Mapping[str, Rate],
    buckets: Mapping[str, Bucket],
    now: datetime,
    lane: Lane,
) -> tuple[Ration, dict[str, Bucket]]:
    """Who of ``ids`` may go now, and the buckets afterwards. ``domains`` names the bucket of each that has one."""
    after = dict(buckets)
    wait: Wait | None = None
    asked = Counter(domains[one] for one in ids if one in domains)
    free: dict[str, int] = {}
    for name, count in asked.items():
        free[name], after[name] = take(after[name], rates[name], count, now, reserve=reserve_of(rates[name], lane))
        if free[name] < count:
            wait = sooner(wait, _later(after, name, rates[name], count - free[name], now, lane))
    left, able = dict(free), []
    for one in ids:
        if one not in domains:
            able.append(one)
        elif left[domains[one]] > 0:
            left[domains[one]] -= 1
            able.append(one)
    limited = [name for name in weights if name in rates]
    room = {
        name: take(after[name], rates[name], len(able), now, reserve=reserve_of(rates[name], lane))[0]
        for name in limited
    }
    shares = shared_out(len(able), weights, room) if weights else {}
    for name, share in shares.items():
        _, after[name] = take(after[name], rates[name], share, now, reserve=reserve_of(rates[name], lane))
    going = able
    dry = bool(weights) and len(limited) == len(weights) and sum(shares.values()) < len(able)
    if dry:
        going, staying = able[: sum(shares.values())], able[sum(shares.values()) :]
        for name, count in Counter(domains[one] for one in staying if one in domains).items():
            after[name] = put_back(after[name], rates[name], count, now)
        name = max(limited, key=lambda name: rates[name].per_second)
        wait = _later(after, name, rates[name], len(staying), now, lane)
    grant = Grant({name: shares.get(name, 0) for name in rates if not name.startswith("@")})
    held = {one: domains[one] for one in going if one in domains}
    return Ration(tuple(going), grant, held, wait, partly=not dry), after


def _later(after: dict[str, Bucket], name: str, rate: Rate, waiting: int, now: datetime, lane: Lane) -> Wait:
    """When those come back; what is urgent does not queue behind the others' bookings."""
    if lane is Lane.URGENT:
        missing = max(0.0, min(waiting, rate.burst) - level(after[name], rate, now))
        moment = now + timedelta(seconds=max(missing, 0.1) / rate.per_second)
    else:
        moment, after[name] = book(after[name], rate, waiting, now)
    return Wait(moment, f"rate limit of {name.removeprefix('@')}")
