"""``optouts``: the addresses that are not written to, why, and the way back."""

import asyncio
import getpass
from typing import Annotated, get_args

import typer

from hub.subscriber_files import address_on
from launcher.faults import Fault
from launcher.reach import database
from launcher.terminal import print_json, print_table, printable
from publishers.registry import CHANNELS
from store import authorities, suppressions
from store.authorities import Authority
from store.database import Connection
from store.suppressions import Kind, Suppressed

LIST_EPILOG = (
    "[bold]Examples[/bold]: ./tambour optouts list · ./tambour optouts list --authority 96001 --kind dead · "
    "./tambour optouts list --json. Exit codes: 0 listed, 1 could not, 2 not understood."
)
RESTORE_EPILOG = (
    "[bold]Examples[/bold]: ./tambour optouts restore anne@courrier.example --authority 96001 · "
    './tambour optouts restore "06 39 98 12 34" --authority 96001 --reason "asked for it at the counter". '
    "Exit codes: 0 restored, 1 nothing stood in the way, or could not, 2 not understood."
)
ADD_EPILOG = (
    "[bold]Example[/bold]: ./tambour optouts add anne@courrier.example --authority 96001 --channel email --reason "
    '"asked by telephone". Exit codes: 0 added (now or already), 1 could not, 2 not understood.'
)
HISTORY_EPILOG = (
    "[bold]Example[/bold]: ./tambour optouts history anne@courrier.example --authority 96001. "
    "Exit codes: 0 shown, 1 could not, 2 not understood."
)
WORDS: dict[Kind, str] = {
    "left": "left",
    "complaint": "complained",
    "dead": "no such address",
    "refused": "took nothing for weeks",
}
"""Each kind of reason, in words."""

_OWNERS_WISH = ("left", "complaint")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Code = Annotated[str, typer.Option("--authority", metavar="CODE", help="Whose subscriber it is.")]
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="A mail address or a telephone number.")]
Channel = Annotated[str | None, typer.Option(metavar="CHANNEL", help="Only on this channel.")]
Region = Annotated[str, typer.Option(help="Country that national telephone numbers are of.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="The addresses that are not written to, and the way back.")
    group.command("list", epilog=LIST_EPILOG)(list_)
    group.command("restore", epilog=RESTORE_EPILOG)(restore)
    group.command("add", epilog=ADD_EPILOG)(add)
    group.command("history", epilog=HISTORY_EPILOG)(history)
    app.add_typer(group, name="optouts")


def list_(
    authority: Annotated[str | None, typer.Option(metavar="CODE", help="Only of this authority.")] = None,
    channel: Channel = None,
    kind: Annotated[str | None, typer.Option(help=f"Only of this kind: {', '.join(WORDS)}.")] = None,
    as_json: Json = False,
) -> None:
    """List the addresses that are not written to, with the reason, the newest first."""
    _known_channel(channel)
    if kind is not None and kind not in get_args(Kind):
        raise typer.BadParameter(f"There are: {', '.join(WORDS)}.", param_hint="--kind")

    async def run() -> list[Suppressed]:
        async with database() as connection:
            if authority is not None:
                await _authority(connection, authority)
            wanted = next((one for one in get_args(Kind) if one == kind), None)
            return await suppressions.listing(connection, authority=authority, channel=channel, kind=wanted)

    found = asyncio.run(run())
    if as_json:
        return print_json(found)
    if not found:
        return typer.echo("Everybody who subscribed is written to.")
    print_table(
        ("authority", "channel", "address", "of", "why", "since", "reason"),
        [
            (
                one.authority,
                one.channel,
                one.address,
                one.stream or "everything",
                WORDS[one.kind],
                f"{one.since:%Y-%m-%d %H:%M} UTC",
                one.reason,
            )
            for one in found
        ],
    )


def restore(
    address: Address,
    authority: Code,
    channel: Channel = None,
    reason: Annotated[str, typer.Option(help="Why: kept in the journal.")] = "",
    region: Region = "FR",
    as_json: Json = False,
) -> None:
    """Write to an address again. Who did it, when and why is kept in the journal.

    Whoever left or complained did so by their own wish: say how you know that they want to come back (--reason).
    """
    _known_channel(channel)

    async def run() -> list[Suppressed]:
        async with database() as connection:
            whose = await _authority(connection, authority)
            found = []
            written = address
            for written in _as_written(address, channel, region):
                if found := await suppressions.standing(connection, whose.id, written, channel):
                    break
            if not found:
                raise Fault(
                    "This address is not suppressed there.",
                    f"./tambour optouts list --authority {authority} shows who is.",
                )
            if any(one.kind in _OWNERS_WISH for one in found) and not reason.strip():
                raise Fault(
                    f"Its owner {WORDS[found[0].kind]} on {found[0].since:%Y-%m-%d}: {found[0].reason}.",
                    "If they asked to come back, say how you know: --reason TEXT. The link in any mail does it too.",
                )
            await suppressions.restore(connection, whose.id, written, channel, by=_who(), why=reason.strip())
        return found

    ended = asyncio.run(run())
    if as_json:
        return print_json({"restored": ended})
    for one in ended:
        typer.echo(
            printable(f"Written to again on {one.channel}. It was not, since {one.since:%Y-%m-%d}: {one.reason}")
        )


def add(
    address: Address,
    authority: Code,
    channel: Annotated[str, typer.Option(metavar="CHANNEL", help="On which channel.")],
    reason: Annotated[str, typer.Option(help="Why, and how they asked: others read it.")],
    region: Region = "FR",
    as_json: Json = False,
) -> None:
    """Write no more to an address, at its owner's wish: who asks by telephone or at the counter."""
    _known_channel(channel)
    if not reason.strip():
        raise typer.BadParameter("Say why, and how they asked.", param_hint="--reason")
    written = address_on(channel, address, region)
    if written is None:
        raise Fault(f"{address!r} is no address of the channel {channel}.", "Write it as the subscriber did.")

    async def run() -> bool:
        async with database() as connection:
            whose = await _authority(connection, authority)
            return await suppressions.add(connection, whose.id, channel, written, reason=reason.strip(), by=_who())

    new = asyncio.run(run())
    if as_json:
        return print_json({"added": new})
    typer.echo("Not written to any more." if new else "That was so already.")


def history(address: Address, authority: Code, region: Region = "FR", as_json: Json = False) -> None:
    """Show what was decided about an address: by whom, when and why."""

    async def run() -> list[suppressions.Entry]:
        async with database() as connection:
            whose = await _authority(connection, authority)
            for written in _as_written(address, None, region):
                if found := await suppressions.history(connection, whose.id, written):
                    return found
        return []

    found = asyncio.run(run())
    if as_json:
        return print_json(found)
    if not found:
        return typer.echo("Nothing was ever decided about this address.")
    print_table(
        ("when", "what", "channel", "why", "by", "reason"),
        [
            (
                f"{one.at:%Y-%m-%d %H:%M:%S} UTC",
                one.act,
                one.channel,
                WORDS[one.kind],
                one.by or "its owner",
                (one.why or "") if one.act == "restored" else one.reason,
            )
            for one in found
        ],
    )


def _as_written(address: str, channel: str | None, region: str) -> list[str]:
    """The address as channels write it, the most likely first; what no channel takes, as it stands."""
    channels = [channel] if channel is not None else [name for name, one in CHANNELS.items() if not one.broadcast]
    ways = [address_on(one, address, region) for one in channels]
    return list(dict.fromkeys([*filter(None, ways), address]))


def _known_channel(channel: str | None) -> None:
    if channel is not None and channel not in CHANNELS:
        raise Fault(f"There is no channel {channel!r}.", f"Use one of: {', '.join(CHANNELS)}.")


async def _authority(connection: Connection, code: str) -> Authority:
    found = await authorities.find(connection, code)
    if found is None:
        raise Fault(f"There is no authority {code!r}.", "Create it with ./tambour authority import FILE.")
    return found


def _who() -> str:
    """The account that runs the command: a name for the journal."""
    try:
        return f"{getpass.getuser()}, on the command line"
    except (KeyError, OSError):  # an account without a name, as in some containers
        return "the command line"
