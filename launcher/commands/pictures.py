"""``pictures``: the library of an authority, from which notices take their pictures and mails their logo."""

import asyncio
import re
from pathlib import Path
from typing import Annotated

import typer

from hub.pictures import BadPicture, taken_in
from launcher.faults import Fault
from launcher.reach import database
from launcher.terminal import print_json, print_table
from store import authorities, pictures
from store.database import Connection
from store.pictures import Entry

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Code = Annotated[str, typer.Option("--authority", metavar="CODE", help="Whose picture it is.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="What notices call it: letters, digits, dots, dashes.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Pictures for notices and mails: described, without metadata.")
    group.command("add")(add)
    group.command("list")(list_)
    group.command("remove")(remove)
    app.add_typer(group, name="pictures")


def add(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JPEG, PNG, WebP or GIF, up to 25 MB.")],
    authority: Code,
    alt_fr: Annotated[str, typer.Option(help="What it shows, in French: read to whoever doesn't see it.")],
    rights: Annotated[str, typer.Option(help="Who made it, and what allows us to publish it.")],
    alt_en: Annotated[str | None, typer.Option(help="The same in English.")] = None,
) -> None:
    """Put a picture into the library, or replace the one of its name.

    Only its pixels are kept: the place, the date and the camera that files carry are not. Each network gets it in
    the size it takes, with the alternative text.
    """
    if not _NAME.fullmatch(name):
        raise typer.BadParameter("letters, digits, dots and dashes, 64 at most", param_hint="NAME")
    for option, value in (("--alt-fr", alt_fr), ("--rights", rights)):
        if not value.strip():
            raise typer.BadParameter("is empty: it is required of every picture", param_hint=option)
    try:
        taken = taken_in(file.read_bytes())
    except OSError as error:
        raise Fault(f"{file} can't be read: {error.strerror}.", "Check its name.") from error
    except BadPicture as error:
        raise Fault(f"{file}: {error}.", "Nothing was added.") from error
    alt = {"fr": alt_fr.strip()} | ({"en": alt_en.strip()} if alt_en and alt_en.strip() else {})
    entry = Entry(name, taken.content, taken.media_type, taken.width, taken.height, alt, rights.strip())

    async def run() -> bool:
        async with database() as connection, connection.transaction():
            return await pictures.save(connection, await _authority(connection, authority), entry)

    word = "added" if asyncio.run(run()) else "replaced"
    typer.echo(f"{name} {word}: {taken.width} × {taken.height}, {len(taken.content):,} octets, without metadata.")


def list_(
    authority: Annotated[str | None, typer.Option(metavar="CODE", help="Only those of an authority.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the library."""

    async def run() -> list[pictures.Listed]:
        async with database() as connection:
            return await pictures.listed(connection, authority)

    found = asyncio.run(run())
    if as_json:
        print_json(found)
        return
    print_table(
        ("authority", "name", "size", "octets", "what it shows", "rights"),
        [
            (one.authority, one.name, f"{one.width} × {one.height}", one.octets, one.alt["fr"], one.rights)
            for one in found
        ],
    )


def remove(name: Name, authority: Code) -> None:
    """Take a picture out of the library. What is published stays as it is."""

    async def run() -> bool:
        async with database() as connection, connection.transaction():
            return await pictures.remove(connection, await _authority(connection, authority), name)

    if not asyncio.run(run()):
        raise Fault(f"{authority} has no picture {name!r}.", f"./tambour pictures list --authority {authority}")
    typer.echo(f"{name} removed.")


async def _authority(connection: Connection, code: str) -> int:
    found = await authorities.find(connection, code)
    if found is None:
        raise Fault(f"There is no authority {code!r}.", "Create it with ./tambour authority import FILE.")
    return found.id
