"""``channels``: which there are, whether their settings are right, and a test message on one of them."""

import asyncio
from typing import Annotated

import typer

from hub import trial
from hub.composing import Composer
from hub.rendering import Renderer
from hub.settings import Settings
from hub.trial import Trial
from launcher.environment import settings_for_commands
from launcher.faults import Fault
from launcher.logs import silent
from launcher.reach import database
from launcher.terminal import print_json, print_table, printable
from publishers.base import Checks, Finding, Permanent, PublishError, Receipt, Unknown
from publishers.registry import CHANNELS, open_publisher
from store import authorities

TEST_EPILOG = (
    "[bold]Examples[/bold]: ./tambour channels test email --to mairie@valmerande.example --authority 96001 · "
    "./tambour channels test mastodon --to valmerande --authority 96001 --take-back. "
    "Exit codes: 0 the provider took it, 1 it did not, or could not, 2 not understood."
)
CHECK_EPILOG = (
    "[bold]Example[/bold]: ./tambour channels check facebook. Exit codes: 0 all is well, 1 something is to be mended."
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="The channels: which there are, whether they work, a test message.")
    group.command("list")(list_)
    group.command("check", epilog=CHECK_EPILOG)(check)
    group.command("test", epilog=TEST_EPILOG)(test)
    app.add_typer(group, name="channels")


def list_(as_json: Json = False) -> None:
    """List every channel, and which are set up here. docs/channels.md says what each needs."""
    known = settings_for_commands().channels
    rows = [
        {
            "channel": name,
            "family": one.family,
            "to": "our own accounts" if one.broadcast else "people",
            "set up": name in known,
        }
        for name, one in CHANNELS.items()
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(list(rows[0]), [["yes" if cell is True else cell or "no" for cell in row.values()] for row in rows])


def check(
    channel: Annotated[str | None, typer.Argument(metavar="CHANNEL", help="One channel; without it, all.")] = None,
    as_json: Json = False,
) -> None:
    """Prove the settings of channels by calls that publish nothing, and say what to mend."""
    settings = settings_for_commands()
    names = list(settings.channels) if channel is None else [_set_up(settings, channel)]
    with silent():
        found = asyncio.run(_checked(settings, names))
    if as_json:
        print_json([{"channel": name, **_finding(one)} for name, one in found])
    else:
        for name, one in found:
            typer.echo(printable(f"{'✓' if one.ok else '✗'} {name} {one.name}: {one.says}"))
            if one.mend:
                typer.echo(printable(f"    {one.mend}"))
    raise typer.Exit(0 if all(one.ok for _, one in found) else 1)


def test(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL")],
    to: Annotated[str, typer.Option(metavar="ADDRESS", help="Mail address, number (E.164), or account of ours.")],
    authority: Annotated[str, typer.Option(metavar="CODE", help="Who speaks.")],
    language: Annotated[str, typer.Option(help="fr or en.")] = "fr",
    take_back: Annotated[bool, typer.Option("--take-back", help="Delete the post at once, where that can be.")] = False,
    as_json: Json = False,
) -> None:
    """Send one real test message, to one address or account, and say what the provider answered.

    It says that it is a test. It is not an announcement: it is counted nowhere.
    """
    settings = settings_for_commands()
    _set_up(settings, channel)
    with silent():
        done = asyncio.run(_tested(settings, channel, to, authority, language, take_back))
    outcome = done.outcome
    taken = isinstance(outcome, Receipt)
    if as_json:
        print_json({"key": done.key, "taken": taken, "taken_back": done.taken_back, **_answer(outcome)})
    else:
        typer.echo(printable(_words(done)))
    raise typer.Exit(0 if taken and done.taken_back is not False else 1)


def _set_up(settings: Settings, channel: str) -> str:
    if channel not in CHANNELS:
        raise Fault(f"There is no channel {channel!r}.", f"Use one of: {', '.join(CHANNELS)}.")
    if channel not in settings.channels:
        raise Fault(f"The channel {channel} is not set up here.", f"docs/channels.md says what it needs: {channel}.")
    return channel


async def _checked(settings: Settings, names: list[str]) -> list[tuple[str, Finding]]:
    found = []
    for name in names:
        publisher = open_publisher(name, settings.channels[name])
        try:
            if isinstance(publisher, Checks):
                found += [(name, one) for one in await publisher.check()]
        finally:
            await publisher.aclose()
    return found


async def _tested(settings: Settings, channel: str, to: str, code: str, language: str, take_back: bool) -> Trial:
    async with database(settings) as connection:
        authority = await authorities.find(connection, code)
    if authority is None:
        raise Fault(f"There is no authority {code!r}.", "Create it with ./tambour authority import FILE.")
    return await trial.send(
        channel,
        settings.channels[channel],
        authority=authority,
        address=to,
        language=language,
        composer=Composer(Renderer(), settings.links),
        take_back=take_back,
    )


def _finding(one: Finding) -> dict[str, object]:
    return {"name": one.name, "ok": one.ok, "says": one.says, "mend": one.mend}


def _answer(outcome: Receipt | PublishError) -> dict[str, str | None]:
    if isinstance(outcome, Receipt):
        return {"reference": outcome.reference, "url": outcome.url, "code": outcome.code}
    return {"error": type(outcome).__name__.lower(), "reason": outcome.reason, "code": outcome.code}


def _words(done: Trial) -> str:
    outcome = done.outcome
    if isinstance(outcome, Receipt):
        where = f": {outcome.url}" if outcome.url else f" (its id there: {outcome.reference or 'none told'})"
        after = {None: "", True: " It has been taken back.", False: " It could not be taken back: delete it there."}
        return f"The provider took it{where}.{after[done.taken_back]}"
    why = f"{outcome.reason}{f' ({outcome.code})' if outcome.code else ''}"
    if isinstance(outcome, Unknown):
        return f"Nobody knows whether the provider took it: {why}. Look there before you try again."
    if isinstance(outcome, Permanent):
        return f"The provider refuses it: {why}."
    return f"The provider did not take it now: {why}."
