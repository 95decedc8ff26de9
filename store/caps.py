"""Daily caps: how many messages an authority sends on a channel in a day of its time zone."""

from store.database import Connection


async def limit(connection: Connection, authority_id: int, channel: str, messages: int) -> None:
    """Set the cap. It holds for windows opened from now on; what the day has used so far counts."""
    await connection.execute(
        "INSERT INTO daily_cap (authority_id, channel, cap) VALUES ($1, $2, $3)"
        " ON CONFLICT (authority_id, channel) DO UPDATE SET cap = excluded.cap",
        authority_id,
        channel,
        messages,
    )


async def listing(connection: Connection, authority_id: int) -> dict[str, int]:
    """The caps of an authority, by channel."""
    rows = await connection.fetch("SELECT channel, cap FROM daily_cap WHERE authority_id = $1", authority_id)
    return {row["channel"]: row["cap"] for row in rows}
