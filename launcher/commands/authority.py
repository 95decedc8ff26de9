"""``authority`` and ``subscribers``: whom the hub speaks for, and who listens."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from hub.rules import RulesInvalid
from hub.subscriber_files import SubscribersInvalid, parse_subscribers
from launcher.commands import optouts
from launcher.faults import Fault
from launcher.reach import database
from launcher.seed import save_authorities
from publishers.registry import CHANNELS
from schemas.authority_files import AuthorityFile, AuthorityFileInvalid, parse_authorities
from store import authorities, caps, recipients, suppressions
from store.authorities import Authority
from store.database import Connection
from store.recipients import Subscriber
from store.suppressions import Kind

FileArgument = Annotated[Path, typer.Argument(metavar="FILE")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="The authorities that the hub speaks for.")
    group.command("import")(import_)
    group.command("open")(open_)
    group.command("cap")(cap)
    app.add_typer(group, name="authority")
    people = typer.Typer(no_args_is_help=True, help="The addresses that subscribed.")
    people.command("import")(import_subscribers)
    app.add_typer(people, name="subscribers")


def import_(file: FileArgument) -> None:
    """Create the authorities of a TOML file, or bring them up to date, with their areas, themes and rules.

    Start from demo/authority.toml. A new authority writes to its allow-list only until `authority open`. All of
    the file or nothing.
    """
    described = _described(file)
    asyncio.run(_import(file, described))
    for entry in described.authority:
        typer.echo(f"{entry.code} {entry.name}: {len(entry.areas)} areas" + (", rules" if entry.rules else ""))


def open_(code: Annotated[str, typer.Argument(metavar="CODE")]) -> None:
    """Let an authority write to everybody who subscribed, not only to its allow-list."""

    async def run() -> None:
        async with database() as connection:
            authority = await _authority(connection, code)
            await authorities.open_to_all(connection, authority.id)

    asyncio.run(run())
    typer.echo(f"{code} now writes to everybody who subscribed.")


def cap(
    code: Annotated[str, typer.Argument(metavar="CODE")],
    channel: Annotated[str, typer.Argument(metavar="CHANNEL")],
    messages: Annotated[int, typer.Argument(metavar="N", min=0, help="Messages a day; 0 stops the channel.")],
) -> None:
    """Limit what an authority sends on a channel in a day. What is over the cap waits for the next day."""
    if channel not in CHANNELS:
        raise Fault(f"There is no channel {channel!r}.", f"Use one of: {', '.join(CHANNELS)}.")

    async def run() -> None:
        async with database() as connection:
            await caps.limit(connection, (await _authority(connection, code)).id, channel, messages)

    asyncio.run(run())
    typer.echo(f"{code} sends at most {messages} messages a day on {channel}.")


def import_subscribers(
    file: FileArgument,
    authority: Annotated[str, typer.Option(metavar="CODE", help="Whose subscribers they are.")],
    region: Annotated[str, typer.Option(help="Country that national telephone numbers are of.")] = "FR",
) -> None:
    """Add subscribers from a CSV file: channel;address;language;themes;areas. All of the file or nothing.

    Known addresses get the subscriptions of the file instead of theirs. Who has left stays out,
    and so does an address that came back: an import proves nothing new of it.
    """
    count, silent = asyncio.run(_import_subscribers(file, _read(file), authority, region))
    typer.echo(f"{count} addresses subscribe to {authority}.")
    if silent:
        told = ", ".join(f"{silent[kind]} {words}" for kind, words in optouts.WORDS.items() if silent[kind])
        typer.echo(f"{silent.total()} of them stay unwritten to: {told}. See ./tambour optouts list.")


def _described(file: Path) -> AuthorityFile:
    try:
        described = parse_authorities(_read(file))
    except AuthorityFileInvalid as error:
        raise Fault(
            "\n".join(f"{file}: {fault}" for fault in error.faults),
            "Mend them there; compare with demo/authority.toml.",
        ) from error
    for entry in described.authority:
        try:
            ZoneInfo(entry.time_zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise Fault(f"{file}: {entry.time_zone!r} is not a time zone.", 'Write it like "Europe/Paris".') from error
    return described


async def _import(file: Path, described: AuthorityFile) -> None:
    async with database() as connection, connection.transaction():
        try:
            await save_authorities(connection, described, file.parent)
        except RulesInvalid as error:
            raise Fault("\n".join(map(str, error.faults)), "Mend them there; nothing was imported.") from error
        except (OSError, UnicodeDecodeError) as error:
            raise Fault(
                f"The rules can't be read: {error}.", "They lie beside the file; nothing was imported."
            ) from error


async def _import_subscribers(file: Path, text: str, code: str, region: str) -> tuple[int, Counter[Kind]]:
    async with database() as connection, connection.transaction():
        authority = await _authority(connection, code)
        try:
            lines = parse_subscribers(
                text,
                file.name,
                themes=authority.themes,
                areas=authority.areas,
                languages=authority.languages,
                region=region,
            )
        except SubscribersInvalid as error:
            raise Fault("\n".join(map(str, error.faults)), "Mend them there; nothing was imported.") from error
        saved = await recipients.save(
            connection,
            authority.id,
            [Subscriber(one.channel, one.address, one.language, one.places, one.broadcast) for one in lines],
        )
        return saved, await suppressions.among(connection, authority.id, ((one.channel, one.address) for one in lines))


async def _authority(connection: Connection, code: str) -> Authority:
    found = await authorities.find(connection, code)
    if found is None:
        raise Fault(f"There is no authority {code!r}.", "Create it with ./tambour authority import FILE.")
    return found


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Fault(f"{file} can't be read: {error}.", "Check its name, and that it is UTF-8 text.") from error
