"""What happened to deliveries: facts recorded in groups, and the status event that tells others.

The state is a maximum (schemas.deliveries), so recording needs no reading, and recording twice changes nothing.
"""

import uuid
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas import tracing
from schemas.cloudevents import CloudEvent, encode_structured
from schemas.deliveries import ENDS, DeliveryId, State, standing
from store import outbox
from store.database import Connection

UNCLEAR = "unclear"
"""Code of a failure that may be none: the provider never answered, and nobody can act on it any more."""

STATUS_TOPIC = "tambour.deliveries"
STATUS_TYPE = "fr.tambour.deliveries.recorded"


@dataclass(frozen=True, slots=True)
class Due:
    """What a delivery waits for and until when: ``retry``, ``resolve`` (an unclear outcome) or ``officer``."""

    kind: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """One fact about one delivery and what follows from it.

    ``tried`` counts a try that reached the provider. An ordinary ``sent`` (no url, not ``notable``) leaves no row of
    its own.
    ``address_dead``: the provider says that there is no such address (see hub.suppression).
    """

    recipient_id: int
    attempt: int
    state: State
    at: datetime
    tried: bool = False
    code: str | None = None
    reason: str | None = None
    url: str | None = None
    reference: str | None = None
    due: Due | None = None
    notable: bool = False
    address_dead: bool = False

    @property
    def ordinary(self) -> bool:
        """Whether the delivery's own row says it all."""
        return self.state is State.SENT and self.url is None and not self.notable


def _text(said: str | None) -> str | None:
    """What PostgreSQL can keep of a provider's words: an outcome is never lost for a NUL in them."""
    return None if said is None else said.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


# One statement, because a round trip costs more than any part of it. The order of its parts is not left to chance
# ("locked", "counted"): first the batch is share-locked, so that a new owner's claim waits, and then sees what is
# recorded here; then the deliveries, which whoever decides about one locks first as well; then what hangs on them,
# unless they are gone (store/retention.py); then the order's tally is given up, if it has one (store/tallies.py).
# The recipients are said twice, for the planner: a plan kept from when the partition was small reads the whole order
# without the ANY.
_RECORD = """
WITH locked AS (SELECT FROM batch WHERE id = $6 FOR SHARE),
folded AS (
    UPDATE delivery d SET standing = greatest(d.standing, u.standing), tries = d.tries + u.tried,
           sent_at = coalesce(d.sent_at, u.sent_at), updated_at = now()
    FROM unnest($2::bigint[], $3::int[], $4::smallint[], $5::timestamptz[])
         AS u(recipient_id, standing, tried, sent_at)
    WHERE d.order_id = $1 AND d.recipient_id = u.recipient_id
      AND d.recipient_id = ANY($2::bigint[]) AND (SELECT count(*) FROM locked) >= 0
    RETURNING 1),
counted AS (SELECT count(*) AS folded FROM folded),
told AS (
    INSERT INTO fact (order_id, recipient_id, attempt, state, at, code, reason, url)
    SELECT $1, u.* FROM counted, unnest($7::bigint[], $8::smallint[], $9::smallint[], $10::timestamptz[], $11::text[],
                                        $12::text[], $13::text[]) AS u
    WHERE folded > 0
    ON CONFLICT DO NOTHING),
known AS (
    INSERT INTO provider_reference (channel, reference, order_id, recipient_id, attempt)
    SELECT $14, u.reference, $1, u.recipient_id, u.attempt
    FROM counted, unnest($15::text[], $16::bigint[], $17::smallint[]) AS u(reference, recipient_id, attempt)
    WHERE folded > 0
    ON CONFLICT DO NOTHING),
touched AS MATERIALIZED (SELECT order_touched($1) FROM counted)
INSERT INTO outbox (topic, key, value, headers) SELECT $18, $19, $20, $21 FROM touched"""

_DUE = """
INSERT INTO due (order_id, recipient_id, kind, at)
SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::timestamptz[])
ON CONFLICT (order_id, recipient_id) DO UPDATE SET kind = excluded.kind, at = excluded.at"""


async def record(
    connection: Connection,
    order_id: int,
    channel: str,
    records: Sequence[Record],
    *,
    may_requeue: bool = True,
    batch: int | None = None,
) -> None:
    """Record facts of one order's deliveries, with the status event of the group.

    In the caller's transaction, or, when none of them waits for anything, in one of its own: it is one statement
    then. ``batch`` is share-locked meanwhile: who claims it sees these facts.

    ``may_requeue`` is False for the owner of a batch that has been claimed by another since: it may tell what it
    knows, but what waits for what is the new owner's business.
    """
    if not records:
        return
    told = [one for one in records if not one.ordinary]
    known = [one for one in records if one.reference is not None]
    await connection.execute(
        _RECORD,
        order_id,
        [one.recipient_id for one in records],
        [standing(one.state, one.attempt) for one in records],
        [int(one.tried) for one in records],
        [one.at if one.state in (State.SENT, State.DELIVERED) else None for one in records],
        batch,
        [one.recipient_id for one in told],
        [one.attempt for one in told],
        [one.state.value for one in told],
        [one.at for one in told],
        [_text(one.code) for one in told],
        [_text(one.reason) for one in told],
        [_text(one.url) for one in told],
        channel,
        [_text(one.reference) for one in known],
        [one.recipient_id for one in known],
        [one.attempt for one in known],
        *outbox.row(status(order_id, channel, records)),
    )
    if may_requeue and (waiting := [(one.recipient_id, one.due) for one in records if one.due is not None]):
        await connection.execute(
            _DUE,
            order_id,
            [recipient for recipient, _ in waiting],
            [due.kind for _, due in waiting],
            [due.at for _, due in waiting],
        )


def status(order_id: int, channel: str, records: Sequence[Record]) -> outbox.Outgoing:
    """One CloudEvent for a group: ids and states, no people."""
    event = CloudEvent(
        id=str(uuid.uuid4()),
        source="/tambour/deliveries",
        type=STATUS_TYPE,
        time=records[0].at,
        subject=channel,
        extensions=tracing.extensions(),
        data={
            "channel": channel,
            "deliveries": [[DeliveryId(order_id, one.recipient_id).public, one.state.word] for one in records],
        },
    )
    value, headers = encode_structured(event)
    return outbox.Outgoing(STATUS_TOPIC, value, b"%d" % order_id, tuple(headers))


@dataclass(frozen=True, slots=True)
class Held:
    """A delivery that somebody is deciding about, locked until the transaction ends. ``waits`` is its due kind."""

    delivery: DeliveryId
    channel: str
    standing: int
    expired: bool
    superseded: bool
    waits: str | None
    under_way: bool


async def hold_for_decision(connection: Connection, delivery: DeliveryId) -> Held | None:
    """The delivery with what decides about it; None when there is none of that id."""
    row = await connection.fetchrow(
        "SELECT o.channel, d.standing, o.expires <= now() AS expired, a.version > o.version AS superseded,"
        " (SELECT kind FROM due WHERE order_id = $1 AND recipient_id = $2) AS waits,"
        " EXISTS (SELECT FROM batch b WHERE b.order_id = $1 AND b.state <> 'done' AND $2 = ANY(b.members)) AS under_way"
        " FROM delivery d JOIN delivery_order o ON o.id = d.order_id JOIN announcement a ON a.id = o.announcement_id"
        " WHERE d.order_id = $1 AND d.recipient_id = $2 FOR UPDATE OF d",
        delivery.order_id,
        delivery.recipient_id,
    )
    return None if row is None else Held(delivery, *row.values())


async def stop_waiting(connection: Connection, delivery: DeliveryId) -> bool:
    """The delivery waits for nothing any more: somebody decided about it. False when it waited for nothing."""
    status = await connection.execute(
        "DELETE FROM due WHERE order_id = $1 AND recipient_id = $2", delivery.order_id, delivery.recipient_id
    )
    return bool(status != "DELETE 0")


async def forget_due(connection: Connection, order_id: int, recipients: Collection[int]) -> None:
    """Deliveries wait for nothing any more, if a receipt settled them (one of an earlier attempt does not)."""
    await connection.execute(
        "DELETE FROM due u USING delivery d WHERE u.order_id = $1 AND u.recipient_id = ANY($2::bigint[])"
        " AND d.order_id = $1 AND d.recipient_id = u.recipient_id AND d.recipient_id = ANY($2::bigint[])"
        " AND d.standing % 16 = ANY($3::int[])",
        order_id,
        list(recipients),
        [state.value for state in ENDS],
    )


@dataclass(frozen=True, slots=True)
class Unknowns:
    """How often the outcome of a delivery has been unclear, and since when."""

    times: int
    since: datetime


async def unknowns(connection: Connection, order_id: int, recipients: Sequence[int]) -> dict[int, Unknowns]:
    """The recorded unknown facts of each delivery that has any."""
    rows = await connection.fetch(
        "SELECT recipient_id, count(*), min(at) FROM fact WHERE order_id = $1 AND recipient_id = ANY($2::bigint[])"
        " AND state = $3 GROUP BY 1",
        order_id,
        list(recipients),
        State.UNKNOWN.value,
    )
    return {row[0]: Unknowns(row[1], row[2]) for row in rows}


async def every_delivery(connection: Connection) -> AsyncIterator[tuple[str, DeliveryId, int]]:
    """Channel, id and standing of every delivery, read in pages: for audits, not for pages of the portal."""
    async with connection.transaction(readonly=True):
        async for row in connection.cursor(
            "SELECT o.channel, d.order_id, d.recipient_id, d.standing FROM delivery d"
            " JOIN delivery_order o ON o.id = d.order_id",
            prefetch=5000,
        ):
            yield row["channel"], DeliveryId(row["order_id"], row["recipient_id"]), row["standing"]
