"""What providers tell us later: kept first, then put on Kafka by its id, then bound to the delivery it is about.

A receipt may arrive before its delivery's own record is committed, twice, or about nothing we know: it is kept
in every case, and ``outcome`` says what became of it.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from schemas.deliveries import DeliveryId
from store import outbox
from store.database import Connection

TOPIC = "tambour.receipts"


@dataclass(frozen=True, slots=True)
class KeptReceipt:
    """A receipt as it came. ``outcome`` is None until somebody looked at it; see ``bind``."""

    id: int
    channel: str
    kind: str
    body: bytes
    hint: str | None
    reference: str | None
    received_at: datetime
    outcome: str | None
    delivery: DeliveryId | None


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
    """Store a receipt and put its id on TOPIC, both or neither. None when it is already kept.

    ``kind`` is "receipt", "inbound" (a person answers) or "bounce". ``arrival`` is the provider's id of this
    report, the same at each of its tries (webhook-id): it tells two people's equal words apart from a repeat.
    Answer the provider only after the commit.
    """
    parts = (channel.encode(), kind.encode(), arrival.encode(), body)
    digest = hashlib.sha256(b"\0".join(parts)).digest()
    async with connection.transaction():
        receipt_id: int | None = await connection.fetchval(
            "INSERT INTO receipt (channel, kind, digest, body, hint, reference) VALUES ($1, $2, $3, $4, $5, $6)"
            " ON CONFLICT (digest) DO NOTHING RETURNING id",
            channel,
            kind,
            digest,
            body,
            _text(hint),
            _text(reference),
        )
        if receipt_id is not None:
            value = json.dumps({"receipt": receipt_id}, separators=(",", ":")).encode()
            await outbox.put(connection, [outbox.Outgoing(TOPIC, value, key=str(receipt_id).encode())])
    return receipt_id


def _text(given: str | None) -> str | None:
    """What PostgreSQL can keep of it: never refuse a receipt for a NUL in a field that only helps to find it."""
    return None if given is None else given.replace("\0", "\ufffd")


async def load(connection: Connection, receipt_id: int) -> KeptReceipt | None:
    """The receipt, locked until the caller's transaction ends, so that two readers bind it once."""
    row = await connection.fetchrow("SELECT * FROM receipt WHERE id = $1 FOR UPDATE", receipt_id)
    if row is None:
        return None
    bound = row["order_id"] is not None
    return KeptReceipt(
        id=row["id"],
        channel=row["channel"],
        kind=row["kind"],
        body=row["body"],
        hint=row["hint"],
        reference=row["reference"],
        received_at=row["received_at"],
        outcome=row["outcome"],
        delivery=DeliveryId(row["order_id"], row["recipient_id"]) if bound else None,
    )


async def bind(connection: Connection, receipt_id: int, outcome: str, delivery: DeliveryId | None = None) -> None:
    """Record what a receipt meant: "bound", "unbound", "opted_out", "opted_in" or "ignored"; binding stays."""
    await connection.execute(
        "UPDATE receipt SET outcome = $2, order_id = coalesce($3, order_id), recipient_id = coalesce($4, recipient_id)"
        " WHERE id = $1",
        receipt_id,
        outcome,
        delivery.order_id if delivery else None,
        delivery.recipient_id if delivery else None,
    )


async def bindable(connection: Connection, limit: int = 200) -> int:
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
    await outbox.put(
        connection,
        [outbox.Outgoing(TOPIC, b'{"receipt":%d}' % row["id"], key=str(row["id"]).encode()) for row in rows],
    )
    return len(rows)
