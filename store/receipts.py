"""What providers tell us later: kept first, then put on Kafka by its id, then bound to the delivery it is about.

A receipt may arrive before its delivery's own record is committed, twice, or about nothing we know: it is kept
in every case, and ``outcome`` says what became of it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.deliveries import DeliveryId
from store import outbox
from store.database import Connection

TOPIC = "tambour.receipts"

GROUP = 200
"""Receipts that are kept, announced or bound together at most: a bounce may have a megabyte."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A receipt to keep. ``kind`` is "receipt", "inbound" (a person answers) or "bounce".

    ``arrival`` is the provider's id of this report, the same at each of its tries (webhook-id): it tells two
    people's equal words apart from a repeat.
    """

    channel: str
    kind: str
    body: bytes
    hint: str | None = None
    reference: str | None = None
    arrival: str = ""

    @property
    def digest(self) -> bytes:
        """What it is known by: the same for a repeat."""
        parts = (self.channel.encode(), self.kind.encode(), self.arrival.encode(), self.body)
        return hashlib.sha256(b"\0".join(parts)).digest()


@dataclass(frozen=True, slots=True)
class KeptReceipt:
    """A receipt as it came. ``outcome`` is None until somebody looked at it; see ``bind_all``."""

    id: int
    channel: str
    kind: str
    body: bytes
    hint: str | None
    reference: str | None
    received_at: datetime
    outcome: str | None
    delivery: DeliveryId | None


@dataclass(frozen=True, slots=True)
class Bound:
    """What a receipt meant: "bound", "unbound", "opted_out", "opted_in" or "ignored"; and the attempt it is about."""

    outcome: str
    delivery: DeliveryId | None = None


# One statement, so that a group costs one round trip and one commit. What is kept already, and what stands twice in
# the group, is passed over. Ids in the order of arrival: somebody's STOP comes before the START that follows it.
_KEEP = """
WITH kept AS (
    INSERT INTO receipt (channel, kind, digest, body, hint, reference)
    SELECT u.channel, u.kind, u.digest, u.body, u.hint, u.reference
    FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::text[], $6::text[])
         WITH ORDINALITY AS u(channel, kind, digest, body, hint, reference, place)
    ORDER BY u.place
    ON CONFLICT (digest) DO NOTHING RETURNING id, digest),
told AS (
    INSERT INTO outbox (topic, key, value, headers)
    SELECT $7, convert_to(min(id)::text, 'UTF8'),
           convert_to('{"receipts":[' || string_agg(id::text, ',' ORDER BY id) || ']}', 'UTF8'), $8
    FROM kept HAVING count(*) > 0)
SELECT digest, id FROM kept"""


async def keep_all(connection: Connection, arrived: Sequence[Arrived]) -> list[int | None]:
    """Store receipts and put their ids on TOPIC, all or none; ids by position, None for what is kept already.

    Of equal ones in the group, the first has the id. In the caller's transaction, or in one of its own: answer the
    providers only after the commit.
    """
    digests = [one.digest for one in arrived]
    topic, _, _, headers = outbox.row(outbox.Outgoing(TOPIC, b""))
    rows = await connection.fetch(
        _KEEP,
        [one.channel for one in arrived],
        [one.kind for one in arrived],
        digests,
        [one.body for one in arrived],
        [_text(one.hint) for one in arrived],
        [_text(one.reference) for one in arrived],
        topic,
        headers,
    )
    ids = {bytes(row["digest"]): row["id"] for row in rows}
    return [ids.pop(digest, None) for digest in digests]


async def keep(
    connection: Connection,
    *,
    channel: str,
    kind: str,
    body: bytes,
    hint: str | None,
    reference: str | None,
    arrival: str = "",
) -> int | None:
    """Keep one receipt: see ``keep_all`` and Arrived. None when it is already kept."""
    [kept] = await keep_all(connection, [Arrived(channel, kind, body, hint, reference, arrival)])
    return kept


def _text(given: str | None) -> str | None:
    """What PostgreSQL can keep of it: never refuse a receipt for a NUL in a field that only helps to find it."""
    return None if given is None else given.replace("\0", "\ufffd")


def message(ids: Sequence[int]) -> outbox.Outgoing:
    """Announces receipts that are kept."""
    value = json.dumps({"receipts": list(ids)}, separators=(",", ":")).encode()
    return outbox.Outgoing(TOPIC, value, key=b"%d" % ids[0])


def ids_of(value: bytes) -> list[int]:
    """The receipts that a message announces; also as versions before this one wrote it. Raises ValueError."""
    said = json.loads(value)
    ids = said.get("receipts", [said.get("receipt")]) if isinstance(said, dict) else None
    if not isinstance(ids, list) or not all(type(one) is int for one in ids):
        raise ValueError("no receipts are named")
    return ids


async def load_all(connection: Connection, ids: Iterable[int]) -> list[KeptReceipt]:
    """Those that are still to be bound, locked until the caller's transaction ends, so that two readers bind once."""
    rows = await connection.fetch(
        "SELECT * FROM receipt WHERE id = ANY($1::bigint[]) AND (outcome IS NULL OR outcome = 'unbound')"
        " ORDER BY id FOR UPDATE",
        list(ids),
    )
    return [_kept(row) for row in rows]


def _kept(row: Mapping[str, Any]) -> KeptReceipt:
    return KeptReceipt(
        id=row["id"],
        channel=row["channel"],
        kind=row["kind"],
        body=row["body"],
        hint=row["hint"],
        reference=row["reference"],
        received_at=row["received_at"],
        outcome=row["outcome"],
        delivery=DeliveryId(row["order_id"], row["recipient_id"]) if row["order_id"] is not None else None,
    )


async def bind_all(connection: Connection, bound: Mapping[int, Bound]) -> None:
    """Record what receipts meant, by their ids; which delivery one was about stays known."""
    deliveries = [one.delivery for one in bound.values()]
    await connection.execute(
        "UPDATE receipt r SET outcome = u.outcome, order_id = coalesce(u.order_id, r.order_id),"
        " recipient_id = coalesce(u.recipient_id, r.recipient_id)"
        " FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) AS u(id, outcome, order_id, recipient_id)"
        " WHERE r.id = u.id AND r.id = ANY($1::bigint[])",  # said twice, for the planner
        list(bound),
        [one.outcome for one in bound.values()],
        [None if one is None else one.order_id for one in deliveries],
        [None if one is None else one.recipient_id for one in deliveries],
    )


async def by_references(
    connection: Connection, channel: str, references: Iterable[str]
) -> dict[str, tuple[DeliveryId, int]]:
    """Delivery and attempt that the provider knows by each reference; those that nobody knows are missing."""
    rows = await connection.fetch(
        "SELECT reference, order_id, recipient_id, attempt FROM provider_reference"
        " WHERE channel = $1 AND reference = ANY($2::text[])"
        " ORDER BY order_id",  # a provider that gives a reference again, a year later, means the later message
        channel,
        list(references),
    )
    return {row[0]: (DeliveryId(row[1], row[2]), row[3]) for row in rows}


async def there(connection: Connection, channel: str, order_id: int, recipients: Iterable[int]) -> set[DeliveryId]:
    """Which of these deliveries of an order there are on that channel."""
    rows = await connection.fetch(
        "SELECT d.recipient_id FROM delivery d WHERE d.order_id = $1 AND d.recipient_id = ANY($2::bigint[])"
        " AND EXISTS (SELECT FROM delivery_order o WHERE o.id = $1 AND o.channel = $3)",
        order_id,
        list(recipients),
        channel,
    )
    return {DeliveryId(order_id, row[0]) for row in rows}


async def bindable(connection: Connection, limit: int = 2000) -> int:
    """Announce again the receipts that came before their delivery's record, and those never looked at.

    Returns how many. A reference that nobody ever records leaves its receipt unbound, and kept.
    """
    rows = await connection.fetch(
        "UPDATE receipt SET outcome = NULL WHERE id IN ("
        " SELECT r.id FROM receipt r WHERE r.outcome = 'unbound' AND r.received_at > now() - interval '1 day'"
        " AND EXISTS (SELECT FROM provider_reference p WHERE p.channel = r.channel AND p.reference = r.reference)"
        " ORDER BY r.id LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING id",
        limit,
    )
    ids = sorted(row["id"] for row in rows)
    await outbox.put(connection, [message(ids[first : first + GROUP]) for first in range(0, len(ids), GROUP)])
    return len(ids)
