"""What the doctor asks the database: itself, its clock, the authorities, and what waits for somebody."""

import time
from datetime import UTC, datetime, timedelta

from hub.settings import Settings
from launcher.diagnosis.findings import Finding, Grade
from launcher.reach import database
from store import condition, deadletters, holds, notices, outbox
from store.condition import Keeping
from store.database import Connection

_LATE = timedelta(seconds=2)
_TOO_LATE = timedelta(seconds=30)
_NEEDED = 50
"""Connections: eight for each of four workers and the portal, and some for commands."""


async def examine(settings: Settings) -> list[Finding]:
    """Everything it tells. Raises launcher.faults.Fault when it can't be reached or its schema is not up to date."""
    async with database(settings) as connection:
        version = await condition.version(connection)
        found = [Finding("postgresql", Grade.OK, f"version {version} answers, its schema is up to date")]
        found += kept(await condition.keeping(connection))
        found.append(await _clock(connection))
        found += await _authorities(connection)
        found += await _waiting(connection)
    return found


async def sending_domains(settings: Settings) -> tuple[str, ...]:
    """The domains in the From of the authorities' mails. Raises Fault like ``examine``."""
    async with database(settings) as connection:
        known = await condition.authorities(connection)
    return tuple(dict.fromkeys(one.mail_from.rpartition("@")[2].lower() for one in known if one.mail_from))


def kept(keeping: Keeping) -> list[Finding]:
    """Whether what it acknowledged is kept, and whether it has room for our connections."""
    found = []
    if keeping.standby:
        mend = "Name the primary in TAMBOUR_DATABASE, or add ?target_session_attrs=read-write to several hosts."
        found.append(Finding("postgresql", Grade.FAULT, "this is a standby: it takes no writes", mend))
    if keeping.turned_off:
        what = f"{', '.join(keeping.turned_off)} off: it acknowledges what a power cut takes back"
        found.append(
            Finding("postgresql", Grade.FAULT, what, "Turn on: ALTER SYSTEM RESET …, SELECT pg_reload_conf().")
        )
    if keeping.most < _NEEDED or keeping.connections > 0.9 * keeping.most:
        what = f"{keeping.connections} of {keeping.most} connections are taken; each of our processes opens up to 8"
        mend = "Raise max_connections, or put a pooler in session mode before it."
        found.append(Finding("postgresql", Grade.WARNING, what, mend))
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
