"""Fills a hub's database: authorities from a file, and the demo's commune with its subscribers. Safe to repeat."""

from pathlib import Path

from demo.loader import FOLDER, load_authorities, load_pictures
from demo.subscribers import subscribers
from hub.intake import known_to
from hub.pictures import taken_in
from hub.rules import parse_rules
from schemas.authority_files import AuthorityEntry, AuthorityFile
from store import authorities, pictures, recipients
from store.database import Connection, connect
from store.pictures import Entry
from store.recipients import Subscriber

COMMUNE = "96001"
"""Valmerande: whose subscribers they are."""


async def save_authorities(connection: Connection, described: AuthorityFile, folder: Path) -> list[int]:
    """Create or update the authorities of a file, in the caller's transaction; returns their ids.

    ``folder`` is where their rules files lie. Raises hub.rules.RulesInvalid, or OSError for a file not there.
    """
    found = []
    for entry in described.authority:
        authority_id = await authorities.save(
            connection,
            code=entry.code,
            name=entry.name,
            identity=entry.identity,
            time_zone=entry.time_zone,
            languages=entry.languages,
            areas=entry.areas,
            themes=described.themes,
            parent=entry.parent,
        )
        await _save_rules(connection, authority_id, entry, folder)
        found.append(authority_id)
    return found


async def _save_rules(connection: Connection, authority_id: int, entry: AuthorityEntry, folder: Path) -> None:
    if entry.rules is None:
        return
    text = (folder / entry.rules).read_text(encoding="utf-8")
    parse_rules(text, entry.rules, known_to(await authorities.get(connection, authority_id)))
    await authorities.save_rules(connection, authority_id, entry.rules, text)


async def seed(dsn: str, count: int) -> int:
    """Valmerande and its EPCI, its pictures, ``count`` subscribers and its accounts; returns how many recipients."""
    connection = await connect(dsn)
    try:
        async with connection.transaction():
            for authority_id in await save_authorities(connection, load_authorities(), FOLDER):
                # invented addresses at a provider of our own: nobody real can be reached by mistake
                await authorities.open_to_all(connection, authority_id)
            commune = await authorities.find(connection, COMMUNE)
            assert commune is not None  # it is one of those just saved
            for drawing in load_pictures():
                taken = taken_in(drawing.content)
                entry = Entry(
                    drawing.name,
                    taken.content,
                    taken.media_type,
                    taken.width,
                    taken.height,
                    drawing.alt,
                    drawing.rights,
                )
                await pictures.save(connection, commune.id, entry)
            found = [
                Subscriber(one.channel, one.address, one.language, one.places, one.broadcast)
                for one in subscribers(count)
            ]
            return await recipients.save(connection, commune.id, found)
    finally:
        await connection.close()
