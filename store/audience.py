"""How many an announcement would reach, before it goes out. The same rules as fan-out (store/orders.py) and the
gate of a window (store/batches.py), counted instead of read: an estimate, for the audience is whoever matches when
its page is read.
"""

from collections.abc import Sequence

from schemas.authorities import stream_of
from schemas.lanes import Lane
from store.database import Connection

# Nobody who opted out of this stream ($2), and of an authority that is not yet open only those on its allow-list.
_WRITTEN_TO = """
AND NOT EXISTS (SELECT FROM suppression x WHERE x.authority_id = r.authority_id AND x.channel = r.channel
                AND x.address = r.address AND x.stream IN ('', $2))
AND (r.allow_listed OR NOT (SELECT restricted FROM authority WHERE id = $1))"""


async def count_matches(
    connection: Connection,
    authority_id: int,
    channel: str,
    themes: Sequence[str],
    areas: Sequence[str],
    lane: Lane = Lane.ROUTINE,
) -> dict[str, int]:
    """Recipients of a channel that subscribe to one of the themes in one of the areas, by their language.

    No areas is everywhere.
    """
    rows = await connection.fetch(
        "SELECT r.language, count(*) AS people FROM recipient r"
        " WHERE r.authority_id = $1 AND r.channel = $3 AND NOT r.broadcast"
        " AND EXISTS (SELECT FROM subscription s WHERE s.recipient_id = r.id AND s.theme = ANY($4::text[])"
        " AND (s.area = '' OR cardinality($5::text[]) = 0 OR s.area = ANY($5::text[])))"
        + _WRITTEN_TO
        + " GROUP BY r.language ORDER BY r.language",
        authority_id,
        stream_of(lane),
        channel,
        list(themes),
        list(areas),
    )
    return {row["language"]: row["people"] for row in rows}


async def count_accounts(connection: Connection, authority_id: int, channel: str) -> int:
    """The authority's own accounts on a broadcast channel."""
    found: int = await connection.fetchval(
        "SELECT count(*) FROM recipient r WHERE r.authority_id = $1 AND r.channel = $3 AND r.broadcast" + _WRITTEN_TO,
        authority_id,
        "",
        channel,
    )
    return found


async def is_restricted(connection: Connection, authority_id: int) -> bool:
    """Whether the authority writes to its allow-list only."""
    found: bool = await connection.fetchval("SELECT restricted FROM authority WHERE id = $1", authority_id)
    return found
