"""``backup`` and ``restore``: the hub's state in one file, and back."""

import asyncio
import os
from datetime import UTC
from pathlib import Path
from typing import Annotated

import typer

from launcher.backup.archive import Manifest
from launcher.backup.restoring import Restored
from launcher.environment import settings_for_commands
from launcher.faults import Fault
from launcher.terminal import print_json

BACKUP_EPILOG = (
    "[bold]Example[/bold]: ./tambour backup /backups/tambour-$(date +%F).tar --with-secrets. "
    "Exit codes: 0 written, 1 could not, 2 not understood."
)
RESTORE_EPILOG = (
    "[bold]Example[/bold]: ./tambour restore /backups/tambour-2026-11-24.tar --with-secrets, then ./tambour up, look, "
    "and ./tambour release hub. Exit codes: 0 restored, 1 could not (nothing was changed), 2 not understood."
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
WithSecrets = Annotated[bool, typer.Option("--with-secrets", help="The home's secrets/ and tambour.toml too.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=BACKUP_EPILOG)(backup)
    app.command(epilog=RESTORE_EPILOG)(restore)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What to write: a tar, readable by you alone.")],
    with_secrets: WithSecrets = False,
    replace: Annotated[bool, typer.Option("--replace", help="Write over a file of that name.")] = False,
    as_json: Json = False,
) -> None:
    """Write the hub's whole state to one file: the database at one moment, and what processes were started with.

    Tambour may run meanwhile. The file holds people's addresses: keep it as you keep them.

    With --with-secrets it also holds what signs links, without which those already sent break. Files that
    tambour.toml names elsewhere stay yours to keep.
    """
    from launcher.backup import making

    made = asyncio.run(making.make(file.absolute(), os.environ, with_secrets=with_secrets, replace=replace))
    if as_json:
        print_json(_figures(file, made))
        return
    size = file.stat().st_size / (1 << 20)
    typer.echo(f"{file}: {sum(made.rows.values())} rows of {len(made.rows)} tables, {size:.1f} MB")
    typer.echo(f"Taken at {made.made_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC from PostgreSQL {made.server}.")
    if not with_secrets:
        typer.echo("Without the secrets: links already sent need secrets/links of the home folder (--with-secrets).")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What ./tambour backup wrote.")],
    replace: Annotated[bool, typer.Option("--replace", help="Give up what the database (and secrets/) has.")] = False,
    with_secrets: Annotated[bool, typer.Option("--with-secrets", help="Put the home's secrets back too.")] = False,
    hold: Annotated[bool, typer.Option("--hold/--no-hold", help="Hold the hub until somebody has looked.")] = True,
    as_json: Json = False,
) -> None:
    """Put a backup into the hub's database: all of it, or nothing. Stop Tambour first.

    The hub is held then: what was sent between the backup and the loss is not in the backup, and would be sent again.
    """
    from launcher.backup import restoring

    done = asyncio.run(restoring.restore(file, os.environ, replace=replace, with_secrets=with_secrets, hold=hold))
    if as_json:
        print_json({**_figures(file, done.manifest), "held": done.held, "migrations_pending": done.pending})
        return
    typer.echo("\n".join(_told(file, done)))


def _figures(file: Path, manifest: Manifest) -> dict[str, object]:
    return {
        "file": str(file),
        "made_at": manifest.made_at,
        "postgresql": manifest.server,
        "migrations": manifest.migrations,
        "rows": manifest.rows,
        "files": {name: {"sha256": one.sha256, "octets": one.octets} for name, one in manifest.files.items()},
    }


def _told(file: Path, done: Restored) -> list[str]:
    """What was done, and what it means for what was not in the backup."""
    manifest = done.manifest
    at = manifest.made_at.astimezone(UTC)
    lines = [
        f"Restored {sum(manifest.rows.values())} rows of {len(manifest.rows)} tables, as of {at:%Y-%m-%d %H:%M:%S} UTC."
    ]
    if done.secrets:
        lines.append(f"Put back: secrets/{', secrets/'.join(done.secrets)}.")
    if done.same_links is False:
        lines.append(
            "WARNING: links are signed by another secret here: those already sent, and bounces of mails already "
            "sent, are not understood. Put the former secret back (--with-secrets, or links.secret)."
        )
    if done.pending:
        lines.append(f"The schema is older than this Tambour ({', '.join(done.pending)}): ./tambour up, or migrate.")
    if done.held:
        lines.append(
            "The hub is held: events are taken in, and nothing goes out. What was sent after the backup is waiting "
            "to be sent again: look (./tambour track, ./tambour announce --list), withdraw what was told, then "
            "./tambour release hub."
        )
    bootstrap, hours = _of_settings()
    lines.append(
        f"Kafka keeps where reading goes on: events after that are taken in by themselves; older than {hours:g} h "
        "(intake.max_age_hours) they are recorded as stale and tell nobody. Events that were read after the backup "
        "are read again only if you set the group back, with Tambour stopped; those that the backup knows change "
        "nothing:"
    )
    lines.append(f"  {_reset(bootstrap, f'{at:%Y-%m-%dT%H:%M:%S.000}')}")
    return lines


def _of_settings() -> tuple[str, float]:
    try:
        settings = settings_for_commands()
        return settings.kafka.bootstrap, settings.intake.max_age_hours
    except Fault:
        return "HOST:PORT", 24.0


def _reset(bootstrap: str, at: str) -> str:
    from hub.intake import TOPICS
    from streams.worker import CORE

    topics = " ".join(f"--topic {name}" for name in TOPICS)
    return (
        f"kafka-consumer-groups.sh --bootstrap-server {bootstrap} --group tambour-{CORE} {topics} "
        f"--reset-offsets --to-datetime {at} --execute"
    )
