"""Addresses that are not written to: what the hub learned of them, the way back, and the journal of both.

The wish of an address's owner (store.optouts, and a complaint) outranks what servers said of it. Every change is
journalled by the database itself (migration 0003), with who made it and why.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from schemas.deliveries import DeliveryId, State
from store.database import Connection

Kind = Literal["left", "complaint", "dead", "refused"]
"""Its owner left; complained to their provider; no such address; it took nothing for weeks."""

HUB = "the hub"
"""Who is named in the journal for what the hub does by itself."""

UNDECIDED = timedelta(days=5)
"""How long a mail that was accepted may still come back: as long as servers usually try (RFC 5321 §4.5.4.1)."""


@dataclass(frozen=True, slots=True)
class Suppressed:
    """An address that is not written to. ``stream``: "" is everything on the channel."""

    authority: str
    channel: str
    address: str
    stream: str
    kind: Kind
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal. ``by`` is None when the owner of the address did it."""

    at: datetime
    act: Literal["suppressed", "restored"]
    channel: str
    kind: Kind
    reason: str
    by: str | None
    why: str | None


@dataclass(frozen=True, slots=True)
class Faults:
    """When mails that came back from a mailbox were sent, oldest first, and when the last one surely arrived."""

    sent: tuple[datetime, ...]
    delivered: datetime | None


_SUPPRESS = """
INSERT INTO suppression AS s (authority_id, channel, address, reason, kind)
SELECT r.authority_id, r.channel, r.address, u.reason, $4
FROM unnest($2::bigint[], $3::text[]) AS u(id, reason)
JOIN recipient r ON r.id = u.id
JOIN delivery d ON d.order_id = $1 AND d.recipient_id = r.id
WHERE NOT r.broadcast
  AND ($4 = 'complaint' OR NOT EXISTS (
      SELECT FROM suppression_journal j
      WHERE j.authority_id = r.authority_id AND j.channel = r.channel AND j.address = r.address
        AND j.act = 'restored' AND j.at > d.sent_at))
ORDER BY r.id
ON CONFLICT (authority_id, channel, address, stream) DO UPDATE
SET kind = excluded.kind, reason = excluded.reason, since = now()
WHERE $4 = 'complaint' AND s.kind IN ('dead', 'refused')"""


async def suppress(connection: Connection, order_id: int, reasons: Mapping[int, str], kind: Kind) -> int:
    """Write no more to these recipients of an order, for these reasons; returns for how many that is new.

    In the caller's transaction. Not the authority's own accounts; and not an address that was restored after the
    mail was sent: what an old mail meets says nothing of it.
    """
    if not reasons:
        return 0
    await act_as(connection, HUB)
    status = await connection.execute(_SUPPRESS, order_id, list(reasons), list(reasons.values()), kind)
    return int(status.rpartition(" ")[2])


async def note_fault(connection: Connection, delivery: DeliveryId, at: datetime) -> Faults:
    """Note that a mail came back because of its mailbox; returns all there are of the last weeks. Repeatable."""
    row = await connection.fetchrow(
        "INSERT INTO mailbox_fault AS m (authority_id, channel, address, order_id, at)"
        " SELECT r.authority_id, r.channel, r.address, d.order_id, coalesce(d.sent_at, $3)"
        " FROM delivery d JOIN recipient r ON r.id = d.recipient_id"
        " WHERE d.order_id = $1 AND d.recipient_id = $2 AND NOT r.broadcast"
        " ON CONFLICT (authority_id, channel, address, order_id) DO UPDATE SET at = m.at"
        " RETURNING authority_id, channel, address",
        delivery.order_id,
        delivery.recipient_id,
        at,
    )
    if row is None:  # no such delivery, or an account of the authority itself
        return Faults((), None)
    await connection.execute(
        "DELETE FROM mailbox_fault WHERE authority_id = $1 AND channel = $2 AND address = $3"
        " AND at < now() - interval '60 days'",
        *row.values(),
    )
    sent = await connection.fetch(
        "SELECT at FROM mailbox_fault WHERE authority_id = $1 AND channel = $2 AND address = $3 ORDER BY at",
        *row.values(),
    )
    times = tuple(one["at"] for one in sent)
    if not times:
        return Faults((), None)
    return Faults(
        times, await _delivered(connection, delivery.recipient_id, row["authority_id"], row["channel"], times)
    )


async def _delivered(
    connection: Connection, recipient_id: int, authority_id: int, channel: str, faults: tuple[datetime, ...]
) -> datetime | None:
    """When a mail was last sent that arrived: confirmed, or accepted and not come back for ``UNDECIDED``."""
    found: datetime | None = await connection.fetchval(
        "SELECT max(d.sent_at) FROM delivery_order o"
        " JOIN delivery d ON d.order_id = o.id AND d.recipient_id = $1"
        " WHERE o.authority_id = $2 AND o.channel = $3 AND o.created_at > $4::timestamptz - interval '7 days'"
        " AND (d.standing % 16 = $5 OR d.standing % 16 = $6 AND d.sent_at < now() - $7::interval)",
        recipient_id,
        authority_id,
        channel,
        faults[0],
        State.DELIVERED.value,
        State.SENT.value,
        UNDECIDED,
    )
    return found


async def listing(
    connection: Connection, *, authority: str | None = None, channel: str | None = None, kind: Kind | None = None
) -> list[Suppressed]:
    """Suppressed addresses, the newest first; of one authority (its code), channel or kind, or of all."""
    rows = await connection.fetch(
        "SELECT a.code AS authority, s.channel, s.address, s.stream, s.kind, s.reason, s.since"
        " FROM suppression s JOIN authority a ON a.id = s.authority_id"
        " WHERE ($1::text IS NULL OR a.code = $1) AND ($2::text IS NULL OR s.channel = $2)"
        " AND ($3::text IS NULL OR s.kind = $3) ORDER BY s.since DESC, s.address, s.stream",
        authority,
        channel,
        kind,
    )
    return [Suppressed(*row.values()) for row in rows]


async def standing(connection: Connection, authority_id: int, address: str, channel: str | None) -> list[Suppressed]:
    """What keeps this address from being written to, on one channel or on any."""
    rows = await connection.fetch(
        "SELECT a.code AS authority, s.channel, s.address, s.stream, s.kind, s.reason, s.since"
        " FROM suppression s JOIN authority a ON a.id = s.authority_id"
        " WHERE s.authority_id = $1 AND s.address = $2 AND ($3::text IS NULL OR s.channel = $3)"
        " ORDER BY s.channel, s.stream",
        authority_id,
        address,
        channel,
    )
    return [Suppressed(*row.values()) for row in rows]


async def restore(
    connection: Connection, authority_id: int, address: str, channel: str | None, *, by: str, why: str
) -> int:
    """Write to this address again, all streams of it; returns how many suppressions that ended."""
    async with connection.transaction():
        await act_as(connection, by, why)
        status = await connection.execute(
            "DELETE FROM suppression WHERE authority_id = $1 AND address = $2 AND ($3::text IS NULL OR channel = $3)",
            authority_id,
            address,
            channel,
        )
    return int(status.rpartition(" ")[2])


async def confirmed(connection: Connection, authority_id: int, channel: str, address: str) -> bool:
    """The owner of an address has subscribed anew and proved that it is theirs: write to it again.

    Only for who has confirmed the address from within it; an import of subscribers proves nothing of the kind.
    """
    status = await connection.execute(
        "DELETE FROM suppression WHERE authority_id = $1 AND channel = $2 AND address = $3",
        authority_id,
        channel,
        address,
    )
    return bool(status != "DELETE 0")


async def add(connection: Connection, authority_id: int, channel: str, address: str, *, reason: str, by: str) -> bool:
    """Write no more to this address, at its owner's wish as an officer was told it. False when that was so already."""
    async with connection.transaction():
        await act_as(connection, by, reason)
        status = await connection.execute(
            "INSERT INTO suppression AS s (authority_id, channel, address, reason) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (authority_id, channel, address, stream) DO UPDATE"
            " SET kind = 'left', reason = excluded.reason, since = now() WHERE s.kind IN ('dead', 'refused')",
            authority_id,
            channel,
            address,
            reason,
        )
    return bool(status.endswith(" 1"))


async def history(connection: Connection, authority_id: int, address: str) -> list[Entry]:
    """What has been decided about an address, oldest first."""
    rows = await connection.fetch(
        "SELECT at, act, channel, kind, reason, by, why FROM suppression_journal"
        " WHERE authority_id = $1 AND address = $2 ORDER BY id",
        authority_id,
        address,
    )
    return [Entry(*row.values()) for row in rows]


async def among(connection: Connection, authority_id: int, addresses: Iterable[tuple[str, str]]) -> Counter[Kind]:
    """How many of these (channel, address) pairs are not written to, by the kind of reason."""
    pairs = list(set(addresses))
    rows = await connection.fetch(
        "SELECT min(s.kind) AS kind FROM unnest($2::text[], $3::text[]) AS u(channel, address)"
        " JOIN suppression s ON s.authority_id = $1 AND s.channel = u.channel AND s.address = u.address"
        " GROUP BY u.channel, u.address",
        authority_id,
        [channel for channel, _ in pairs],
        [address for _, address in pairs],
    )
    return Counter(row["kind"] for row in rows)


async def act_as(connection: Connection, by: str, why: str = "") -> None:
    """Name in the journal who changes suppressions, until the caller's transaction ends."""
    await connection.execute("SELECT set_config('tambour.by', $1, true), set_config('tambour.why', $2, true)", by, why)
