"""A fictional authority for measurements, its subscribers, and the events that are told to them."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench import rows
from launcher.seed import save_authorities
from schemas.authorities import Identity
from schemas.authority_files import AuthorityEntry, AuthorityFile
from schemas.cloudevents import CloudEvent, encode_structured
from schemas.lanes import Lane
from store import authorities
from store.database import Connection

CODE = "96003"
"""The authority of most benches; like every code beginning with 96, nobody's."""
THEME = "essais"
DOMAINS = 50
"""Mail domains among which the subscribers are spread: a town's are not all at one provider."""

_RULES = "type;severity;areas;themes;lane;channels;languages;template\nnotice;>=Moderate;*;*;bulk;email;*;*\n"
_BODY = {
    "fr": "Les agents vérifient **la hauteur de l'eau** matin et soir. Le gymnase reste ouvert.",
    "en": "Staff check **the height of the water** twice a day. The sports hall stays open.",
}


@dataclass(frozen=True, slots=True)
class Message:
    """What an outside system puts on Kafka."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


async def found(connection: Connection, areas: Sequence[str], *, code: str = CODE) -> int:
    """The authority of that code, allowed to write to everybody; returns its row's id."""
    async with connection.transaction():
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "rules.csv").write_text(_RULES, encoding="utf-8")
            [authority] = await save_authorities(connection, _described(code, areas), Path(folder))
        await authorities.open_to_all(connection, authority)
    return authority


async def subscribe(connection: Connection, authority: int, count: int, area: str) -> None:
    """``count`` new addresses that hear what concerns ``area``; one in eight reads English."""
    await rows.add_people(connection, authority, _people(area, count), THEME, area)


async def subscribe_phones(connection: Connection, authority: int, count: int, area: str, *, first: int = 0) -> None:
    """``count`` telephones that hear what concerns ``area``, numbered from ``first``; nobody's numbers."""
    phones = ((phone(first + number), language) for number, (_, language) in enumerate(_people(area, count)))
    await rows.add_people(connection, authority, phones, THEME, area, "sms")


def phone(number: int) -> str:
    """A telephone number under +999, which is given to no country (ITU-T E.164, annex A)."""
    return f"+999{number:09}"


def _people(area: str, count: int) -> Iterator[tuple[str, str]]:
    for number in range(count):
        yield f"abonne-{area}-{number}@boite{number % DOMAINS}.example", "en" if number % 8 == 0 else "fr"


def notice(
    name: str,
    lane: Lane,
    area: str,
    *,
    code: str = CODE,
    channels: Sequence[str] = ("email",),
    severity: str = "Moderate",
) -> Message:
    """An announcement to an area's subscribers; ``name`` is its event's id and matter. A Minor one matches no rule."""
    now = datetime.now(UTC)
    return _message(
        name,
        Lane(lane),
        {
            "authority": code,
            "matter": name,
            "revision": 1,
            "areas": [area],
            "severity": severity,
            "onset": now.isoformat(),
            "expires": (now + timedelta(days=2)).isoformat(),
            "headline": {"fr": f"La rivière monte : point de situation {name}", "en": f"The river rises: news {name}"},
            "body": _BODY,
            "themes": [THEME],
            "channels": list(channels),
            "lane": lane.value,
        },
    )


def _message(name: str, lane: Lane, data: dict[str, Any]) -> Message:
    event = CloudEvent(id=name, source="/bench", type="fr.tambour.notice", time=datetime.now(UTC), data=data)
    value, headers = encode_structured(event)
    topic = "municipal.events.urgent" if lane is Lane.URGENT else "municipal.events"
    return Message(topic, name.encode(), value, tuple(headers))


def _described(code: str, areas: Sequence[str]) -> AuthorityFile:
    identity = Identity.model_validate(
        {
            "name": "Ville d'Essai",
            "short_name": "Essai",
            "mail_from": "annonces@essai.example",
            "list_id": "annonces.essai.example",
            "website": "https://www.essai.example/",
            "postal_address": "1 place du Marché, 96000 Essai",
            "sms_sender": "ESSAI",
        }
    )
    entry = AuthorityEntry(
        code=code,
        name="Essai",
        languages=("fr", "en"),
        rules="rules.csv",
        identity=identity,
        areas={area: area.capitalize() for area in areas},
    )
    return AuthorityFile(themes={THEME: {"fr": "Essais", "en": "Tests"}}, authority=(entry,))
