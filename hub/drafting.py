"""An officer's notice before it is scheduled: everything that is wrong with it, or what will happen."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from hub import estimate
from hub.estimate import SmsEstimate, Tariff
from hub.intake import known_to
from hub.rendering import TemplateError
from hub.routing import Announce, Audience, NothingToEnd, Superseded, Told, plan, route_of, unknown_codes
from hub.rules import RulesInvalid, parse_rules
from hub.scheduling import Repeated, Skipped, instant
from publishers.registry import CHANNELS
from schemas.announcements import Content
from schemas.cloudevents import CloudEvent, Undecodable, load_json
from schemas.events import Fault, Invalid, Notice, parse
from store import announcements, audience, authorities, notices, pictures
from store.authorities import Authority
from store.database import Connection

_MATTER_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Draft:
    """A notice that can be scheduled.

    ``data`` is what is kept of it (fr.tambour.notice as JSON), ``content`` the version it is expected to become,
    ``rule_line`` the line of the rules that says so. ``reach`` estimates the recipients of each channel, by what
    matches now; those who got an earlier version hear of it besides. ``restricted``: allow-list only.
    """

    authority: Authority
    data: dict[str, Any]
    content: Content
    version: int
    audience: Audience
    rule_line: int
    reach: Mapping[str, int]
    restricted: bool
    sms: SmsEstimate | None = None
    """What its SMS cost; None when it goes out on other channels only."""


class DraftInvalid(ValueError):
    """A notice that can't go out as it is: ``faults``, all of them; ``where`` names the file's own fields."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


async def check(
    connection: Connection,
    fields: Mapping[str, Any],
    *,
    due_at: datetime,
    tariff: Tariff | None = None,
    public_url: str | None = None,
) -> Draft:
    """The draft of a notice that goes out at ``due_at``. Raises DraftInvalid with every fault.

    ``tariff`` and ``public_url`` are for the estimate of its SMS (hub.estimate).
    Call in a transaction: what it reads of the matter stays true until the notice is kept.
    """
    code = fields.get("authority")
    authority = await authorities.find(connection, code) if isinstance(code, str) else None
    faults: list[Fault] = []
    if authority is None and isinstance(code, str):
        faults.append(Fault("authority", f"is unknown here: {code!r}", "Write the code of an authority of this hub."))
    zone = authority.time_zone if authority else "Europe/Paris"
    written, wrong_times = completed(fields, zone, due_at)
    faults += wrong_times
    data = _parsed(written, {fault.where for fault in wrong_times}, faults)
    if authority is None:
        raise DraftInvalid(tuple(faults))
    faults += _own_names(
        unknown_codes(
            data or _codes_of(written),
            areas=authority.areas,
            themes=authority.themes,
            channels=tuple(CHANNELS),
            pictures=await pictures.names(connection, authority.id),
        )
    )
    if data is not None and data.expires <= due_at:
        reason = f"is {data.expires.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}, before the notice goes out"
        faults.append(Fault("expires", reason, "Give the moment when there is nothing left to tell."))
    if data is None or faults:
        raise DraftInvalid(tuple(faults))
    draft = await _planned(connection, authority, data, due_at)
    return await _with_sms(connection, draft, tariff, public_url)


def completed(fields: Mapping[str, Any], zone: str, due_at: datetime) -> tuple[dict[str, Any], tuple[Fault, ...]]:
    """The fields with what an officer may leave out: revision, onset, matter, and the offset of local times.

    A local time that the clocks skip or repeat is a fault: nobody guesses which moment was meant.
    """
    written = {name: _plain(value) for name, value in fields.items()}
    faults = []
    for name in ("onset", "expires"):
        try:
            if name in fields:
                written[name] = _moment(fields[name], zone)
        except _Unclear as unclear:
            faults.append(Fault(name, unclear.reason, unclear.mend))
    written.setdefault("revision", 1)
    written.setdefault("onset", due_at.astimezone(ZoneInfo(zone)).isoformat(timespec="seconds"))
    headline = written.get("headline")
    if "matter" not in written and isinstance(headline, dict) and isinstance(headline.get("fr"), str):
        day = f" ({due_at.astimezone(ZoneInfo(zone)):%Y-%m-%d})"
        written["matter"] = headline["fr"].strip()[: _MATTER_LIMIT - len(day)] + day
    return written, tuple(faults)


class _Unclear(Exception):
    def __init__(self, reason: str, mend: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.mend = mend


def _moment(value: Any, zone: str) -> Any:
    """A local time with its offset; anything else as it is, for the schema to judge. Raises _Unclear."""
    at = value
    if isinstance(value, str) and len(value) > len("2026-11-04"):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            return value
    if not isinstance(at, datetime) or at.tzinfo is not None:
        return _plain(value)
    there = ZoneInfo(zone)
    match instant(at, zone):
        case Skipped(before, after):
            times = f"{before.astimezone(there).isoformat()} or {after.astimezone(there).isoformat()}"
            raise _Unclear(f"is {at.isoformat()}, a time that the clocks of {zone} skip", f"Write {times}.")
        case Repeated(first, second):
            times = f"{first.astimezone(there).isoformat()} or {second.astimezone(there).isoformat()}"
            raise _Unclear(f"is {at.isoformat()}, a time that comes twice in {zone}", f"Write {times}.")
        case found:
            return found.astimezone(there).isoformat()


def _plain(value: Any) -> Any:
    """A value of TOML as JSON has it: dates and times are texts there."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _parsed(written: dict[str, Any], known_wrong: set[str], faults: list[Fault]) -> Notice | None:
    try:
        plain = load_json(json.dumps(written).encode(), "the notice")
        data = parse(CloudEvent(id="draft", source="/tambour/drafts", type=Notice.TYPE, data=plain))
    except Undecodable as error:
        faults.append(Fault(error.where, error.reason, error.mend))
    except Invalid as error:
        faults += (fault for fault in _own_names(error.faults) if fault.where not in known_wrong)
    else:
        assert isinstance(data, Notice)  # that is what TYPE stands for
        return data
    return None


def _own_names(faults: tuple[Fault, ...]) -> list[Fault]:
    """The faults with the names of the officer's file, where there is no ``data``."""
    return [Fault(fault.where.removeprefix("data."), fault.reason, fault.mend) for fault in faults]


def _codes_of(written: Mapping[str, Any]) -> Notice:
    """What can be checked against the database of a notice that has other faults."""

    def codes(name: str) -> tuple[str, ...]:
        value = written.get(name)
        return tuple(code for code in value if isinstance(code, str)) if isinstance(value, list) else ()

    found: dict[str, Any] = {name: codes(name) for name in ("areas", "themes", "channels", "pictures")}
    return Notice.model_construct(**found)


async def _planned(connection: Connection, authority: Authority, data: Notice, due_at: datetime) -> Draft:
    found = await authorities.rules(connection, authority.id)
    if found is None:
        mend = f"Import its rules: ./tambour rules import FILE --authority {authority.code}"
        raise DraftInvalid((Fault("rules", f"are missing: {authority.name} has none yet", mend),))
    filename, source = found
    try:
        route = route_of(parse_rules(source, filename, known_to(authority)), data)
    except RulesInvalid as error:
        raise DraftInvalid((Fault("rules", f"are broken: {error.faults[0]}", "Import mended rules."),)) from error
    if route is None:
        reason = f"have no line for it: {filename} matches no notice of severity {data.severity} in these areas"
        raise DraftInvalid((Fault("rules", reason, "Add a line for notices, or change the severity or areas."),))
    told = await _told(connection, authority, data, due_at)
    decision = plan(data, route, told, authority.areas)
    match decision:
        case Superseded(revision):
            reason = f"is {data.revision}, and revision {revision} of this matter has been told already"
            mend = f"Write revision = {revision + 1} to revise it, or another matter for something new."
            raise DraftInvalid((Fault("revision", reason, mend),))
        case NothingToEnd():
            reason = f"is {data.action}, and nobody was told of the matter {data.matter!r}"
            raise DraftInvalid((Fault("action", reason, "Check the matter; ./tambour track finds it by its name."),))
        case Announce(version, content, listeners):
            reach = {name: await _reach(connection, authority, name, content) for name in content.channels}
            kept = data.model_dump(mode="json", exclude_none=True)
            restricted = await audience.is_restricted(connection, authority.id)
            return Draft(authority, kept, content, version, listeners, route.line, reach, restricted)


async def _told(connection: Connection, authority: Authority, data: Notice, due_at: datetime) -> Told | None:
    """What will be known of the matter when the notice goes out. Raises DraftInvalid when another stands in its way."""
    known = await announcements.lock(connection, authority.id, data.matter)
    told = None if known is None else Told(known.version, known.revision, known.channels, known.lane)
    for waiting in await notices.pending(connection, authority.id, data.matter):
        revision = waiting.content["revision"]
        if revision >= data.revision:
            reason = f"is {data.revision}, and notice {waiting.id} (revision {revision}) of this matter waits already"
            mend = f"Cancel that one (./tambour announce --cancel {waiting.id}) or write revision = {revision + 1}."
            raise DraftInvalid((Fault("revision", reason, mend),))
        if told is None and waiting.due_at <= due_at:
            told = Told(1, revision)
    return told


async def _reach(connection: Connection, authority: Authority, channel: str, content: Content) -> int:
    if CHANNELS[channel].broadcast:
        return await audience.count_accounts(connection, authority.id, channel)
    return sum((await _people(connection, authority, channel, content)).values())


async def _people(connection: Connection, authority: Authority, channel: str, content: Content) -> dict[str, int]:
    return await audience.count_matches(connection, authority.id, channel, content.themes, content.areas, content.lane)


async def _with_sms(connection: Connection, draft: Draft, tariff: Tariff | None, public_url: str | None) -> Draft:
    if "sms" not in draft.content.channels:
        return draft
    people = await _people(connection, draft.authority, "sms", draft.content)
    try:
        found = estimate.sms(draft.content, draft.authority, people, tariff=tariff, public_url=public_url)
    except TemplateError as error:
        reason = f"can't be written: {error}"
        raise DraftInvalid((Fault("template", reason, "Mend the template it names."),)) from error
    return replace(draft, sms=found)
