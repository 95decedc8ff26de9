"""``purge``: remove what became of old messages; how many were reached stays."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from hub import retention
from hub.retention import Busy, Old, Purge
from launcher.environment import settings_for_commands
from launcher.faults import Fault
from launcher.reach import database
from launcher.terminal import print_json, print_table

EPILOG = (
    "[bold]Examples[/bold]: ./tambour purge --dry-run · ./tambour purge --before 2026-01. "
    "Exit codes: 0 done, or there was nothing to remove, 1 could not, 2 not understood."
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(purge)


def purge(
    before: Annotated[
        str | None,
        typer.Option(metavar="YYYY-MM", help="Remove what is older than this month; else by retention.months."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Remove old deliveries, with their facts, references, batches and receipts. Tambour may run meanwhile.

    Announcements and how many they reached stay, and so do opt-outs. What still runs or waits is not removed.
    The core does this by itself once a month has become too old (retention.months).
    """
    now = datetime.now(UTC)
    if before is None:
        months = settings_for_commands().retention.months
        if months == 0:
            raise typer.BadParameter("retention.months is 0: say what is old.", param_hint="--before")
        since = retention.cutoff(now, months)
    else:
        try:
            since = retention.month(before)
        except ValueError:
            raise typer.BadParameter(f"{before!r} is no month: write 2026-01.", param_hint="--before") from None
        if since > retention.cutoff(now, 0):
            raise typer.BadParameter("that month has not begun.", param_hint="--before")
    asyncio.run(_tell(since, as_json) if dry_run else _purge(since, as_json))


async def _tell(before: datetime, as_json: bool) -> None:
    async with database() as connection:
        found = await retention.old(connection, before)
    if as_json:
        return print_json({"before": f"{before:%Y-%m}", "dry_run": True, "would_remove": found})
    if not found.anything:
        return typer.echo(f"Nothing is older than {before:%Y-%m}, or it is not over yet.")
    typer.echo(f"Older than {before:%Y-%m}, and would be removed:")
    print_table(("what", "how many"), _rows(found))
    _tell_kept(found.kept)


async def _purge(before: datetime, as_json: bool) -> None:
    async with database() as connection:
        try:
            done = await retention.purge(connection, before)
        except Busy as error:
            raise Fault(
                "The tables are in use (a backup?): not all of it was removed.", "Try again when that is over."
            ) from error
    if done is None:
        raise Fault("Somebody else is just removing.", "Look again in a minute: ./tambour purge --dry-run.")
    if as_json:
        return print_json(_told(done))
    removed = done.removed
    typer.echo(
        f"Removed what is older than {before:%Y-%m}: {removed.deliveries:,} deliveries of {removed.orders:,} orders,"
        f" {removed.receipts:,} receipts, in {done.seconds:.1f} s."
    )
    _tell_kept(done.kept)


def _told(done: Purge) -> dict[str, object]:
    return {
        "before": f"{done.before:%Y-%m}",
        "dry_run": False,
        "removed": done.removed,
        "kept": done.kept,
        "seconds": round(done.seconds, 3),
    }


def _tell_kept(kept: int) -> None:
    if kept:
        typer.echo(f"{kept:,} older orders stay: their announcement still runs, or something of them still waits.")


def _rows(found: Old) -> list[tuple[str, str]]:
    return [
        ("orders", f"{found.orders:,}"),
        ("their deliveries", f"{found.deliveries:,}"),
        ("receipts", f"{found.receipts:,}"),
        ("events that announced nothing", f"{found.events:,}"),
        ("dead letters put back", f"{found.letters:,}"),
        ("faults of mailboxes", f"{found.faults:,}"),
    ]
