"""The command line: one function a command, each in its own words; the work is done elsewhere."""

import typer

from launcher.commands import (
    announce,
    authority,
    backup,
    bench,
    channels,
    chaos,
    deadletters,
    decisions,
    demo,
    doctor,
    emit,
    holds,
    optouts,
    pictures,
    processes,
    purge,
    rules,
    track,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Tambour: a municipal event becomes messages on every channel, each tracked to its end.",
    epilog="Start with [bold]./tambour demo[/bold]. Documentation: docs/.",
)

for module in (
    demo,
    processes,
    authority,
    channels,
    chaos,
    bench,
    emit,
    announce,
    pictures,
    track,
    decisions,
    rules,
    optouts,
    deadletters,
    holds,
    doctor,
    backup,
    purge,
):
    module.register(app)
