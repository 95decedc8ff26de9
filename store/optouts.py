"""Leaving and coming back. An opt-out binds the address, not the recipient's row: it outlives both."""

from dataclasses import dataclass
from datetime import datetime

from schemas.authorities import Stream
from store.database import Connection
from store.suppressions import Kind


@dataclass(frozen=True, slots=True)
class OptOutRecipient:
    """Whom an unsubscribe link speaks of, and the authority they hear from."""

    id: int
    authority_id: int
    authority: str
    channel: str
    address: str
    language: str
    website: str | None
    stream: Stream
    """What a link in a message to them is about: SMS with one have their own sender for alerts."""
    alerts_sender: str | None
    """That sender; None when alerts come from where everything comes from."""
    phone: str | None
    """Where the authority is called."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why nothing is sent to an address any more, and since when. ``stream``: "" is everything on the channel."""

    reason: str
    since: datetime
    kind: Kind
    stream: Stream


async def suppress(
    connection: Connection, authority_id: int, channel: str, address: str, reason: str, stream: Stream = ""
) -> bool:
    """Send nothing more from this authority to this address on this channel, or only nothing of one stream.

    False when that was already so; the first reason and time are kept, but a wish outranks what servers said.
    """
    status = await connection.execute(
        "INSERT INTO suppression (authority_id, channel, address, reason, stream) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (authority_id, channel, address, stream) DO UPDATE"
        " SET kind = 'left', reason = excluded.reason, since = now() WHERE suppression.kind IN ('dead', 'refused')",
        authority_id,
        channel,
        address,
        reason,
        stream,
    )
    return bool(status.endswith(" 1"))


async def restore(connection: Connection, authority_id: int, channel: str, address: str, stream: Stream = "") -> bool:
    """Send to this address again, at its owner's wish, or only this stream. False when nothing stood in the way.

    Whoever had left everything and comes back to one stream stays away from the other.
    """
    left = await connection.fetch(
        "DELETE FROM suppression WHERE authority_id = $1 AND channel = $2 AND address = $3"
        " AND ($4 = '' OR stream IN ('', $4)) RETURNING stream, reason, since, kind",
        authority_id,
        channel,
        address,
        stream,
    )
    for row in left:
        # an address that its owner has shown to work is no longer dead for the other stream either
        if stream and row["stream"] == "" and row["kind"] in ("left", "complaint"):
            await connection.execute(
                "INSERT INTO suppression (authority_id, channel, address, reason, since, kind, stream)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
                authority_id,
                channel,
                address,
                row["reason"],
                row["since"],
                row["kind"],
                "alerts" if stream == "information" else "information",
            )
    return bool(left)


async def suppression(
    connection: Connection, authority_id: int, channel: str, address: str, stream: Stream = ""
) -> Suppression | None:
    """What keeps an address from hearing this stream ("": anything) of us; None when nothing does.

    Of several, the one that is about everything.
    """
    row = await connection.fetchrow(
        "SELECT reason, since, kind, stream FROM suppression WHERE authority_id = $1 AND channel = $2 AND address = $3"
        " AND ($4 = '' OR stream IN ('', $4)) ORDER BY stream <> '', since LIMIT 1",
        authority_id,
        channel,
        address,
        stream,
    )
    return None if row is None else Suppression(**row)


async def recipient_for(connection: Connection, recipient_id: int) -> OptOutRecipient | None:
    """The recipient of that id, None once erased."""
    row = await connection.fetchrow(
        "SELECT r.id, r.authority_id, a.name AS authority, r.channel, r.address, r.language,"
        " a.identity->>'website' AS website, a.identity->>'phone' AS phone,"
        " CASE WHEN r.channel = 'sms' AND a.identity->>'sms_alerts_sender' <> a.identity->>'sms_sender'"
        " THEN a.identity->>'sms_alerts_sender' END AS alerts_sender"
        " FROM recipient r JOIN authority a ON a.id = r.authority_id WHERE r.id = $1",
        recipient_id,
    )
    if row is None:
        return None
    stream: Stream = "information" if row["alerts_sender"] else ""
    return OptOutRecipient(**row, stream=stream)
