"""Limits of accounts at providers, which all workers share: token buckets, and pauses that a provider asked for.

What a bucket gives is reckoned by ``hub.limits`` (functions of values) while its row is locked. Times are the
database's. ``account`` is a word of the channel's own: a relay, a gateway, "@gmail.com", an account of a network.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from store.database import Connection


@dataclass(frozen=True, slots=True)
class Bucket:
    """``tokens`` were there at the moment ``at``; until ``booked``, what refills is promised to those who wait."""

    tokens: float
    at: datetime
    booked: datetime


@dataclass(frozen=True, slots=True)
class Paused:
    """A provider asked that ``account`` be left alone for ``seconds`` from now."""

    account: str
    seconds: float
    reason: str


async def lock(connection: Connection, channel: str, full: Mapping[str, float]) -> tuple[datetime, dict[str, Bucket]]:
    """The buckets of these accounts, ours until the transaction ends, and the moment to reckon by.

    ``full`` says how many tokens fill each. One that is not there yet is made full. The moment is from before
    the rows were locked: somebody faster may have reckoned with a later one (``hub.limits`` allows for that).
    """
    names = sorted(full)  # everybody locks in this order
    rows = await _locked(connection, channel, names)
    if len(rows) < len(names):
        await connection.execute(
            "INSERT INTO rate_bucket (channel, account, tokens)"
            " SELECT $1, account, tokens FROM unnest($2::text[], $3::float8[]) AS fresh(account, tokens)"
            " ON CONFLICT DO NOTHING",
            channel,
            names,
            [full[name] for name in names],
        )
        rows = await _locked(connection, channel, names)
    return rows[0][0], {account: Bucket(tokens, at, booked) for _, account, tokens, at, booked in rows}


async def _locked(
    connection: Connection, channel: str, names: Sequence[str]
) -> list[tuple[datetime, str, float, datetime, datetime]]:
    rows = await connection.fetch(
        "SELECT statement_timestamp(), account, tokens, at, booked FROM rate_bucket"
        " WHERE channel = $1 AND account = ANY($2::text[]) ORDER BY account FOR UPDATE",
        channel,
        names,
    )
    return [tuple(row) for row in rows]


async def keep(connection: Connection, channel: str, buckets: Mapping[str, Bucket]) -> None:
    """Write locked buckets back."""
    await connection.execute(
        "UPDATE rate_bucket b SET tokens = fresh.tokens, at = fresh.at, booked = fresh.booked"
        " FROM unnest($2::text[], $3::float8[], $4::timestamptz[], $5::timestamptz[])"
        " AS fresh(account, tokens, at, booked) WHERE b.channel = $1 AND b.account = fresh.account",
        channel,
        list(buckets),
        [bucket.tokens for bucket in buckets.values()],
        [bucket.at for bucket in buckets.values()],
        [bucket.booked for bucket in buckets.values()],
    )


async def pause(connection: Connection, channel: str, asked: Iterable[Paused]) -> None:
    """Have every worker leave these accounts alone; a shorter pause changes nothing. Those that are over go."""
    pauses = sorted(asked, key=lambda one: one.account)
    await connection.execute("DELETE FROM provider_pause WHERE channel = $1 AND until < now()", channel)
    await connection.executemany(
        "INSERT INTO provider_pause AS p (channel, account, until, reason)"
        " VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3), $4)"
        " ON CONFLICT (channel, account) DO UPDATE SET until = excluded.until, reason = excluded.reason"
        " WHERE p.until < excluded.until",
        [(channel, one.account, one.seconds, one.reason) for one in pauses],
    )


async def paused(connection: Connection, channel: str) -> list[Paused]:
    """The pauses that are not over."""
    rows = await connection.fetch(
        "SELECT account, extract(epoch FROM until - clock_timestamp())::float8, reason FROM provider_pause"
        " WHERE channel = $1 AND until > clock_timestamp() ORDER BY account",
        channel,
    )
    return [Paused(*row) for row in rows]
