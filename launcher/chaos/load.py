"""The load that chaos puts on a hub: an authority of ten areas, and works in one of them after the other."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from random import Random

from aiokafka.errors import KafkaError

from launcher.outside import outside
from launcher.seed import save_authorities
from publishers.registry import CHANNELS
from schemas.authorities import Identity
from schemas.authority_files import AuthorityEntry, AuthorityFile
from schemas.cloudevents import CloudEvent, encode_structured
from store import authorities, recipients
from store.database import connect
from store.recipients import Subscriber

AREAS = 10
"""How many there are."""
_AT_ONCE = 10
_AUTHORITY = "96002"
_RULES = """type;severity;areas;themes;lane;channels;languages;template
road-works;>=Severe;*;travaux;urgent;*;*;*
road-works;Moderate;*;travaux;routine;*;*;*
road-works;*;*;travaux;bulk;*;*;*
"""


async def emit(bootstrap: str, messages: Sequence["Message"], *, over_s: float) -> None:
    """Emit all, spread over that many seconds, each again and again until the broker has acknowledged it.

    That is what the outbox of an outside system does. Some may arrive twice: their ids stay the same.
    """
    waiting = list(messages)
    pause = over_s * _AT_ONCE / max(1, len(waiting))
    while waiting:
        try:
            async with outside(bootstrap) as system:
                while waiting:
                    await asyncio.wait_for(system.emit(waiting[:_AT_ONCE]), 20)
                    del waiting[:_AT_ONCE]
                    await asyncio.sleep(pause)
        except (KafkaError, OSError, TimeoutError):
            await asyncio.sleep(0.5)


@dataclass(frozen=True, slots=True)
class Message:
    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom an event reaches: ``people`` in each of its areas, and ``accounts`` of networks once."""

    people: int
    accounts: int

    def of(self, areas: int) -> int:
        """Deliveries of an event about so many areas."""
        return self.people * areas + self.accounts


MIXED = {"Moderate": 70, "Severe": 10, "Minor": 20}
"""Severities and their weights: mostly routine, some urgent, some bulk."""


def event_number(number: int, chance: Random, *, areas: int = 1, severities: Mapping[str, int] = MIXED) -> Message:
    """One works order in so many of the areas. Severities decide on lanes: see ``_RULES``."""
    now = datetime.now(UTC)
    [severity] = chance.choices(list(severities), list(severities.values()))
    matter = f"chaos {number}"
    event = CloudEvent(
        id=matter,
        source="/chaos",
        type="fr.tambour.road-works",
        time=now,
        data={
            "authority": _AUTHORITY,
            "matter": matter,
            "revision": 1,
            "action": "announce",
            "areas": [f"zone-{(number + further) % AREAS}" for further in range(areas)],
            "severity": severity,
            "onset": now.isoformat(),
            "expires": (now + timedelta(days=2)).isoformat(),
            "street": f"rue {number}",
            "reason": {"fr": "essai", "en": "test"},
            "traffic": "closed",
            "starts": now.date().isoformat(),
            "ends": (now + timedelta(days=1)).date().isoformat(),
        },
    )
    value, headers = encode_structured(event)
    topic = "municipal.events.urgent" if severity == "Severe" else "municipal.events"
    return Message(topic, matter.encode(), value, tuple(headers))


async def seed(dsn: str, each: int, channels: frozenset[str]) -> Audience:
    """An authority of ten areas, with ``each`` addresses of people in every area, and one account a network."""
    connection = await connect(dsn)
    try:
        async with connection.transaction():
            with tempfile.TemporaryDirectory() as folder:
                Path(folder, "rules.csv").write_text(_RULES, encoding="utf-8")
                [authority] = await save_authorities(connection, _described(), Path(folder))
            await authorities.open_to_all(connection, authority)
            await recipients.save(connection, authority, [*_accounts(channels), *_people(each, channels)])
    finally:
        await connection.close()
    told = any(not CHANNELS[name].broadcast for name in channels)
    return Audience(each if told else 0, len(_accounts(channels)))


def _accounts(channels: frozenset[str]) -> list[Subscriber]:
    broadcast = sorted(name for name in channels if CHANNELS[name].broadcast)
    return [Subscriber(name, "valmerande", "fr", broadcast=True) for name in broadcast]


def _people(each: int, channels: frozenset[str]) -> list[Subscriber]:
    wanted = [name for name in ("email", "email", "sms") if name in channels]
    if not wanted:
        return []
    kinds = cycle(wanted)
    found = []
    for area in range(AREAS):
        for number in range(each):
            kind = next(kinds)
            # 06 39 98 02 00 and up: numbers kept for fiction to which the sandbox does not react
            address = (
                f"z{area}n{number}@boite.example" if kind == "email" else f"+3363998{200 + area * each + number:04d}"
            )
            language = "en" if number % 8 == 0 else "fr"
            found.append(Subscriber(kind, address, language, [("travaux", f"zone-{area}")]))
    return found


def _described() -> AuthorityFile:
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
        code=_AUTHORITY,
        name="Essai",
        languages=("fr", "en"),
        rules="rules.csv",
        identity=identity,
        areas={f"zone-{number}": f"Zone {number}" for number in range(AREAS)},
    )
    return AuthorityFile(themes={"travaux": {"fr": "Travaux", "en": "Works"}}, authority=(entry,))
