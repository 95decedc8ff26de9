"""``withdraw``, ``decide`` and ``deliveries``: what officers do about what is out, and about what is unclear."""

import asyncio
import csv
import sys
from typing import Annotated

import typer

from hub.decisions import Decision, Undecidable
from hub.decisions import decide as take
from hub.withdrawal import NotWithdrawable
from hub.withdrawal import withdraw as withdraw_announcement
from launcher.faults import Fault
from launcher.reach import database
from launcher.terminal import print_json, print_table, printable
from publishers.registry import CHANNELS
from schemas.deliveries import DeliveryId
from store import listings, tracking
from store.database import Connection
from store.listings import DeliveryRow

WITHDRAW_EPILOG = (
    '[bold]Example[/bold]: ./tambour withdraw announcement:12 --reason "wrong street". '
    "Exit codes: 0 withdrawn, 1 there is no such announcement, or could not, 2 not understood."
)
DECIDE_EPILOG = (
    '[bold]Example[/bold]: ./tambour decide 1f-2a again --reason "the page shows no post". '
    "Exit codes: 0 decided, 1 nothing to decide, or could not, 2 not understood."
)
LIST_EPILOG = (
    "[bold]Examples[/bold]: ./tambour deliveries --state unknown · ./tambour deliveries --announcement 12 --csv. "
    "Exit codes: 0 listed, 1 could not, 2 not understood."
)
_COLUMNS = ("delivery", "announcement", "version", "channel", "state", "attempt", "waits for", "until", "why")
_PAGE = 500

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=WITHDRAW_EPILOG)(withdraw)
    app.command(epilog=DECIDE_EPILOG)(decide)
    app.command(epilog=LIST_EPILOG)(deliveries)


def withdraw(
    announcement: Annotated[str, typer.Argument(metavar="ANNOUNCEMENT", help="Its number or its matter.")],
    reason: Annotated[str, typer.Option(help="Why: kept with it, not published.")],
    silent: Annotated[
        bool, typer.Option("--silent", help="Take posts back, and send nobody a second mail or SMS.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Withdraw an announcement that should not have been made: nothing more of it goes out.

    Posts are deleted where the network can, edited or answered where it can't. Whoever had the mail or the SMS
    gets another one that says it is cancelled, unless --silent.
    """

    async def run() -> None:
        async with database() as connection, connection.transaction():
            number = await _number(connection, announcement)
            try:
                done = await withdraw_announcement(connection, number, reason=reason, silent=silent)
            except NotWithdrawable as error:
                raise Fault(f"Nothing was withdrawn: {error}.", f"./tambour track announcement:{number}") from error
        if as_json:
            print_json({"announcement": number, "version": done.version, "channels": done.channels})
        else:
            typer.echo(f"Withdrawn; told on {', '.join(done.channels) or 'no channel'}.")
            typer.echo(f"Follow it: ./tambour track announcement:{number} --watch")

    asyncio.run(run())


def decide(
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="As lists and pages show it: 1f-2a.")],
    decision: Annotated[Decision, typer.Argument(help="again, give-up, or arrived.")],
    reason: Annotated[str, typer.Option(help="Why: others read it in the delivery's story.")],
    as_json: Json = False,
) -> None:
    """Settle a delivery whose outcome nobody knows, or try one again that failed.

    Sending again is a new attempt: if the first one did arrive after all, the reader has it twice.
    """
    try:
        known = DeliveryId.parse(delivery)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="DELIVERY") from error

    async def run() -> None:
        async with database() as connection, connection.transaction():
            try:
                state = await take(connection, known, decision, reason)
            except Undecidable as error:
                raise Fault(f"Nothing was decided: {error}.", f"./tambour track delivery:{delivery}") from error
        if as_json:
            print_json({"delivery": delivery, "state": state.word})
        else:
            typer.echo(f"{delivery} is {state.word} now.")

    asyncio.run(run())


def deliveries(
    state: Annotated[str | None, typer.Option(help="unknown, failed, suppressed, sent, … or unaccounted.")] = None,
    channel: Annotated[str | None, typer.Option(help="Only those of a channel.")] = None,
    announcement: Annotated[str | None, typer.Option(help="Its number or its matter.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000)] = 100,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, without addresses.")] = False,
    as_json: Json = False,
) -> None:
    """List deliveries, newest first, with what they wait for. Addresses are not shown: pages and exports have them."""
    if channel is not None and channel not in CHANNELS:
        raise Fault(f"There is no channel {channel!r}.", f"Use one of: {', '.join(CHANNELS)}.")
    rows = asyncio.run(_rows(state, channel, announcement, limit))
    cells = [_cells(row) for row in rows]
    if as_json:
        print_json([dict(zip(_COLUMNS, line, strict=True)) for line in cells])
    elif as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(_COLUMNS)
        writer.writerows(["" if cell is None else printable(cell) for cell in line] for line in cells)
    else:
        print_table(_COLUMNS, cells)
        if len(rows) == limit:
            typer.echo(f"The {limit} newest; --limit shows more.")


async def _rows(state: str | None, channel: str | None, announcement: str | None, limit: int) -> list[DeliveryRow]:
    async with database() as connection:
        number = None if announcement is None else await _number(connection, announcement)
        found: list[DeliveryRow] = []
        while len(found) < limit:
            before = DeliveryId(found[-1].order_id, found[-1].recipient_id) if found else None
            size = min(_PAGE, limit - len(found))
            try:
                page = await listings.deliveries(
                    connection, announcement_id=number, channel=channel, state=state, before=before, limit=size
                )
            except ValueError as error:
                raise Fault(f"{error}.", "States: queued, retrying, unknown, sent, delivered, failed, …") from error
            found += page
            if len(page) < size:
                break
        return found


def _cells(row: DeliveryRow) -> tuple[object, ...]:
    until = row.due_at.isoformat(timespec="seconds") if row.due_at else None
    return (
        row.public,
        row.announcement_id,
        row.version,
        row.channel,
        row.state,
        row.attempt,
        row.waits,
        until,
        row.reason or row.code,
    )


async def _number(connection: Connection, name: str) -> int:
    """The announcement of that number ("12", "announcement:12") or matter. Raises Fault unless there is just one."""
    digits = name.removeprefix("announcement:")
    found = [one for one in await tracking.find(connection, name) if one.kind == "announcement"]
    if digits.isascii() and digits.isdigit() and int(digits) < 2**63:
        if others := [one for one in found if one.id != digits and digits == name]:
            mend = f"Say which: announcement:{digits}, or announcement:{others[0].id}."
            raise Fault(f"{name} is the number of an announcement, and the matter of another.", mend)
        return int(digits)
    if len(found) != 1:
        raise Fault(
            f"{name!r} names {len(found) or 'no'} announcement{'s' if len(found) > 1 else ''}.",
            "Give its number: ./tambour track finds it.",
        )
    return int(found[0].id)
