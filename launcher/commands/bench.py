"""``bench``: measure a whole hub on this machine, each time beside a ceiling or a peer."""

import asyncio
from collections.abc import Coroutine
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import typer

from launcher.faults import Fault

if TYPE_CHECKING:
    from bench.report import Report

EPILOG = (
    "[bold]Examples[/bold]: ./tambour bench email --recipients 20000 · ./tambour bench urgent --json. "
    "Exit codes: 0 measured, 1 something was not as it must be, 2 not understood. What each means: docs/benchmarks.md."
)

Rounds = Annotated[int, typer.Option(min=1, max=100, help="How often; the median counts.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object last, with the medians as flat keys.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    benches = typer.Typer(
        no_args_is_help=True,
        help="Measure a hub of its own on this machine: real Kafka, PostgreSQL and processes.",
        epilog=EPILOG,
        rich_markup_mode="rich",
    )
    for one in (email, urgent, fanout, intake, tracking, sms, social, fairness):
        benches.command()(one)
    app.add_typer(benches, name="bench")


def email(
    recipients: Annotated[int, typer.Option(min=1, max=10_000_000, help="Readers of the announcement.")] = 200_000,
    workers: Annotated[int, typer.Option(min=1, max=4, help="Delivery workers of its lane.")] = 1,
    rounds: Rounds = 3,
    as_json: AsJson = False,
) -> None:
    """Mails a second, from an event on Kafka to every delivery recorded; beside our sender alone, and smtp-source."""
    _there()
    from bench.email import Asked, run

    _measure(run(Asked(recipients, workers, rounds)), as_json=as_json)


def urgent(
    bulk: Annotated[int, typer.Option(min=1000, max=10_000_000, help="Readers of a bulk announcement.")] = 100_000,
    urgent: Annotated[int, typer.Option(min=1, max=10_000, help="Urgent announcements while it is sent.")] = 200,
    idle: Annotated[int, typer.Option(min=1, max=10_000, help="Urgent announcements on the idle hub.")] = 50,
    rounds: Rounds = 3,
    as_json: AsJson = False,
) -> None:
    """How long urgent announcements to 20 people take while a bulk one is sent, and on an idle hub."""
    _there()
    from bench.urgent import Asked, run

    _measure(run(Asked(bulk, urgent, idle, rounds)), as_json=as_json)


def fanout(
    recipients: Annotated[
        str, typer.Option(metavar="SIZES", help="Sizes of audiences, separated by commas.")
    ] = "10000,100000,1000000",
    rounds: Rounds = 3,
    as_json: AsJson = False,
) -> None:
    """How fast audiences of these sizes become deliveries, with how much memory, and whether time grows in line."""
    _there()
    from bench.fanout import Asked, run

    _measure(run(Asked(_sizes(recipients), rounds)), as_json=as_json)


def intake(
    events: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Events a round, a fifth of them repeats.")
    ] = 20_000,
    rounds: Rounds = 3,
    as_json: AsJson = False,
) -> None:
    """Events a second through one intake worker, deduplicated in PostgreSQL."""
    _there()
    from bench.intake import Asked, run

    _measure(run(Asked(events, rounds)), as_json=as_json)


def tracking(
    deliveries: Annotated[int, typer.Option(min=10_000, max=100_000_000, help="In the database.")] = 5_000_000,
    rounds: Rounds = 3,
    as_json: AsJson = False,
) -> None:
    """How long officers' pages and receipts take in a database with so many deliveries. Only PostgreSQL runs."""
    _there()
    from bench.tracking import Asked, run

    _measure(run(Asked(deliveries, rounds)), as_json=as_json)


def sms(
    recipients: Annotated[int, typer.Option(min=1, max=1_000_000, help="Telephones that are told.")] = 20_000,
    window: Annotated[int, typer.Option(min=1, max=1000, help="SMS that may await the SMSC's answer at a time.")] = 100,
    rounds: Rounds = 3,
    as_json: AsJson = False,
) -> None:
    """SMS a second over SMPP to npm's server, and receipts recorded a second; beside our SMPP session alone."""
    _there()
    from bench.sms import Asked, run

    _measure(run(Asked(recipients, window, rounds)), as_json=as_json)


def social(
    announcements: Annotated[int, typer.Option(min=1, max=10_000, help="Announcements, put on Kafka at once.")] = 180,
    accounts: Annotated[int, typer.Option(min=1, max=100, help="Accounts of each network.")] = 2,
    allowance: Annotated[int, typer.Option(min=1, max=10_000, help="Requests of an account in a period.")] = 60,
    period: Annotated[float, typer.Option(min=1, max=900, help="Seconds of a period.")] = 30,
    workers: Annotated[int, typer.Option(min=1, max=4, help="Delivery workers of its lane.")] = 2,
    rounds: Rounds = 3,
    as_json: AsJson = False,
) -> None:
    """Whether posts go out as fast as networks with rate limits allow, and how many requests they refuse."""
    _there()
    from bench.social import Asked, run

    _measure(run(Asked(announcements, accounts, allowance, period, workers, rounds)), as_json=as_json)


def fairness(
    large: Annotated[int, typer.Option(min=100, max=10_000_000, help="Readers of the largest authority.")] = 300_000,
    medium: Annotated[int, typer.Option(min=10, max=1_000_000, help="Readers of the second.")] = 3_000,
    small: Annotated[int, typer.Option(min=1, max=100_000, help="Readers of the smallest.")] = 30,
    rounds: Rounds = 3,
    as_json: AsJson = False,
) -> None:
    """How long a small authority waits beside a very large one that was started with it; each also alone."""
    _there()
    from bench.fairness import Asked, run

    _measure(run(Asked(large, medium, small, rounds)), as_json=as_json)


def _sizes(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) <= 10_000_000 for part in parts):
        raise typer.BadParameter("give numbers from 1 to 10000000, as in 10000,100000", param_hint="--recipients")
    return sorted({int(part) for part in parts})


def _there() -> None:
    if find_spec("bench") is None:
        raise Fault("The benches are not here: an image carries the hub alone.", "Run them from the sources.")


def _measure(bench: "Coroutine[Any, Any, Report]", *, as_json: bool) -> None:
    from rich.console import Console

    report = asyncio.run(bench)
    report.show(Console())
    if as_json:
        print(report.as_json())
    raise typer.Exit(1 if report.faults else 0)
