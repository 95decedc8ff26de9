"""The library of pictures of each authority."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from store.database import Connection


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture without metadata. ``alt`` says what it shows, by language; ``rights`` who made it, and our licence."""

    name: str
    content: bytes
    media_type: str
    width: int
    height: int
    alt: Mapping[str, str]
    rights: str


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry as lists show it; ``octets`` is its size."""

    authority: str
    name: str
    media_type: str
    width: int
    height: int
    octets: int
    alt: Mapping[str, str]
    rights: str


async def save(connection: Connection, authority_id: int, entry: Entry) -> bool:
    """Add a picture, or replace the one of its name; False when it replaced one."""
    return bool(
        await connection.fetchval(
            "INSERT INTO picture (authority_id, name, content, media_type, width, height, alt, rights)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
            " ON CONFLICT (authority_id, name) DO UPDATE SET content = excluded.content,"
            " media_type = excluded.media_type, width = excluded.width, height = excluded.height,"
            " alt = excluded.alt, rights = excluded.rights, added_at = now() RETURNING xmax = 0",
            authority_id,
            entry.name,
            entry.content,
            entry.media_type,
            entry.width,
            entry.height,
            dict(entry.alt),
            entry.rights,
        )
    )


async def load(connection: Connection, authority_id: int, names: Sequence[str]) -> list[Entry]:
    """The pictures of these names, in their order; one that has been removed since is left out."""
    rows = await connection.fetch(
        "SELECT name, content, media_type, width, height, alt, rights FROM picture"
        " WHERE authority_id = $1 AND name = ANY($2::text[])",
        authority_id,
        list(names),
    )
    found = {row["name"]: Entry(*row.values()) for row in rows}
    return [found[name] for name in names if name in found]


async def names(connection: Connection, authority_id: int) -> list[str]:
    """Every name in the authority's library."""
    rows = await connection.fetch("SELECT name FROM picture WHERE authority_id = $1 ORDER BY name", authority_id)
    return [row["name"] for row in rows]


async def listed(connection: Connection, authority: str | None = None) -> list[Listed]:
    """The library of one authority, by its code, or of all."""
    rows = await connection.fetch(
        "SELECT a.code, p.name, p.media_type, p.width, p.height, length(p.content), p.alt, p.rights"
        " FROM picture p JOIN authority a ON a.id = p.authority_id"
        " WHERE $1::text IS NULL OR a.code = $1 ORDER BY a.code, p.name",
        authority,
    )
    return [Listed(*row.values()) for row in rows]


async def remove(connection: Connection, authority_id: int, name: str) -> bool:
    """Take a picture out of the library; False when there is none of that name. What is published stays so."""
    status = await connection.execute("DELETE FROM picture WHERE authority_id = $1 AND name = $2", authority_id, name)
    return bool(status != "DELETE 0")
