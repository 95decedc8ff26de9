"""``chaos``: disturb a hub of its own in every way we know while it works, and audit what it promised."""

import asyncio
import random
from enum import StrEnum
from typing import Annotated

import typer

EPILOG = (
    "[bold]Examples[/bold]: ./tambour chaos --events 300 --kills 5 --seed 1 --json · ./tambour chaos --away kafka · "
    "./tambour chaos --list · ./tambour chaos --scenario sender-killed-again --runs 20 --json · "
    "./tambour chaos --suite --json · ./tambour chaos --soak 15. "
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
    scenario: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Instead: these scenarios, comma-separated. See --list.")
    ] = None,
    suite: Annotated[bool, typer.Option("--suite", help="Instead: every scenario, one after the other.")] = False,
    runs: Annotated[int, typer.Option(min=1, max=1000, help="With --scenario or --suite: how often each.")] = 1,
    soak: Annotated[
        float | None, typer.Option(metavar="MINUTES", min=0.5, max=10_000, help="Instead: disturbances at random.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Say which scenarios there are.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line for each scenario.")] = False,
) -> None:
    """Disturb a hub while it works (kill -9 at random, unless told otherwise); count at the providers and in its rows.

    Starts a hub of its own with local providers, in a folder of its own. Without options: kills, besides them Kafka,
    PostgreSQL and the providers once each, one worker frozen past its lease, and every worker ended with SIGTERM.
    """
    from launcher.chaos import run
    from launcher.chaos.scenarios import SCENARIOS
    from launcher.sandboxed import SANDBOXED

    if listed:
        width = max(map(len, SCENARIOS))
        typer.echo("\n".join(f"{name:<{width}}  {one.line}" for name, one in SCENARIOS.items()))
        return
    if sum((scenario is not None, suite, soak is not None, away is not None)) > 1:
        raise typer.BadParameter("--scenario, --suite, --soak and --away exclude one another")
    chosen = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    if soak is not None:
        from launcher.chaos.soak import soaked

        raise typer.Exit(asyncio.run(soaked(soak * 60, chosen, as_json=as_json)))
    if suite or scenario is not None:
        wanted = list(SCENARIOS) if scenario is None else _names(scenario)
        if unknown := [name for name in wanted if name not in SCENARIOS]:
            raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join(SCENARIOS)}", param_hint="--scenario")
        raise typer.Exit(asyncio.run(run.named(wanted, runs=runs, seed=chosen, as_json=as_json)))
    names = frozenset(SANDBOXED if channels == "all" else _names(channels))
    if unknown := sorted(names - set(SANDBOXED)):
        raise typer.BadParameter(f"{', '.join(unknown)}: use some of {', '.join(SANDBOXED)}", param_hint="--channels")
    asked = run.Asked(events, recipients, kills, chosen, away.value if away else None, away_seconds, names)
    raise typer.Exit(asyncio.run(run.mixed(asked, as_json=as_json)))


def _names(text: str) -> list[str]:
    """Names between commas, each once."""
    return list(dict.fromkeys(filter(None, text.replace(" ", "").split(","))))
