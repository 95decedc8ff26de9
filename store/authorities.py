"""Authorities with their areas, themes and rules: who speaks, about what, to where."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.authorities import Identity, Stream
from store.database import Connection


@dataclass(frozen=True, slots=True)
class Authority:
    """A collectivité as the hub needs it to route and to speak. ``areas`` and ``themes`` map codes to names."""

    id: int
    code: str
    name: str
    time_zone: str
    languages: tuple[str, ...]
    identity: Identity
    areas: Mapping[str, str]
    themes: tuple[str, ...]


async def find(connection: Connection, code: str) -> Authority | None:
    """The authority with that code (INSEE or SIREN), None when there is none."""
    row = await connection.fetchrow(_ONE + " WHERE a.code = $1", code)
    return None if row is None else _authority(row)


async def find_all(connection: Connection, codes: Collection[str]) -> dict[str, Authority]:
    """The authorities with these codes, by code; without those there are none of."""
    rows = await connection.fetch(_ONE + " WHERE a.code = ANY($1::text[])", list(codes))
    return {row["code"]: _authority(row) for row in rows}


async def get(connection: Connection, authority_id: int) -> Authority:
    """The authority of a row that refers to it. Raises LookupError when it is gone."""
    row = await connection.fetchrow(_ONE + " WHERE a.id = $1", authority_id)
    if row is None:
        raise LookupError(f"no authority {authority_id}")
    return _authority(row)


_ONE = """
SELECT a.id, a.code, a.name, a.time_zone, a.languages, a.identity,
       coalesce((SELECT jsonb_object_agg(code, name) FROM area WHERE authority_id = a.id), '{}') AS areas,
       ARRAY(SELECT code FROM theme WHERE authority_id = a.id ORDER BY code) AS themes
FROM authority a"""


def _authority(row: Mapping[str, Any]) -> Authority:
    return Authority(
        row["id"],
        row["code"],
        row["name"],
        row["time_zone"],
        tuple(row["languages"]),
        Identity.model_validate(row["identity"]),
        row["areas"],
        tuple(row["themes"]),
    )


async def save(
    connection: Connection,
    *,
    code: str,
    name: str,
    identity: Identity,
    time_zone: str,
    languages: Sequence[str],
    areas: Mapping[str, str],
    themes: Mapping[str, Mapping[str, str]],
    parent: str | None = None,
    restricted: bool = True,
) -> int:
    """Create the authority or bring it up to date; returns its id. What is already subscribed to is kept.

    ``restricted`` holds for a new authority only: it writes to its allow-list until somebody opens it.
    """
    authority_id: int = await connection.fetchval(
        "INSERT INTO authority (code, parent_id, name, time_zone, languages, identity, restricted)"
        " VALUES ($1, (SELECT id FROM authority WHERE code = $2), $3, $4, $5, $6, $7)"
        " ON CONFLICT (code) DO UPDATE SET parent_id = excluded.parent_id, name = excluded.name,"
        " time_zone = excluded.time_zone, languages = excluded.languages, identity = excluded.identity"
        " RETURNING id",
        code,
        parent,
        name,
        time_zone,
        list(languages),
        identity.model_dump(mode="json"),
        restricted,
    )
    await connection.executemany(
        "INSERT INTO area (authority_id, code, name) VALUES ($1, $2, $3)"
        " ON CONFLICT (authority_id, code) DO UPDATE SET name = excluded.name",
        [(authority_id, area, label) for area, label in areas.items()],
    )
    await connection.executemany(
        "INSERT INTO theme (authority_id, code, label) VALUES ($1, $2, $3)"
        " ON CONFLICT (authority_id, code) DO UPDATE SET label = excluded.label",
        [(authority_id, theme, dict(label)) for theme, label in themes.items()],
    )
    return authority_id


async def open_to_all(connection: Connection, authority_id: int) -> None:
    """Let the authority write beyond its allow-list."""
    await connection.execute("UPDATE authority SET restricted = false WHERE id = $1", authority_id)


async def save_rules(connection: Connection, authority_id: int, filename: str, source: str) -> None:
    """Replace the authority's rules by a text that has been checked (hub.rules)."""
    await connection.execute(
        "INSERT INTO rule_set (authority_id, filename, source) VALUES ($1, $2, $3)"
        " ON CONFLICT (authority_id) DO UPDATE SET filename = excluded.filename, source = excluded.source,"
        " imported_at = now()",
        authority_id,
        filename,
        source,
    )


async def rules(connection: Connection, authority_id: int) -> tuple[str, str] | None:
    """File name and text of the authority's rules, None before the first import."""
    row = await connection.fetchrow("SELECT filename, source FROM rule_set WHERE authority_id = $1", authority_id)
    return None if row is None else (row["filename"], row["source"])


async def rules_of_all(connection: Connection, ids: Collection[int]) -> dict[int, tuple[str, str]]:
    """File name and text of these authorities' rules, by the authority's id; without those that have none."""
    rows = await connection.fetch(
        "SELECT authority_id, filename, source FROM rule_set WHERE authority_id = ANY($1::bigint[])", list(ids)
    )
    return {row["authority_id"]: (row["filename"], row["source"]) for row in rows}


async def speaking_as(connection: Connection, sender: str) -> list[tuple[int, Stream]]:
    """Ids of the authorities whose SMS come from that sender, each with what a STOP to it is about."""
    rows = await connection.fetch(
        "SELECT id, identity FROM authority"
        " WHERE $1 IN (identity->>'sms_sender', identity->>'sms_alerts_sender') ORDER BY id",
        sender,
    )
    return [(row["id"], Identity.model_validate(row["identity"]).sms_stream_of(sender)) for row in rows]
