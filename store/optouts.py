"""Leaving and coming back. An opt-out binds the address, not the recipient's row: it outlives both."""

from dataclasses import dataclass
from datetime import datetime

from store.database import Connection


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


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why nothing is sent to an address any more, and since when."""

    reason: str
    since: datetime


async def suppress(connection: Connection, authority_id: int, channel: str, address: str, reason: str) -> bool:
    """Send nothing more from this authority to this address on this channel.

    False when that was already so; the first reason and time are kept.
    """
    status = await connection.execute(
        "INSERT INTO suppression (authority_id, channel, address, reason) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (authority_id, channel, address) DO NOTHING",
        authority_id,
        channel,
        address,
        reason,
    )
    return bool(status.endswith(" 1"))


async def restore(connection: Connection, authority_id: int, channel: str, address: str) -> bool:
    """Send to this address again, at its owner's wish. False when nothing stood in the way."""
    status = await connection.execute(
        "DELETE FROM suppression WHERE authority_id = $1 AND channel = $2 AND address = $3",
        authority_id,
        channel,
        address,
    )
    return bool(status != "DELETE 0")


async def suppression(connection: Connection, authority_id: int, channel: str, address: str) -> Suppression | None:
    """The opt-out of an address, None when it hears from us."""
    row = await connection.fetchrow(
        "SELECT reason, since FROM suppression WHERE authority_id = $1 AND channel = $2 AND address = $3",
        authority_id,
        channel,
        address,
    )
    return None if row is None else Suppression(row["reason"], row["since"])


async def recipient_for(connection: Connection, recipient_id: int) -> OptOutRecipient | None:
    """The recipient of that id, None once erased."""
    row = await connection.fetchrow(
        "SELECT r.id, r.authority_id, a.name, r.channel, r.address, r.language, a.identity->>'website' AS website"
        " FROM recipient r JOIN authority a ON a.id = r.authority_id WHERE r.id = $1",
        recipient_id,
    )
    return None if row is None else OptOutRecipient(*row.values())
