"""Fills a hub's database with the demo's commune: authorities, rules, subscribers. Safe to repeat."""

from demo.loader import DemoAuthority, load_authorities
from demo.subscribers import subscribers
from hub.intake import known_to
from hub.rules import parse_rules
from store import authorities, recipients
from store.database import Connection, connect
from store.recipients import Subscriber

COMMUNE = "96001"
"""Valmerande: whose subscribers they are."""


async def seed(dsn: str, count: int) -> int:
    """Valmerande and its EPCI, with ``count`` subscribers and their accounts; returns how many recipients."""
    connection = await connect(dsn)
    try:
        async with connection.transaction():
            for authority in load_authorities():
                await _authority(connection, authority)
            commune = await authorities.find(connection, COMMUNE)
            assert commune is not None  # it is one of those just saved
            found = [
                Subscriber(one.channel, one.address, one.language, one.places, one.broadcast)
                for one in subscribers(count)
            ]
            return await recipients.save(connection, commune.id, found)
    finally:
        await connection.close()


async def _authority(connection: Connection, authority: DemoAuthority) -> None:
    authority_id = await authorities.save(
        connection,
        code=authority.code,
        name=authority.name,
        identity=authority.identity,
        time_zone=authority.time_zone,
        languages=authority.languages,
        areas=authority.areas,
        themes=authority.themes,
        parent=authority.parent,
    )
    # invented addresses at a provider of our own: nobody real can be reached by mistake
    await authorities.open_to_all(connection, authority_id)
    if authority.rules is not None:
        text = authority.rules.read_text(encoding="utf-8")
        saved = await authorities.get(connection, authority_id)
        parse_rules(text, authority.rules.name, known_to(saved))
        await authorities.save_rules(connection, authority_id, authority.rules.name, text)
