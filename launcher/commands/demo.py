"""``demo``: see the whole at work in a minute, on this machine alone."""

import asyncio
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    once: Annotated[bool, typer.Option("--once", help="End when everything is settled.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one JSON object, on the last line.")
    ] = False,
) -> None:
    """Show Tambour at work: a fictional commune, 2,000 subscribers, a week of events, local providers.

    Starts Kafka, PostgreSQL and the hub in a folder of its own, which each run empties first. Nothing leaves
    this machine. Without --once it stays up until Ctrl-C.
    """
    from launcher.demo import run

    raise typer.Exit(asyncio.run(run(once=once, as_json=as_json)))
