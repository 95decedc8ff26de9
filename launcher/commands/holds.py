"""``hold`` and ``release``: nothing new is handed over for the hub, an authority, a channel or an announcement."""

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from launcher.faults import Fault
from launcher.reach import database
from launcher.terminal import print_json, print_table, printable
from publishers.registry import CHANNELS
from store import authorities, condition, holds, tracking
from store.database import Connection
from store.holds import Hold

HOLD_EPILOG = (
    '[bold]Examples[/bold]: ./tambour hold hub --reason "provider maintenance" · ./tambour hold channel sms --reason '
    '"wrong sender" · ./tambour hold announcement "Chantier 2026-114" --reason "wrong street" · ./tambour hold --list. '
    "Exit codes: 0 held (now or already), 1 could not, 2 not understood."
)
RELEASE_EPILOG = (
    "[bold]Examples[/bold]: ./tambour release hub · ./tambour release channel sms. "
    "Exit codes: 0 released, 1 there is no such hold, or could not, 2 not understood."
)


class Scope(StrEnum):
    """What a hold is about."""

    HUB = "hub"
    AUTHORITY = "authority"
    CHANNEL = "channel"
    ANNOUNCEMENT = "announcement"


Key = Annotated[
    str,
    typer.Argument(metavar="KEY", help="Code of the authority, name of the channel, number or matter; none for hub."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=HOLD_EPILOG)(hold)
    app.command(epilog=RELEASE_EPILOG)(release)


def hold(
    scope: Annotated[
        Scope | None, typer.Argument(metavar="SCOPE", help="hub, authority, channel, announcement")
    ] = None,
    key: Key = "",
    reason: Annotated[str, typer.Option(help="Why: others read it.")] = "",
    list_: Annotated[bool, typer.Option("--list", help="List the holds that stand.")] = False,
    as_json: Json = False,
) -> None:
    """Stop handing messages over, until released. Nothing is lost: events are taken in and deliveries wait.

    What is being sent at this moment (at most a hundred messages a batch) is finished.
    What expires while it waits is not sent.
    """
    if list_:
        if scope is not None:
            raise typer.BadParameter("--list stands alone.")
        return asyncio.run(_list(as_json))
    if scope is None:
        raise typer.BadParameter("Say what to hold: hub, authority CODE, channel NAME or announcement ID; or --list.")
    if not reason.strip():
        raise typer.BadParameter("Say why: --reason TEXT.", param_hint="--reason")
    _needs_key(scope, key)
    asyncio.run(_hold(scope, key, reason.strip(), as_json))


def release(
    scope: Annotated[Scope, typer.Argument(metavar="SCOPE", help="hub, authority, channel, announcement")],
    key: Key = "",
    as_json: Json = False,
) -> None:
    """End a hold: what waited goes on by itself."""
    _needs_key(scope, key)
    asyncio.run(_release(scope, key, as_json))


def _needs_key(scope: Scope, key: str) -> None:
    if scope is Scope.HUB and key:
        raise typer.BadParameter("The hub is held as a whole: no KEY goes with it.")
    if scope is not Scope.HUB and not key:
        raise typer.BadParameter(f"Say which {scope}.")


async def _list(as_json: bool) -> None:
    async with database() as connection:
        found = await holds.standing(connection)
    if as_json:
        return print_json(found)
    if not found:
        return typer.echo("Nothing is held.")
    print_table(
        ("scope", "key", "since", "reason"),
        [(one.scope, one.key, f"{one.since:%Y-%m-%d %H:%M:%S} UTC", one.reason) for one in found],
    )


async def _hold(scope: Scope, key: str, reason: str, as_json: bool) -> None:
    async with database() as connection:
        known = await _known(connection, scope, key)
        placed = await holds.place(connection, scope.value, known, reason)
        stands = await _standing(connection, scope, known)
    if as_json:
        return print_json({"placed": placed, "hold": stands})
    name = _name(scope, known)
    if not placed and stands is not None:
        return typer.echo(
            printable(f"{name} is held already, since {stands.since:%Y-%m-%d %H:%M} UTC: {stands.reason}")
        )
    typer.echo(f"{name} is held. End it: ./tambour release {scope} {known}".rstrip())


async def _release(scope: Scope, key: str, as_json: bool) -> None:
    async with database() as connection:
        # the key as it stands first: what it named may be gone, the hold is not
        released = await holds.release(connection, scope.value, key)
        if not released:
            known = await _known(connection, scope, key)
            released = known != key and await holds.release(connection, scope.value, known)
    if not released:
        raise Fault(f"{_name(scope, key)} is not held.", "./tambour hold --list shows what is.")
    if as_json:
        return print_json({"released": True, "scope": scope, "key": key})
    typer.echo(f"{_name(scope, key)} is released: what waited goes on.")


async def _standing(connection: Connection, scope: Scope, key: str) -> Hold | None:
    found = await holds.standing(connection)
    return next((one for one in found if (one.scope, one.key) == (scope.value, key)), None)


def _name(scope: Scope, key: str) -> str:
    return "The hub" if scope is Scope.HUB else printable(f"{scope.capitalize()} {key}")


async def _known(connection: Connection, scope: Scope, key: str) -> str:
    """The key as holds have it: of an announcement its number, also when its matter was given. Raises Fault."""
    match scope:
        case Scope.AUTHORITY if await authorities.find(connection, key) is None:
            known = ", ".join(one.code for one in await condition.authorities(connection)) or "none yet"
            raise Fault(f"There is no authority {key!r} here.", f"There are: {known}.")
        case Scope.CHANNEL if key not in CHANNELS:
            raise Fault(f"There is no channel {key!r}.", f"There are: {', '.join(CHANNELS)}.")
        case Scope.ANNOUNCEMENT:
            found = [one for one in await tracking.find(connection, key) if one.kind == "announcement"]
            # its number means one announcement, even when that number is the matter of another
            exact = [one for one in found if one.id == key] or found
            if not exact:
                raise Fault(f"There is no announcement {key!r}.", "Give its number or its matter (./tambour track).")
            if len(exact) > 1:
                numbers = ", ".join(one.id for one in exact)
                raise Fault(f"{len(exact)} announcements have the matter {key!r}.", f"Give the number: {numbers}.")
            return exact[0].id
    return key
