"""``chaos``: kill a hub's processes while it works, and audit what it promised."""

import asyncio
import random
from enum import StrEnum
from typing import Annotated

import typer

EPILOG = (
    "[bold]Examples[/bold]: ./tambour chaos --events 300 --kills 5 --seed 1 --json · ./tambour chaos --away kafka. "
    "Exit codes: 0 every promise held, 1 one was broken, 2 not understood. What is promised: docs/guarantees.md."
)


class Server(StrEnum):
    """What can be away."""

    KAFKA = "kafka"
    POSTGRES = "postgres"
    PROVIDER = "provider"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(chaos)


def chaos(
    events: Annotated[int, typer.Option(min=1, max=100_000, help="Events emitted.")] = 2000,
    recipients: Annotated[int, typer.Option(min=3, max=900, help="Addresses that each event reaches.")] = 20,
    kills: Annotated[int, typer.Option(min=0, max=200, help="kill -9 of core and workers.")] = 8,
    seed: Annotated[int | None, typer.Option(help="Chooses what is hit and when; printed, to repeat a run.")] = None,
    away: Annotated[Server | None, typer.Option(help="Instead of kills: stop one server for a while.")] = None,
    channels: Annotated[str, typer.Option(metavar="NAMES", help="Comma-separated, or all.")] = "all",
    away_seconds: Annotated[float, typer.Option(min=1, max=600, help="With --away: how long.")] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object, last.")] = False,
) -> None:
    """Kill -9 a hub's processes at random while it works, and count at the providers and in the database.

    Starts a hub of its own with local providers, in a folder of its own. Besides the kills: Kafka, PostgreSQL and
    the providers once each, one worker frozen past its lease, and every worker ended with SIGTERM.
    """
    from launcher.chaos.run import Asked, run
    from launcher.sandboxed import SANDBOXED

    names = frozenset(SANDBOXED if channels == "all" else filter(None, channels.replace(" ", "").split(",")))
    if unknown := names - set(SANDBOXED):
        raise typer.BadParameter(
            f"{', '.join(sorted(unknown))}: use some of {', '.join(SANDBOXED)}", param_hint="--channels"
        )
    chosen = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    asked = Asked(events, recipients, kills, chosen, away.value if away else None, away_seconds, names)
    raise typer.Exit(asyncio.run(run(asked, as_json=as_json)))
