"""``announce``: an officer's notice, checked and kept until its time; what waits, and what an officer decides."""

import asyncio
import sys
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from hub import drafting
from hub.drafting import Draft, DraftInvalid
from hub.estimate import SmsEstimate, SmsText, tariff_of
from hub.routing import Audience
from hub.scheduling import TOLERANCE
from launcher.environment import settings_for_commands
from launcher.faults import Fault
from launcher.notice_files import Which, local_time, moments_of, read_notice, with_zone, written_time
from launcher.reach import database
from launcher.terminal import print_json, print_table, printable
from schemas.lanes import Lane
from store import authorities, condition, holds, notices
from store.authorities import Authority
from store.database import Connection
from store.notices import Notice

EPILOG = (
    '[bold]Examples[/bold]: ./tambour announce market.toml --at "2026-11-26 18:30" · ./tambour announce market.toml '
    "--check · ./tambour announce --list --state scheduled · ./tambour announce --cancel 3. "
    "Exit codes: 0 done, 1 could not, 2 not understood."
)


class NoticeState(StrEnum):
    """Where a notice stands."""

    SCHEDULED = "scheduled"
    EMITTED = "emitted"
    CANCELLED = "cancelled"
    ASKS = "asks"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(announce)


def announce(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The notice, TOML or JSON (demo/notices/ has two).")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help='Local time of the authority: "2026-11-26 18:30". Without it: now.')
    ] = None,
    which: Annotated[
        Which | None, typer.Option(help="Of a time that comes twice when the clocks go back, which one.")
    ] = None,
    tolerance: Annotated[
        int, typer.Option(min=0, max=10_080, help="Minutes. Found later than this after its time, it asks.")
    ] = int(TOLERANCE.total_seconds()) // 60,
    check: Annotated[bool, typer.Option("--check", help="Only say what would happen.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List notices, latest due first.")] = False,
    state: Annotated[NoticeState | None, typer.Option(help="With --list: only those.")] = None,
    cancel: Annotated[int | None, typer.Option(metavar="ID", help="A notice that has not gone out never will.")] = None,
    send: Annotated[int | None, typer.Option(metavar="ID", help="Send a notice that asks (state asks) anyway.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Schedule an officer's notice, or see, cancel or decide about those that wait.

    The notice is checked as a whole, and every fault is told. What will happen is shown: lane, channels, reach.
    Then it is kept in the database until its time, whatever is restarted meanwhile.

    Left out, matter is the headline and the date, revision 1, onset the time it goes out. Times are local times.

    A notice found later than its tolerance after its time (the hub was down) is not sent by itself: it asks.
    """
    if sum((file is not None, list_, cancel is not None, send is not None)) != 1:
        raise typer.BadParameter("Give one of: a FILE, --list, --cancel ID, --send ID.")
    if file is None and (at or which or check):
        raise typer.BadParameter("--at, --which and --check go with a FILE.")
    if state and not list_:
        raise typer.BadParameter("--state goes with --list.")
    if file is not None:
        try:
            local = None if at is None else local_time(at)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--at") from error
        fields = read_notice(file)
        asked = _Asked(str(file), fields, local, which, timedelta(minutes=tolerance), check)
        asyncio.run(_schedule(asked, as_json))
    elif list_:
        asyncio.run(_list(state, as_json))
    elif cancel is not None:
        asyncio.run(_cancel(cancel, as_json))
    elif send is not None:
        asyncio.run(_send(send, as_json))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the officer asked for; ``local`` None is now."""

    name: str
    fields: dict[str, Any]
    local: datetime | None
    which: Which | None
    tolerance: timedelta
    only_check: bool


async def _schedule(asked: _Asked, as_json: bool) -> None:
    async with database() as connection:
        code = asked.fields.get("authority")
        authority = await authorities.find(connection, code) if isinstance(code, str) else None
        now = await condition.clock(connection)
        # without an authority there is no zone to read the time in; the check tells what is wrong with it
        due_at, kept_time = _due(asked, authority.time_zone, now) if authority else (now, "")
        async with connection.transaction():
            draft = await _checked(connection, asked, due_at)
            notice = None
            if not asked.only_check:
                kept = await notices.schedule(
                    connection,
                    authority_id=draft.authority.id,
                    content=draft.data,
                    urgent=draft.content.lane is Lane.URGENT,
                    local_time=kept_time,
                    due_at=due_at,
                    tolerance=asked.tolerance,
                )
                notice = await _known(connection, kept)
        held = await _held(connection, draft)
    if as_json:
        return print_json(_summary(draft, notice, due_at, held))
    _show(draft, due_at, held)
    if notice is None:
        return typer.echo("Nothing was scheduled (--check).")
    when = "goes out now" if asked.local is None else f"goes out on {with_zone(due_at, draft.authority.time_zone)}"
    typer.echo(f"Notice {notice.id} {when}. Cancel it: ./tambour announce --cancel {notice.id}")
    typer.echo(f"Once it is out, track it with: ./tambour track {notice.event_id}")


def _due(asked: _Asked, zone: str, now: datetime) -> tuple[datetime, str]:
    """When it goes out, and that time as the officer wrote it. Raises Fault for a time there is not, or past."""
    if asked.local is None:
        return now, written_time(now.replace(microsecond=0), zone)
    moments = moments_of(asked.local, zone)
    if asked.which and len(moments) == 1:
        raise Fault(f"{asked.local:%Y-%m-%d %H:%M} comes once in {zone}.", "Leave --which out.")
    chosen = moments[0] if len(moments) == 1 else _one_of(moments, asked, zone)
    if chosen <= now:
        raise Fault(
            f"{with_zone(chosen, zone)} is past: it is {with_zone(now, zone)} now.",
            "Give a time to come, or leave --at out to send it now.",
        )
    return chosen, written_time(chosen, zone, twice=len(moments) == 2)


def _one_of(moments: tuple[datetime, ...], asked: _Asked, zone: str) -> datetime:
    """The moment meant by a time that comes twice: nobody guesses it."""
    assert asked.local is not None
    first, second = (with_zone(moment, zone) for moment in moments)
    which = asked.which
    if which is None:
        said = f"{asked.local:%Y-%m-%d %H:%M} comes twice in {zone}, for the clocks go back: {first}, then {second}."
        if not interactive():
            raise Fault(said, "Say which one: --which first, or --which second.")
        typer.echo(said, err=True)
        which = Which(typer.prompt("Which one, first or second", type=Which))
    return moments[0] if which is Which.FIRST else moments[1]


def interactive() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


async def _checked(connection: Connection, asked: _Asked, due_at: datetime) -> Draft:
    try:
        settings = settings_for_commands()
        return await drafting.check(
            connection,
            asked.fields,
            due_at=due_at,
            tariff=tariff_of(settings.channels.get("sms")),
            public_url=str(settings.links.public_url),
        )
    except DraftInvalid as error:
        faults = "\n".join(f"{asked.name}: {printable(fault)}" for fault in error.faults)
        raise Fault(faults, "Nothing was scheduled. Mend the file; docs/events.md lists the fields.") from error


async def _held(connection: Connection, draft: Draft) -> list[str]:
    """Holds that will keep it, in words."""
    keys = {("hub", ""), ("authority", draft.authority.code)} | {("channel", name) for name in draft.content.channels}
    standing = await holds.standing(connection)
    return [f"{one.scope} {one.key}".strip() + f": {one.reason}" for one in standing if (one.scope, one.key) in keys]


def _show(draft: Draft, due_at: datetime, held: list[str]) -> None:
    content, authority = draft.content, draft.authority
    set_up = settings_for_commands().channels
    words = {Audience.MATCHES: "", Audience.BOTH: ", and whoever got an earlier version"}
    lines = [
        f"{authority.name}: {draft.data['headline']['fr']}",
        f"  matter    {content.matter} (revision {content.revision}, version {draft.version}, {content.action})",
        f"  lane      {content.lane} (line {draft.rule_line} of the rules), severity {content.severity}",
        f"  themes    {', '.join(content.themes)}",
        f"  areas     {', '.join(content.area_names) or 'everywhere'}",
        f"  expires   {with_zone(content.expires, authority.time_zone)}",
    ]
    for name, count in draft.reach.items():
        to = "whoever got it" if draft.audience is Audience.HOLDERS else f"about {count}{words[draft.audience]}"
        lines.append(f"  {name:9} {to}" + ("" if name in set_up else " (this channel is not set up here)"))
        if name == "sms" and draft.sms is not None:
            lines += _costs(draft.sms)
    if draft.restricted:
        lines.append(f"  {authority.name} writes to its allow-list only, for now.")
    lines += [f"  Held: {reason}. It waits for ./tambour release." for reason in held]
    typer.echo(printable("\n".join(lines)))


def _costs(estimate: SmsEstimate) -> list[str]:
    """What the SMS cost, in lines under the channel's."""
    lines = [f"            {one.language}: {_size(one)}" for one in estimate.texts]
    total = f"            {estimate.segments} segments in all"
    if estimate.tariff is not None:
        price, currency = estimate.tariff.price, estimate.tariff.currency
        total += f", at most {estimate.cost:.2f} {currency} ({price} {currency} a segment)"
    return [*lines, total]


def _size(one: SmsText) -> str:
    size, spelled = one.size, one.spelled
    words = f"{size.segments} segment{'s' * (size.segments > 1)} each ({size.alphabet}, {size.units} units)"
    if size.alphabet == "UCS-2":
        words += "; a character that SMS have no cheap sign for makes it dear: an emoji, perhaps"
    if spelled.changed:
        signs = ", ".join(f"{was} as {now}" if now else f"{was} left out" for was, now in spelled.changed)
        words += f"; writes {signs}"
        words += f", which saves {spelled.saved} each" if spelled.saved else ""
    return f"{words}, about {one.recipients} people"


def _sms_summary(estimate: SmsEstimate) -> dict[str, Any]:
    return {
        "texts": [
            {
                "language": one.language,
                "text": one.text,
                "recipients": one.recipients,
                "alphabet": one.size.alphabet,
                "segments": one.size.segments,
                "segments_as_written": one.spelled.before.segments,
                "changed": dict(one.spelled.changed),
            }
            for one in estimate.texts
        ],
        "segments": estimate.segments,
        "cost": None if estimate.cost is None else str(estimate.cost),
        "currency": estimate.tariff.currency if estimate.tariff else None,
    }


def _summary(draft: Draft, notice: Notice | None, due_at: datetime, held: list[str]) -> dict[str, Any]:
    content = draft.content
    return {
        "notice": notice.id if notice else None,
        "authority": draft.authority.code,
        "matter": content.matter,
        "revision": content.revision,
        "version": draft.version,
        "lane": content.lane,
        "channels": dict(draft.reach),
        "sms": _sms_summary(draft.sms) if draft.sms else None,
        "audience": draft.audience,
        "due_at": due_at,
        "held": held,
        "event": notice.event_id if notice else None,
    }


async def _list(state: NoticeState | None, as_json: bool) -> None:
    async with database() as connection:
        found = await notices.listing(connection, state=state.value if state else None)
        zones = {one.authority: await _zone(connection, one.authority) for one in found}
    if as_json:
        return print_json([_with_event(one) for one in found])
    if not found:
        return typer.echo("No notice" + (f" is {state}." if state else "."))
    print_table(
        ("id", "state", "goes out", "authority", "lane", "matter", "headline"),
        [
            (
                one.id,
                one.state,
                with_zone(one.due_at, zones[one.authority]),
                one.authority,
                "urgent" if one.urgent else "",
                one.content["matter"],
                one.content["headline"]["fr"],
            )
            for one in found
        ],
    )
    if asking := [str(one.id) for one in found if one.state == NoticeState.ASKS]:
        typer.echo(
            f"Found too late, and asking: {', '.join(asking)}. "
            "Send anyway: ./tambour announce --send ID; or not: --cancel ID."
        )


async def _zone(connection: Connection, code: str) -> str:
    authority: Authority | None = await authorities.find(connection, code)
    assert authority is not None  # a notice refers to it
    return authority.time_zone


async def _cancel(notice: int, as_json: bool) -> None:
    async with database() as connection:
        done = await notices.cancel(connection, notice)
        found = await _known(connection, notice)
    if not done:
        if found.state == NoticeState.CANCELLED:
            raise Fault(f"Notice {notice} was cancelled before.")
        mend = (
            "To withdraw what people got, announce it again with the same matter, a higher revision, action = cancel."
        )
        raise Fault(f"Notice {notice} has gone out already.", mend)
    if as_json:
        return print_json(_with_event(found))
    typer.echo(f"Notice {notice} is cancelled: it will not go out.")


async def _send(notice: int, as_json: bool) -> None:
    async with database() as connection:
        now = await condition.clock(connection)
        found = await _known(connection, notice)
        expires = datetime.fromisoformat(found.content["expires"])
        if found.state == NoticeState.ASKS and expires <= now:
            mend = f"Cancel it (./tambour announce --cancel {notice}) and announce it anew with a later end."
            raise Fault(f"Notice {notice} is over since {expires.isoformat()}: nobody would be told.", mend)
        done = await notices.send_anyway(connection, notice)
        found = await _known(connection, notice)
    if not done:
        raise Fault(f"Notice {notice} does not ask: it is {found.state}.", "./tambour announce --list shows them all.")
    if as_json:
        return print_json(_with_event(found))
    typer.echo(f"Notice {notice} goes out now. Track it with: ./tambour track {found.event_id}")


def _with_event(notice: Notice) -> dict[str, Any]:
    """A notice as JSON, with the id of its event."""
    return {**asdict(notice), "event": notice.event_id}


async def _known(connection: Connection, notice: int) -> Notice:
    found = await notices.get(connection, notice)
    if found is None:
        raise Fault(f"There is no notice {notice}.", "./tambour announce --list shows them all.")
    return found
