"""Announcements and their versions: one row a matter, one row a version, one order a version and channel."""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas import tracing
from schemas.announcements import Content
from schemas.lanes import Lane
from store.database import Connection


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a matter: where its announcement stands, and the channels and lane it has taken."""

    id: int
    revision: int
    version: int
    withdrawn: bool
    channels: tuple[str, ...]
    lane: Lane | None


@dataclass(frozen=True, slots=True)
class NewOrder:
    """Deliver a version on a channel, to an audience of ``matches``, ``holders`` or ``both``."""

    channel: str
    family: str
    broadcast: bool
    audience: str


async def lock(connection: Connection, authority_id: int, matter: str) -> Known | None:
    """The announcement of a matter, locked until the transaction ends; None when the matter is new.

    The lock waits for windows that are being opened on an earlier version and for fan-out pages of it, so that
    a new version knows everybody who may hold the earlier one.
    """
    row = await connection.fetchrow(
        "SELECT id, revision, version, withdrawn_at IS NOT NULL AS withdrawn FROM announcement"
        " WHERE authority_id = $1 AND matter = $2 FOR UPDATE",
        authority_id,
        matter,
    )
    if row is None:
        return None
    taken = await connection.fetch(
        "SELECT channel, lane FROM delivery_order WHERE announcement_id = $1 ORDER BY version, id", row["id"]
    )
    lane = Lane(taken[-1]["lane"]) if taken else None
    channels = tuple(dict.fromkeys(one["channel"] for one in taken))
    return Known(row["id"], row["revision"], row["version"], row["withdrawn"], channels, lane)


async def first(connection: Connection, authority_id: int, content: Content) -> int | None:
    """A new announcement at version 1; None when another worker made one for this matter (roll back then)."""
    announcement: int | None = await connection.fetchval(
        "INSERT INTO announcement (authority_id, matter, revision, version) VALUES ($1, $2, $3, 1)"
        " ON CONFLICT (authority_id, matter) DO NOTHING RETURNING id",
        authority_id,
        content.matter,
        content.revision,
    )
    if announcement is not None:
        await _add_version(connection, announcement, 1, content)
    return announcement


async def revise(connection: Connection, known: Known, content: Content, *, withdraw: bool) -> int:
    """The next version of a locked announcement; returns its number. Earlier versions are handed over no more."""
    version = known.version + 1
    await connection.execute(
        "UPDATE announcement SET revision = $2, version = $3,"
        " withdrawn_at = CASE WHEN $4 THEN coalesce(withdrawn_at, now()) END WHERE id = $1",
        known.id,
        content.revision,
        version,
        withdraw,
    )
    await _add_version(connection, known.id, version, content)
    return version


async def _add_version(connection: Connection, announcement: int, version: int, content: Content) -> None:
    await connection.execute(
        "INSERT INTO announcement_version (announcement_id, version, content) VALUES ($1, $2, $3)",
        announcement,
        version,
        content.model_dump(mode="json"),
    )


async def whose(connection: Connection, announcement: int) -> tuple[int, str] | None:
    """The authority and the matter of an announcement, None when there is none of that number."""
    row = await connection.fetchrow("SELECT authority_id, matter FROM announcement WHERE id = $1", announcement)
    return None if row is None else (row[0], row[1])


async def order(
    connection: Connection,
    *,
    announcement: int,
    version: int,
    authority_id: int,
    content: Content,
    orders: Sequence[NewOrder],
) -> list[int]:
    """One order a channel for this version; returns their ids, in the order given."""
    rows = await connection.fetch(
        "INSERT INTO delivery_order"
        " (announcement_id, version, authority_id, lane, expires, traceparent, channel, family, broadcast, audience)"
        " SELECT $1, $2, $3, $4, $5, $6, * FROM unnest($7::text[], $8::text[], $9::boolean[], $10::text[])"
        " RETURNING id",
        announcement,
        version,
        authority_id,
        content.lane.value,
        content.expires,
        tracing.traceparent(),
        [one.channel for one in orders],
        [one.family for one in orders],
        [one.broadcast for one in orders],
        [one.audience for one in orders],
    )
    return [row["id"] for row in rows]


async def content(connection: Connection, announcement: int, version: int) -> Content:
    """A version as it was ordered. Raises LookupError when there is none."""
    found = await connection.fetchval(
        "SELECT content FROM announcement_version WHERE announcement_id = $1 AND version = $2",
        announcement,
        version,
    )
    if found is None:
        raise LookupError(f"announcement {announcement} has no version {version}")
    return Content.model_validate(found)
