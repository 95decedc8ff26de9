"""What became of an event: event, announcement, orders, deliveries, facts and receipts, read back as one tree.

Nothing here writes. Counts of a story come from the tallies of its orders (store/tallies.py); where an order is being
worked on, from the primary key of ``delivery`` (one range an order).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from schemas.deliveries import DeliveryId, State, attempt_of, state_of
from store import tallies
from store.database import Connection
from store.listings import EVENT_COLUMNS, DeliveryRow, EventRow, deliveries, event_row, events
from store.totals import ChannelTotals, Totals, totals

__all__ = [
    "AnnouncementRow",
    "ChannelTotals",
    "DeliveryRow",
    "DeliveryStory",
    "EventRow",
    "FactRow",
    "Found",
    "OrderRow",
    "ReceiptRow",
    "Story",
    "Totals",
    "VersionRow",
    "Wait",
    "deliveries",
    "events",
    "find",
    "story",
    "totals",
]

_SHOWN_BYTES = 8192  # of a receipt: enough to read it, not enough to fill a page with an attachment


@dataclass(frozen=True, slots=True)
class Wait:
    """What some deliveries of an order wait for.

    ``what``: "retry", "resolve" or "officer" (a due row), "waiting" (for their turn), "held" (``reason`` says by
    what), "dispatched" (for a worker) or "claimed" (being sent). ``first`` and ``last`` are when the waiting
    ends or is looked at again: due time, not-before, or end of the lease; None for what has no time.
    """

    what: str
    count: int
    first: datetime | None
    last: datetime | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One channel's order. ``tallies`` maps the word of a state to its number of deliveries, in precedence."""

    id: int
    version: int
    channel: str
    lane: str
    broadcast: bool
    audience: str
    expires: datetime
    recipients: int
    created_at: datetime
    fanned_out_at: datetime | None
    """When the last page of the audience was read; None while it is being read."""
    tallies: dict[str, int]
    waits: tuple[Wait, ...]
    purged_at: datetime | None = None
    """When its deliveries were removed because they were old: only the tallies are left."""


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version of an announcement; ``content`` is schemas.announcements.Content as JSON."""

    version: int
    content: dict[str, Any]
    created_at: datetime
    orders: tuple[OrderRow, ...]


@dataclass(frozen=True, slots=True)
class AnnouncementRow:
    """An announcement with its versions, oldest first."""

    id: int
    matter: str
    revision: int
    version: int
    withdrawn_at: datetime | None
    created_at: datetime
    versions: tuple[VersionRow, ...]
    held: str | None = None
    """The reason of the hold on this very announcement."""


@dataclass(frozen=True, slots=True)
class FactRow:
    """What happened to one attempt: ``code`` is the provider's word, ``reason`` ours, ``url`` where it can be seen."""

    attempt: int
    state: str
    at: datetime
    code: str | None
    reason: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """What a provider told us later. ``body`` is its text, cut at 8 KiB; bytes that are no text show as U+FFFD."""

    id: int
    kind: str
    reference: str | None
    received_at: datetime
    outcome: str | None
    body: str


@dataclass(frozen=True, slots=True)
class PostRow:
    """One call to a social network: ``act`` is publish, edit or delete. ``done_at`` None: still to be made."""

    number: int
    act: str
    text: str
    begun_at: datetime | None
    done_at: datetime | None
    url: str | None


@dataclass(frozen=True, slots=True)
class DeliveryStory:
    """One delivery with everything known of it; ``posts`` are the parts of its thread, on a social network."""

    row: DeliveryRow
    facts: tuple[FactRow, ...]
    posts: tuple[PostRow, ...]
    receipts: tuple[ReceiptRow, ...]
    waits: tuple[Wait, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """The tree: the events of a matter, its announcement (None when the event made none), one delivery if asked."""

    authority: str | None
    authority_name: str | None
    time_zone: str
    events: tuple[EventRow, ...]
    announcement: AnnouncementRow | None
    delivery: DeliveryStory | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A thing that a text names. ``kind`` is "event", "announcement" or "delivery"; ``id`` its row or public id."""

    kind: str
    id: str
    label: str


async def story(
    connection: Connection,
    *,
    event_id: int | None = None,
    announcement_id: int | None = None,
    delivery: str | None = None,
) -> Story | None:
    """The whole story around one event row, announcement, or delivery (public id); None when there is none.

    Give exactly one of the three. Raises ValueError when ``delivery`` is not shaped like a public id.
    """
    if sum(given is not None for given in (event_id, announcement_id, delivery)) != 1:
        raise TypeError("story() takes exactly one of event_id, announcement_id, delivery")
    async with connection.transaction(isolation="repeatable_read", readonly=True):  # one moment for the whole tree
        if event_id is not None:
            row = await connection.fetchrow(f"SELECT {EVENT_COLUMNS} WHERE e.id = $1", event_id)
            if row is None:
                return None
            event = event_row(row)
            if event.announcement_id is None:
                return Story(event.authority, event.authority_name, event.time_zone, (event,), None)
            return await _announcement_story(connection, event.announcement_id)
        if announcement_id is not None:
            return await _announcement_story(connection, announcement_id)
        return await _delivery_story(connection, DeliveryId.parse(delivery or ""))


async def _announcement_story(connection: Connection, announcement_id: int) -> Story | None:
    row = await connection.fetchrow(
        "SELECT n.*, a.code, a.name, a.time_zone, h.reason AS held FROM announcement n"
        " JOIN authority a ON a.id = n.authority_id"
        " LEFT JOIN hold h ON h.scope = 'announcement' AND h.key = n.id::text WHERE n.id = $1",
        announcement_id,
    )
    if row is None:
        return None
    orders = await _orders(connection, announcement_id)
    versions = await connection.fetch(
        "SELECT version, content, created_at FROM announcement_version WHERE announcement_id = $1 ORDER BY version",
        announcement_id,
    )
    told = await connection.fetch(f"SELECT {EVENT_COLUMNS} WHERE e.announcement_id = $1 ORDER BY e.id", announcement_id)
    announcement = AnnouncementRow(
        id=row["id"],
        matter=row["matter"],
        revision=row["revision"],
        version=row["version"],
        withdrawn_at=row["withdrawn_at"],
        created_at=row["created_at"],
        held=row["held"],
        versions=tuple(
            VersionRow(
                version["version"],
                version["content"],
                version["created_at"],
                tuple(order for order in orders if order.version == version["version"]),
            )
            for version in versions
        ),
    )
    return Story(row["code"], row["name"], row["time_zone"], tuple(map(event_row, told)), announcement)


async def _orders(connection: Connection, announcement_id: int) -> list[OrderRow]:
    rows = await connection.fetch(
        "SELECT * FROM delivery_order WHERE announcement_id = $1 ORDER BY version, channel", announcement_id
    )
    settled = [row["id"] for row in rows if row["tallied_at"] is not None]
    others = [row["id"] for row in rows if row["tallied_at"] is None]
    counts = await tallies.states(connection, settled, others)
    waits = await _waits(connection, [row["id"] for row in rows], worked_on=others)
    return [
        OrderRow(
            id=row["id"],
            version=row["version"],
            channel=row["channel"],
            lane=row["lane"],
            broadcast=row["broadcast"],
            audience=row["audience"],
            expires=row["expires"],
            recipients=row["recipients"],
            created_at=row["created_at"],
            fanned_out_at=row["fanned_out_at"],
            tallies=counts.get(row["id"], {}),
            waits=tuple(wait for order_id, wait in waits if order_id == row["id"]),
            purged_at=row["purged_at"],
        )
        for row in rows
    ]


async def _waits(
    connection: Connection, order_ids: Sequence[int], recipient_id: int | None = None, *, worked_on: Sequence[int]
) -> list[tuple[int, Wait]]:
    """What deliveries of these orders, or one recipient's, wait for. Only those ``worked_on`` have open batches."""
    rows = await connection.fetch(
        """
        SELECT order_id, kind AS what, NULL AS reason, count(*) AS n, min(at) AS first, max(at) AS last
        FROM due WHERE order_id = ANY($1::bigint[]) AND ($2::bigint IS NULL OR recipient_id = $2)
        GROUP BY order_id, kind
        UNION ALL
        SELECT order_id, CASE WHEN state = 'waiting' AND waits_for IS NOT NULL THEN 'held' ELSE state END, waits_for,
               CASE WHEN $2::bigint IS NULL THEN sum(cardinality(members)) ELSE 1 END,
               min(CASE state WHEN 'waiting' THEN not_before ELSE lease_until END),
               max(CASE state WHEN 'waiting' THEN not_before ELSE lease_until END)
        FROM batch WHERE order_id = ANY($3::bigint[]) AND state <> 'done' AND ($2::bigint IS NULL OR $2 = ANY(members))
        GROUP BY 1, 2, 3
        ORDER BY order_id, what
        """,
        list(order_ids),
        recipient_id,
        list(worked_on),
    )
    return [(row["order_id"], Wait(row["what"], row["n"], row["first"], row["last"], row["reason"])) for row in rows]


async def _delivery_story(connection: Connection, delivery: DeliveryId) -> Story | None:
    found = await deliveries(connection, delivery=delivery)
    if not found:
        return None
    around = await _announcement_story(connection, found[0].announcement_id)
    if around is None:
        return None
    key = (delivery.order_id, delivery.recipient_id)
    facts = await connection.fetch(
        "SELECT * FROM fact WHERE order_id = $1 AND recipient_id = $2 ORDER BY at, attempt, state", *key
    )
    posts = await connection.fetch(
        "SELECT number, act, text, begun_at, done_at, url FROM post WHERE order_id = $1 AND recipient_id = $2"
        " ORDER BY number",
        *key,
    )
    receipts = await connection.fetch(
        "SELECT id, kind, reference, received_at, outcome, substr(body, 1, $3) AS body FROM receipt"
        " WHERE order_id = $1 AND recipient_id = $2 ORDER BY id",
        *key,
        _SHOWN_BYTES,
    )
    return replace(
        around,
        delivery=DeliveryStory(
            row=found[0],
            facts=tuple(
                FactRow(f["attempt"], State(f["state"]).word, f["at"], f["code"], f["reason"], f["url"]) for f in facts
            ),
            posts=tuple(PostRow(*post.values()) for post in posts),
            receipts=tuple(
                ReceiptRow(
                    r["id"],
                    r["kind"],
                    r["reference"],
                    r["received_at"],
                    r["outcome"],
                    r["body"].decode("utf-8", "replace"),
                )
                for r in receipts
            ),
            waits=tuple(
                wait
                for _, wait in await _waits(
                    connection, [delivery.order_id], delivery.recipient_id, worked_on=[delivery.order_id]
                )
            ),
        ),
    )


async def find(connection: Connection, text: str, limit: int = 20) -> list[Found]:
    """What a text names: a delivery's public id, an event or announcement number, an event's own id (alone, or
    after its source and a slash or space), a matter, or a provider's id of a message."""
    text = text.strip()
    found: list[Found] = []
    if not text:
        return found
    try:
        named = DeliveryId.parse(text)
    except ValueError:
        pass
    else:
        if row := await connection.fetchrow(
            "SELECT standing FROM delivery WHERE order_id = $1 AND recipient_id = $2",
            named.order_id,
            named.recipient_id,
        ):
            state = state_of(row["standing"]).word
            found.append(Found("delivery", text, f"{state}, attempt {attempt_of(row['standing'])}"))
    number = int(text) if text.isascii() and text.isdigit() and int(text) < 2**63 else None
    rows = await connection.fetch(
        "SELECT 'event' AS kind, id::text AS id, source || ' ' || event_id AS label FROM event"
        " WHERE id = $2 OR event_id = $1 OR (source || '/' || event_id) = $1 OR (source || ' ' || event_id) = $1"
        " UNION ALL SELECT 'announcement', id::text, matter FROM announcement WHERE id = $2 OR matter = $1"
        " LIMIT $3",
        text,
        number,
        limit,
    )
    found.extend(Found(row["kind"], row["id"], row["label"]) for row in rows)
    references = await connection.fetch(
        "SELECT order_id, recipient_id, channel, attempt FROM provider_reference WHERE reference = $1 LIMIT $2",
        text,
        limit,
    )
    found.extend(
        Found(
            "delivery",
            DeliveryId(row["order_id"], row["recipient_id"]).public,
            f"{row['channel']}, attempt {row['attempt']}",
        )
        for row in references
    )
    return found[:limit]
