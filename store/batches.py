"""Batches: the unit that is dispatched, claimed and recorded. The row, not Kafka, carries the promise.

``waiting`` (for the dispatcher's turn) → ``dispatched`` (offered on Kafka) → ``claimed`` (one worker's, until its
lease ends) → ``done``, or ``waiting`` again with what is left. Claiming raises ``epoch``: whoever claimed earlier
finds every later write of his refused, except recording what he knows of messages already handed over.
All times are the database's.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from schemas.authorities import stream_of
from schemas.deliveries import State, state_of
from schemas.lanes import Lane
from store.database import Connection


@dataclass(frozen=True, slots=True)
class Member:
    """A recipient of a batch with what is known of its delivery. ``address`` is None when it was erased.

    ``parts``: how many posts of its thread are out, on a social network.
    """

    recipient_id: int
    address: str | None
    language: str
    standing: int
    tries: int
    parts: int = 0

    @property
    def state(self) -> State:
        """The delivery's state."""
        return state_of(self.standing)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A batch that is ours until ``epoch`` is raised. ``members`` are those still to be handed over;
    ``unclear`` those whom an earlier owner was sending to, from ``unclear_since`` on, when it vanished: it
    recorded nothing for them."""

    id: int
    epoch: int
    order_id: int
    announcement_id: int
    version: int
    authority_id: int
    channel: str
    lane: Lane
    expires: datetime
    claimed_at: datetime
    unclear_since: datetime
    members: tuple[Member, ...]
    unclear: tuple[Member, ...]
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """What holds at the moment a window opens.

    ``ours`` is False when the batch has been claimed by another. ``stop`` is a reason to hand over nothing more:
    ``expired``, ``withdrawn`` or ``superseded`` (for good), or None. ``held`` means later, for all of them;
    ``capped`` are those whom today's cap makes wait, ``limited`` those whom a rate limit does. ``suppressed`` gives
    each recipient not to be written to, with the reason. ``paused`` are the accounts of the channel whose provider
    asked to be left alone, and for how many seconds.
    """

    ours: bool
    stop: str | None = None
    held: str | None = None
    capped: frozenset[int] = frozenset()
    suppressed: tuple[tuple[int, str], ...] = ()
    limited: frozenset[int] = frozenset()
    paused: tuple[tuple[str, float], ...] = ()


Limit = Callable[[Connection, Sequence[int]], Awaitable[Sequence[int]]]
"""Who of these recipients may go by the accounts' rate limits; asked in the transaction that opens the window."""


_CLAIM = """
UPDATE batch b SET state = 'claimed', epoch = b.epoch + 1, owner = $2, changed_at = clock_timestamp(),
       lease_until = clock_timestamp() + make_interval(secs => $3)
FROM delivery_order o
WHERE b.id = $1 AND o.id = b.order_id
  AND (b.state = 'dispatched' OR b.state = 'claimed' AND b.lease_until < clock_timestamp())
RETURNING b.epoch, b.order_id, b.members, b.in_flight, b.in_flight_since, b.changed_at,
          o.announcement_id, o.version, o.authority_id, o.channel, o.family, o.lane, o.expires, o.traceparent"""

_MEMBERS = """
SELECT d.recipient_id, r.address, coalesce(r.language, 'fr') AS language, d.standing, d.tries,
       CASE WHEN $4 THEN (SELECT count(*) FROM post p WHERE p.order_id = d.order_id AND p.act = 'publish'
            AND p.recipient_id = d.recipient_id AND p.done_at IS NOT NULL)::int ELSE 0 END AS parts
FROM delivery d LEFT JOIN recipient r ON r.id = d.recipient_id
LEFT JOIN due ON due.order_id = d.order_id AND due.recipient_id = d.recipient_id
WHERE d.order_id = $1 AND d.recipient_id = ANY($2::bigint[]) AND due.order_id IS NULL
  AND d.standing % 16 = ANY($3::int[])
ORDER BY d.recipient_id"""

_OPEN = [State.QUEUED.value, State.SENDING.value, State.RETRYING.value, State.UNKNOWN.value]


async def claim(connection: Connection, batch: int, owner: str, lease_s: float) -> Claimed | None:
    """Make the batch ours, in the caller's transaction, to be committed before anything is sent.

    None when it is somebody's, waiting or done: then its message is simply acknowledged.
    """
    row = await connection.fetchrow(_CLAIM, batch, owner, lease_s)
    if row is None:
        return None
    social = row["family"] == "social"
    rows = await connection.fetch(_MEMBERS, row["order_id"], row["members"], _OPEN, social)
    members = [Member(*found) for found in rows]
    in_flight = set(row["in_flight"])
    return Claimed(
        id=batch,
        epoch=row["epoch"],
        order_id=row["order_id"],
        announcement_id=row["announcement_id"],
        version=row["version"],
        authority_id=row["authority_id"],
        channel=row["channel"],
        lane=Lane(row["lane"]),
        expires=row["expires"],
        claimed_at=row["changed_at"],
        unclear_since=row["in_flight_since"] or row["changed_at"],
        members=tuple(one for one in members if one.recipient_id not in in_flight),
        unclear=tuple(one for one in members if one.recipient_id in in_flight),
        traceparent=row["traceparent"],
    )


# One statement, because a round trip costs more than any part of it: it looks and, unless a cap or a rate must be
# reckoned with, notes. First the announcement is share-locked: a correction that comes now waits, and then sees this
# window among those who may hold the earlier version. Where somebody else has it locked there is no row: what is read
# while one waits is as old as the wait, and a decision of that time would be overlooked.
_WINDOW = """
WITH gate AS MATERIALIZED (
    SELECT a.version > $3 AS superseded, a.withdrawn_at IS NOT NULL AND a.version > $3 AS withdrawn,
           o.expires <= now() AS expired, t.restricted,
           EXISTS (SELECT FROM daily_cap c WHERE c.authority_id = o.authority_id AND c.channel = o.channel) AS has_cap,
           (SELECT h.scope || coalesce(nullif(': ' || h.reason, ': '), '') FROM hold h
            WHERE h.scope = 'hub' OR h.scope = 'authority' AND h.key = t.code
               OR h.scope = 'channel' AND h.key = o.channel
               OR h.scope = 'announcement' AND h.key = o.announcement_id::text LIMIT 1) AS held,
           ARRAY(SELECT (p.account, extract(epoch FROM p.until - now())::float8) FROM provider_pause p
                 WHERE p.channel = o.channel AND p.until > now()) AS paused
    FROM delivery_order o JOIN authority t ON t.id = o.authority_id JOIN announcement a ON a.id = o.announcement_id
    WHERE o.id = $2 FOR SHARE OF a SKIP LOCKED),
suppressed AS MATERIALIZED (
    SELECT r.id, coalesce(s.reason, 'not on the allow-list') AS reason
    FROM gate, recipient r
    LEFT JOIN LATERAL (
        SELECT reason FROM suppression x
        WHERE x.authority_id = r.authority_id AND x.channel = r.channel AND x.address = r.address
          AND x.stream IN ('', $5)
        ORDER BY x.since LIMIT 1) s ON true
    WHERE r.id = ANY($6::bigint[]) AND (s.reason IS NOT NULL OR gate.restricted AND NOT r.allow_listed)),
noted AS (
    UPDATE batch SET in_flight_since = clock_timestamp(),
           in_flight = CASE WHEN superseded OR expired OR held IS NOT NULL THEN '{}'
                       ELSE ARRAY(SELECT id FROM unnest($6::bigint[]) AS id WHERE id NOT IN (SELECT id FROM suppressed))
                       END
    FROM gate WHERE batch.id = $1 AND batch.epoch = $4 AND NOT (gate.has_cap OR $7) RETURNING 1)
SELECT gate.*, EXISTS (SELECT FROM noted) AS ours, ARRAY(SELECT (id, reason) FROM suppressed) AS suppressed FROM gate"""

# Locks the day's row, made if it is the day's first: two windows can't both take what is left.
_USED = """
INSERT INTO daily_use AS u (authority_id, channel, day, used)
SELECT c.authority_id, c.channel, (now() AT TIME ZONE a.time_zone)::date, 0
FROM daily_cap c JOIN authority a ON a.id = c.authority_id
WHERE c.authority_id = $1 AND c.channel = $2
ON CONFLICT (authority_id, channel, day) DO UPDATE SET used = u.used
RETURNING day, greatest(0, (SELECT cap FROM daily_cap WHERE authority_id = $1 AND channel = $2) - used) AS room"""

_SPEND = "UPDATE daily_use SET used = used + $4 WHERE authority_id = $1 AND channel = $2 AND day = $3"


async def open_window(
    connection: Connection, batch: Claimed, recipients: Sequence[int], limit: Limit | None = None
) -> Gate:
    """Re-read every reason not to send, and note the window as in flight, in one transaction.

    Commit it, where it is the caller's, before handing anything over.
    """
    if limit is None:
        row = await _look(connection, batch, recipients)
        if not row["has_cap"]:
            return _gate(row, ours=row["ours"])
    async with connection.transaction():
        row = await _look(connection, batch, recipients, reckon=limit is not None)  # looked at and noted together
        gate = _gate(row, ours=row["ours"])
        if not row["has_cap"] and limit is None:
            return gate
        out = {recipient for recipient, _ in gate.suppressed}
        wanted = [] if gate.stop or gate.held else [one for one in recipients if one not in out]
        room = await _room(connection, batch, len(wanted)) if wanted and row["has_cap"] else len(wanted)
        going = wanted[:room]
        if limit is not None and going:
            going = list(await limit(connection, going))
            if row["has_cap"] and len(going) < room:
                await give_back_room(connection, batch, room - len(going))
        ours = await connection.fetchval(
            "UPDATE batch SET in_flight = $3, in_flight_since = clock_timestamp()"
            " WHERE id = $1 AND epoch = $2 RETURNING true",
            batch.id,
            batch.epoch,
            going,
        )
        limited = frozenset(wanted[:room]).difference(going)
        return replace(gate, ours=bool(ours), capped=frozenset(wanted[room:]), limited=limited)


async def _look(
    connection: Connection, batch: Claimed, recipients: Sequence[int], *, reckon: bool = False
) -> Mapping[str, Any]:
    """``reckon``: who may go is still to be reckoned, so nothing is noted."""
    given = batch.id, batch.order_id, batch.version, batch.epoch, stream_of(batch.lane), list(recipients), reckon
    row: Mapping[str, Any] | None = await connection.fetchrow(_WINDOW, *given)
    if row is None:
        async with connection.transaction():
            await connection.execute("SELECT FROM announcement WHERE id = $1 FOR SHARE", batch.announcement_id)
            row = await connection.fetchrow(_WINDOW, *given)
    assert row is not None  # an order is never deleted before its batches
    return row


def _gate(row: Mapping[str, Any], *, ours: bool) -> Gate:
    stop = next((reason for reason in ("withdrawn", "superseded", "expired") if row[reason]), None)
    suppressed, paused = tuple(map(tuple, row["suppressed"])), tuple(map(tuple, row["paused"]))
    return Gate(ours=ours, stop=stop, held=row["held"], suppressed=suppressed, paused=paused)


async def _room(connection: Connection, batch: Claimed, count: int) -> int:
    """How many of so many messages today's cap allows; they count as used."""
    row = await connection.fetchrow(_USED, batch.authority_id, batch.channel)
    if row is None:
        return count  # there is no cap any more
    room = min(count, int(row["room"]))
    if room:
        await connection.execute(_SPEND, batch.authority_id, batch.channel, row["day"], room)
    return room


async def give_back_room(connection: Connection, batch: Claimed, count: int) -> None:
    """So many of the messages that today's cap counts were not handed over after all."""
    await connection.execute(
        "UPDATE daily_use u SET used = greatest(0, u.used - $3) FROM authority a"
        " WHERE u.authority_id = $1 AND u.channel = $2 AND a.id = u.authority_id"
        " AND u.day = (now() AT TIME ZONE a.time_zone)::date",
        batch.authority_id,
        batch.channel,
        count,
    )


async def still_ours(connection: Connection, batch: Claimed, *, without: Sequence[int] = ()) -> bool:
    """Whether the batch is still ours; stays so until the caller's transaction ends.

    ``without`` leave the batch: a delivery waits in one place, its batch or its due row, or two workers could
    come to send it at once.
    """
    if not without:
        return bool(
            await connection.fetchval("SELECT epoch = $2 FROM batch WHERE id = $1 FOR SHARE", batch.id, batch.epoch)
        )
    return bool(
        await connection.fetchval(
            "UPDATE batch SET members = ARRAY(SELECT unnest(members) EXCEPT SELECT unnest($3::bigint[]) ORDER BY 1)"
            " WHERE id = $1 AND epoch = $2 RETURNING true",
            batch.id,
            batch.epoch,
            list(without),
        )
    )


async def settle_window(connection: Connection, batch: Claimed) -> None:
    """Nothing of the batch is in flight any more: what was unclear about it is recorded."""
    await connection.execute("UPDATE batch SET in_flight = '{}' WHERE id = $1 AND epoch = $2", batch.id, batch.epoch)


async def finish(
    connection: Connection,
    batch: Claimed,
    left: Sequence[int] = (),
    *,
    waits_for: str | None = None,
    not_before: datetime | None = None,
    unclear: Sequence[int] = (),
) -> bool:
    """End our claim: ``done``, or ``waiting`` with who is left. False, and nothing done, when it is not ours.

    ``unclear`` are those left whom an earlier owner was sending to, when we could not deal with them either.
    """
    found = await connection.fetchval(
        "WITH ended AS (UPDATE batch SET state = $3,"
        " members = CASE WHEN $3 = 'done' THEN members ELSE $4::bigint[] END,"
        " in_flight = $7, owner = NULL, lease_until = NULL, waits_for = $5,"
        " not_before = coalesce($6, now()), changed_at = clock_timestamp()"
        " WHERE id = $1 AND epoch = $2 RETURNING 1)"
        " SELECT (SELECT count(*) FROM ended), pg_notify('batches', '')",  # there is room for another
        batch.id,
        batch.epoch,
        "waiting" if left else "done",
        list(left),
        waits_for,
        not_before,
        list(unclear),
    )
    return bool(found)


async def give_back(connection: Connection, batch: int) -> None:
    """Return a dispatched batch unclaimed: this worker is stopping, another shall have it at once."""
    await connection.execute(
        "UPDATE batch SET state = 'waiting', lease_until = NULL WHERE id = $1 AND state = 'dispatched'", batch
    )
    await connection.execute("SELECT pg_notify('batches', '')")
