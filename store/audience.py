"""How many an announcement would reach, before it goes out. The same rules as fan-out (store/orders.py) and the
gate of a window (store/batches.py), counted instead of read: an estimate, for the audience is whoever matches when
its page is read.
"""

from collections.abc import Sequence

from store.database import Connection

# Nobody who opted out, and of an authority that is not yet open only those on its allow-list.
_WRITTEN_TO = """
AND NOT EXISTS (SELECT FROM suppression x WHERE x.authority_id = r.authority_id AND x.channel = r.channel
                AND x.address = r.address)
AND (r.allow_listed OR NOT (SELECT restricted FROM authority WHERE id = $1))"""


async def count_matches(
    connection: Connection, authority_id: int, channel: str, themes: Sequence[str], areas: Sequence[str]
) -> int:
    """Recipients of a channel that subscribe to one of the themes in one of the areas; no areas is everywhere."""
    found: int = await connection.fetchval(
        "SELECT count(*) FROM recipient r WHERE r.authority_id = $1 AND r.channel = $2 AND NOT r.broadcast"
        " AND EXISTS (SELECT FROM subscription s WHERE s.recipient_id = r.id AND s.theme = ANY($3::text[])"
        " AND (s.area = '' OR cardinality($4::text[]) = 0 OR s.area = ANY($4::text[])))" + _WRITTEN_TO,
        authority_id,
        channel,
        list(themes),
        list(areas),
    )
    return found


async def count_accounts(connection: Connection, authority_id: int, channel: str) -> int:
    """The authority's own accounts on a broadcast channel."""
    found: int = await connection.fetchval(
        "SELECT count(*) FROM recipient r WHERE r.authority_id = $1 AND r.channel = $2 AND r.broadcast" + _WRITTEN_TO,
        authority_id,
        channel,
    )
    return found


async def is_restricted(connection: Connection, authority_id: int) -> bool:
    """Whether the authority writes to its allow-list only."""
    found: bool = await connection.fetchval("SELECT restricted FROM authority WHERE id = $1", authority_id)
    return found
