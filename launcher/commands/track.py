"""``track``: what became of an event, an announcement or one delivery."""

import asyncio
import re
import time
from contextlib import nullcontext
from typing import Annotated

import typer
from rich.live import Live

from launcher.reach import database
from launcher.terminal import console, print_json, print_table, printable
from launcher.tree import settled, tree_of
from store import notices, tracking
from store.database import Connection
from store.tracking import Found, Story

NOTHING = 3
"""Exit code: nothing by that name."""
_LOOK_EVERY_S = 0.5
_APPEARS_WITHIN_S = 15.0
_NAMED = re.compile(r"(event|announcement|delivery):(.+)")
_NOTICE = re.compile(r"(?:.*/)?notice-(\d{1,18})-.*|notice:(\d{1,18})")

EPILOG = (
    "[bold]Examples[/bold]: ./tambour track works-200-1 · ./tambour track /valmerande/voirie/works-200-1 · "
    './tambour track "Chantier 2026-200" · ./tambour track event:12 --json · ./tambour track 4f-1a2b --watch. '
    "Exit codes: 0 shown, 1 could not, or several things have that name, 2 not understood, 3 nothing by that name."
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(track)


def track(
    name: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="An event (id, source/id, event:12), announcement (matter, announcement:3), or delivery."
        ),
    ],
    watch: Annotated[bool, typer.Option("--watch", help="Look again until all is settled.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the story as JSON.")] = False,
) -> None:
    """Tell the whole story of an event, an announcement or one delivery.

    Event, versions of the announcement, orders with their tallies, and what still waits, for what and until when.
    Of a delivery also its facts and receipts.

    With --watch, an event that was only just emitted is waited for. Ctrl-C ends the watching, nothing else.
    """
    raise typer.Exit(asyncio.run(_track(name.strip(), watch=watch, as_json=as_json)))


async def _track(name: str, *, watch: bool, as_json: bool) -> int:
    async with database() as connection:
        found = await _find(connection, name)
        deadline = time.monotonic() + _APPEARS_WITHIN_S
        while watch and not found and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_EVERY_S)
            found = await _find(connection, name)
        if not found:
            typer.echo(printable(await _nothing(connection, name)), err=True)
            return NOTHING
        if len(found) > 1:
            return _several(name, found, as_json)
        story = await _story(connection, found[0])
        if watch and story is not None:
            story = await _watch(connection, found[0], story, draw=not as_json)
        if story is None:  # erased between two looks
            typer.echo(printable(f"{name} is gone."), err=True)
            return NOTHING
    if as_json:
        print_json(story)
    elif not watch:
        console().print(tree_of(story))
    return 0


async def _find(connection: Connection, name: str) -> list[Found]:
    if named := _NAMED.fullmatch(name):
        kind, rest = named.groups()
        if kind == "delivery":
            return [one for one in await tracking.find(connection, rest) if one.kind == kind]
        if rest.isascii() and rest.isdigit() and int(rest) < 2**63:
            one = Found(kind, rest, name)
            return [one] if await _story(connection, one) is not None else []
    found = await tracking.find(connection, name)
    # the event of a matter and its announcement are one story: told once
    return list(dict.fromkeys(found))


async def _story(connection: Connection, found: Found) -> Story | None:
    match found.kind:
        case "event":
            return await tracking.story(connection, event_id=int(found.id))
        case "announcement":
            return await tracking.story(connection, announcement_id=int(found.id))
    return await tracking.story(connection, delivery=found.id)


def _several(name: str, found: list[Found], as_json: bool) -> int:
    """List what a name may mean; which one is for the reader to say."""
    if as_json:
        print_json({"matches": found})
    else:
        typer.echo(printable(f"{name} names {len(found)} things. Track one of them:"))
        print_table(("track", "what"), [(f"{one.kind}:{one.id}", one.label) for one in found])
    return 1


async def _nothing(connection: Connection, name: str) -> str:
    if found := _NOTICE.fullmatch(name):
        notice = await notices.get(connection, int(found[1] or found[2]))
        if notice is not None and notice.state != "emitted":
            return f"Notice {notice.id} has not gone out: it is {notice.state}, due {notice.due_at.isoformat()}."
        if notice is not None and found[2]:
            return f"Notice {notice.id} has gone out: ./tambour track {notice.event_id}"
    return (
        f"Nothing here is called {name}. An event that was only just emitted may be a moment away (--watch waits); "
        "one that was not understood is in ./tambour deadletters list."
    )


async def _watch(connection: Connection, found: Found, story: Story, *, draw: bool) -> Story | None:
    """Show the story as it changes until it is settled; returns it as it then is."""
    out = console()
    latest: Story | None = story
    shown: Story | None = None
    with Live(console=out, auto_refresh=False) if draw and out.is_terminal else nullcontext() as live:
        while latest is not None:
            if draw and latest != shown:
                if isinstance(live, Live):
                    live.update(tree_of(latest), refresh=True)
                else:
                    out.print(tree_of(latest))
                shown = latest
            if settled(latest):
                break
            await asyncio.sleep(_LOOK_EVERY_S)
            latest = await _story(connection, found)
    return latest
