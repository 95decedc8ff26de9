"""The doctor's checks. Each looks at one part and returns what it found; none raises because a part is missing."""

import asyncio
import shutil
import socket
import time
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel

from hub.settings import Settings
from launcher.environment import homes, settings_for_commands
from launcher.faults import Fault
from launcher.ports import Ports, setting_of
from launcher.reach import client_options, database, kafka_away, quiet_kafka
from launcher.supervisor import PortTaken, check_port
from publishers.base import Checks
from publishers.base import Finding as ChannelFinding
from publishers.registry import CHANNELS
from store import condition, deadletters, holds, notices, outbox
from store.database import Connection

_WITHIN_S = 15.0
_CONNECT_S = 5.0
_LATE = timedelta(seconds=2)
_TOO_LATE = timedelta(seconds=30)
_LITTLE = 2 << 30
_TOO_LITTLE = 256 << 20


class Grade(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. ``mend`` says what to do, "" when nothing needs doing."""

    part: str
    grade: Grade
    what: str
    mend: str = ""


async def examine(mapping: Mapping[str, str]) -> list[Finding]:
    """Every check, in the order in which parts depend on each other. ``mapping`` is the environment."""
    found = [
        *await _guarded("disk", asyncio.to_thread(disk, homes(mapping)[0].folder)),
        *await _guarded("ports", asyncio.to_thread(ports, mapping)),
        *await _guarded("templates", asyncio.to_thread(templates)),
    ]
    try:
        settings = settings_for_commands(mapping)
    except Fault as fault:
        unseen = Finding("the rest", Grade.WARNING, "Kafka, PostgreSQL and channels were not looked at", "")
        return [Finding("settings", Grade.FAULT, fault.what, fault.mend), *found, unseen]
    looked = await asyncio.gather(
        _guarded("kafka", _kafka(settings)),
        _guarded("postgresql", _postgres(settings)),
        *(_guarded(f"channel {name}", _channel(name, options)) for name, options in settings.channels.items()),
    )
    settings_found = Finding("settings", Grade.OK, f"channels set up: {', '.join(settings.channels) or 'none'}")
    if not settings.channels:
        settings_found = Finding(
            "settings",
            Grade.WARNING,
            "no channel is set up: nobody can be told anything",
            "Set one up in tambour.toml ([channels.email.relays.main] …).",
        )
    return [settings_found, *found, *(finding for part in looked for finding in part)]


async def _guarded(part: str, check: Awaitable[list[Finding]]) -> list[Finding]:
    """The findings of a check; one that is stuck or breaks is a finding itself, for the doctor must go on."""
    try:
        return await asyncio.wait_for(check, _WITHIN_S)
    except Fault as fault:
        return [Finding(part, Grade.FAULT, fault.what, fault.mend)]
    except TimeoutError:
        return [Finding(part, Grade.FAULT, f"no answer within {_WITHIN_S:g} s", "Check that it runs and is not stuck.")]
    except Exception as error:
        return [Finding(part, Grade.FAULT, f"{type(error).__name__}: {error}", "If this is no help, report it.")]


def disk(folder: Path) -> list[Finding]:
    """Whether the disk of the home folder has room."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    what = f"{free / (1 << 30):.1f} GB free for {folder}"
    if free >= _LITTLE:
        return [Finding("disk", Grade.OK, what)]
    mend = "Free some space there, or set TAMBOUR_HOME to a folder on another disk."
    return [Finding("disk", Grade.FAULT if free < _TOO_LITTLE else Grade.WARNING, what, mend)]


def ports(mapping: Mapping[str, str]) -> list[Finding]:
    """Whether the ports are free, or a running Tambour of this home has them."""
    try:
        chosen = Ports.chosen(mapping)
    except Fault as fault:
        return [Finding("ports", Grade.FAULT, fault.what, fault.mend)]
    running = any(_runs(home.run / "supervisor.pid") for home in homes(mapping))
    numbers = {name: getattr(chosen, name) for name in chosen.__dataclass_fields__}
    if running:
        answering = [name for name, port in numbers.items() if _listens(port)]
        return [Finding("ports", Grade.OK, f"a Tambour of this home runs; answering: {', '.join(answering) or 'none'}")]
    found = []
    for name, port in numbers.items():
        try:
            check_port(port, setting_of(name))
        except PortTaken as taken:
            found.append(Finding("ports", Grade.WARNING, f"{name}: {taken.what}", taken.mend))
    return found or [Finding("ports", Grade.OK, "all free for ./tambour up")]


def _runs(record: Path) -> bool:
    return record.exists() and bool(record.read_text().strip())


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def templates() -> list[Finding]:
    """Whether every template renders."""
    from hub.rendering import Renderer

    faults = Renderer().check()
    if not faults:
        return [Finding("templates", Grade.OK, "all render in every language")]
    return [Finding("templates", Grade.FAULT, f"templates/{fault}", "Mend it there.") for fault in faults]


async def _kafka(settings: Settings) -> list[Finding]:
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    from streams.topics import names

    quiet_kafka()
    admin = AIOKafkaAdminClient(**client_options(settings.kafka), request_timeout_ms=10_000)
    try:
        await admin.start()
        topics = set(await admin.list_topics())
    except (KafkaError, OSError) as error:
        raise kafka_away(settings.kafka, error) from error
    finally:
        await admin.close()
    missing = sorted(set(names()) - topics)
    if missing:
        what = f"{settings.kafka.bootstrap} answers, but lacks topics: {', '.join(missing)}"
        return [Finding("kafka", Grade.FAULT, what, "Tambour makes them when it starts: ./tambour up, or a worker.")]
    return [Finding("kafka", Grade.OK, f"{settings.kafka.bootstrap} answers, all {len(names())} topics are there")]


async def _postgres(settings: Settings) -> list[Finding]:
    async with database(settings) as connection:
        version = await condition.version(connection)
        found = [Finding("postgresql", Grade.OK, f"version {version} answers, its schema is up to date")]
        found.append(await _clock(connection))
        found += await _authorities(connection)
        found += await _waiting(connection)
    return found


async def _clock(connection: Connection) -> Finding:
    started = time.monotonic()
    theirs = await condition.clock(connection)
    half = timedelta(seconds=(time.monotonic() - started) / 2)
    difference = abs(datetime.now(UTC) - half - theirs)
    what = f"the database's clock and this machine's differ by {difference.total_seconds():.2f} s"
    if difference < _LATE:
        return Finding("clock", Grade.OK, what)
    grade = Grade.WARNING if difference < _TOO_LATE else Grade.FAULT
    return Finding("clock", grade, what, "Synchronise both with NTP (timedatectl).")


async def _authorities(connection: Connection) -> list[Finding]:
    known = await condition.authorities(connection)
    if not known:
        return [Finding("authorities", Grade.WARNING, "there is none yet", "Create one before events come for it.")]
    found = []
    for one in known:
        if one.rules is None:
            mend = f"./tambour rules import FILE --authority {one.code}"
            what = f"{one.name} ({one.code}) has no rules: its events are recorded and nobody is told"
            found.append(Finding("authorities", Grade.WARNING, what, mend))
        if one.restricted:
            what = f"{one.name} ({one.code}) writes to its allow-list only"
            found.append(Finding("authorities", Grade.WARNING, what, "Open it once you have tried it."))
    return found or [Finding("authorities", Grade.OK, f"{len(known)}, each with rules")]


async def _waiting(connection: Connection) -> list[Finding]:
    """What waits for somebody, which is no fault of the machine."""
    found = []
    if letters := await deadletters.find(connection, state="open", limit=100):
        count = f"{len(letters)}{' or more' if len(letters) == 100 else ''}"
        what = f"{count} dead letter(s) open, the last one: {letters[0].reason}"
        found.append(Finding("dead letters", Grade.WARNING, what, "./tambour deadletters list"))
    for hold in await holds.standing(connection):
        what = f"{hold.scope} {hold.key}".strip() + f" is held: {hold.reason}"
        found.append(Finding("holds", Grade.WARNING, what, f"./tambour release {hold.scope} {hold.key}".strip()))
    if asking := await notices.listing(connection, state="asks"):
        what = f"{len(asking)} notice(s) found too late ask whether to go out"
        found.append(Finding("notices", Grade.WARNING, what, "./tambour announce --list --state asks"))
    if (backlog := await outbox.waiting(connection)) > 1000:
        what = f"{backlog} messages wait for the broker"
        found.append(Finding("outbox", Grade.WARNING, what, "Check that the core worker runs and Kafka answers."))
    return found


async def _channel(name: str, options: BaseModel) -> list[Finding]:
    """The channel's own check when it has one; else whether its servers can be reached (and their certificates)."""
    part = f"channel {name}"
    publisher = CHANNELS[name].open(options)
    try:
        if isinstance(publisher, Checks):
            return [_told(part, one) for one in await publisher.check()]
    finally:
        await publisher.aclose()
    return [await _reached(part, url) for url in dict.fromkeys(_urls(options))]


def _told(part: str, said: ChannelFinding) -> Finding:
    return Finding(part, Grade.OK if said.ok else Grade.FAULT, f"{said.name}: {said.says}", said.mend or "")


def _urls(value: object) -> Iterator[str]:
    """Every web address among a channel's options."""
    if isinstance(value, BaseModel):
        for field in type(value).model_fields:
            yield from _urls(getattr(value, field))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _urls(inner)
    elif str(value).startswith(("http://", "https://")):
        yield str(value)


async def _reached(part: str, url: str) -> Finding:
    place = urlsplit(url)
    secure = place.scheme == "https"
    port = place.port or (443 if secure else 80)
    try:
        opened = asyncio.open_connection(place.hostname, port, ssl=secure or None)
        _, writer = await asyncio.wait_for(opened, _CONNECT_S)
    except (OSError, TimeoutError) as error:
        what = f"{place.hostname}:{port} can't be reached: {error or 'no answer'}"
        return Finding(part, Grade.FAULT, what, "Check its address, and what stands between (firewall, certificate).")
    writer.close()
    return Finding(part, Grade.OK, f"{place.hostname}:{port} answers (our token was not tried)")
