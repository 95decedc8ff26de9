"""Recipients and what they subscribe to. A recipient is an address on a channel, not a person."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from store.database import Connection


@dataclass(frozen=True, slots=True)
class Subscriber:
    """An address with its subscriptions, as (theme, area) pairs; area ``""`` is everywhere."""

    channel: str
    address: str
    language: str
    subscriptions: Sequence[tuple[str, str]] = ()
    broadcast: bool = False


async def save(connection: Connection, authority_id: int, subscribers: Iterable[Subscriber]) -> int:
    """Add subscribers, or bring the language and subscriptions of known addresses up to date; returns how many.

    An opt-out is not lifted by this: it binds the address (table suppression).
    """
    found = list(subscribers)
    if not found:
        return 0
    rows = await connection.fetch(
        "INSERT INTO recipient (authority_id, channel, address, language, broadcast)"
        " SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::boolean[])"
        " ON CONFLICT (authority_id, channel, address)"
        " DO UPDATE SET language = excluded.language, broadcast = excluded.broadcast"
        " RETURNING id, channel, address",
        authority_id,
        [one.channel for one in found],
        [one.address for one in found],
        [one.language for one in found],
        [one.broadcast for one in found],
    )
    ids = {(row["channel"], row["address"]): row["id"] for row in rows}
    people = [one for one in found if not one.broadcast]  # an account hears everything, and subscribes to nothing
    pairs = [(ids[one.channel, one.address], *pair) for one in people for pair in one.subscriptions]
    await connection.execute("DELETE FROM subscription WHERE recipient_id = ANY($1::bigint[])", list(ids.values()))
    await connection.execute(
        "INSERT INTO subscription (recipient_id, theme, area)"
        " SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING",
        [pair[0] for pair in pairs],
        [pair[1] for pair in pairs],
        [pair[2] for pair in pairs],
    )
    return len(found)
