"""Making a backup: one snapshot of the database, counted and dumped, with what else a new machine would need."""

import asyncio
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from launcher.backup import archive, tools
from launcher.backup.archive import DATABASE, Manifest, Mark
from launcher.backup.place import database_address
from launcher.environment import homes, settings_for_commands
from launcher.faults import Fault
from launcher.home import unwritable
from launcher.reach import away, refused
from store import condition, inventory
from store.condition import REFUSED
from store.database import AWAY, connect

_MADE_ANEW = {"database"}  # the address of the embedded database, which each `up` writes


async def make(path: Path, mapping: Mapping[str, str], *, with_secrets: bool, replace: bool) -> Manifest:
    """Write a backup to ``path``; returns what it holds. Tambour may run meanwhile. Raises Fault.

    Needs room for it twice in the folder of ``path`` while it is made.
    """
    if path.exists() and not replace:
        raise Fault(f"{path} exists.", "Choose another name, or add --replace.")
    if not path.parent.is_dir():
        raise Fault(f"There is no folder {path.parent}.", "Make it, or choose another.")
    async with database_address(mapping, alone=False) as dsn:
        try:
            with tempfile.TemporaryDirectory(prefix=".tambour-backup-", dir=path.parent) as scratch:
                return await _made(path, dsn, mapping, Path(scratch), with_secrets=with_secrets)
        except REFUSED as error:
            raise refused(error) from error
        except OSError as error:
            if isinstance(error, ConnectionError | TimeoutError):
                raise away(error) from error
            raise unwritable(path, error) from error
        except AWAY as error:
            raise away(error) from error


async def _made(path: Path, dsn: str, mapping: Mapping[str, str], scratch: Path, *, with_secrets: bool) -> Manifest:
    dump = scratch / DATABASE
    connection = await connect(dsn)
    try:
        major = await inventory.major_version(connection)
        found = await asyncio.to_thread(tools.find_tools, major)
        async with inventory.moment(connection) as moment:
            where, environ = tools.address(dsn)
            command = found.command(
                "pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--schema={inventory.SCHEMA}",
                f"--snapshot={moment.snapshot}", f"--file={dump}", f"--dbname={where}",
            )  # fmt: skip
            dumping = asyncio.ensure_future(tools.run(command, environ, "Dumping the database"))
            try:
                migrations, rows = await inventory.migrations(connection), await inventory.rows(connection)
                await dumping
            finally:
                dumping.cancel()
        server = await condition.version(connection)
    finally:
        await connection.close()
    if not migrations:
        raise Fault("The database is empty: there is nothing to back up.", "Check TAMBOUR_DATABASE.")
    dump.chmod(0o600)
    files = {DATABASE: dump, **_beside(mapping, scratch, with_secrets=with_secrets)}
    manifest = Manifest(
        made_at=moment.at,
        server=server,
        server_major=major,
        pg_dump=found.version,
        migrations=tuple(migrations),
        rows=rows,
        links=_links_mark(mapping),
        files={name: await asyncio.to_thread(archive.measured, source) for name, source in files.items()},
    )
    await asyncio.to_thread(archive.write, path, manifest, files)
    return manifest


def _beside(mapping: Mapping[str, str], scratch: Path, *, with_secrets: bool) -> dict[str, Path]:
    """What processes were started with (which has no secret in it), and on demand what has."""
    home, _ = homes(mapping)
    found = {"environment.json": home.folder / "environment.json"}
    if with_secrets:
        found["tambour.toml"] = Path(mapping.get("TAMBOUR_SETTINGS", "tambour.toml"))
        for path in sorted((home.folder / "secrets").glob("*")):
            if path.name not in _MADE_ANEW and path.is_file():
                found[f"secrets/{path.name}"] = path
    kept = {}
    for name, path in found.items():
        if path.is_file():
            copy = scratch / name.replace("/", "-")  # it may change while we measure and write it
            descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(path.read_bytes())
            kept[name] = copy
    return kept


def _links_mark(mapping: Mapping[str, str]) -> Mark | None:
    """A mark of the secret that signs links; None where no settings say it."""
    if (secret := links_secret(mapping)) is None:
        return None
    return Mark.of(secret)


def links_secret(mapping: Mapping[str, str]) -> str | None:
    """The secret that signs links: of the settings, else the one that ``up`` keeps in the home."""
    try:
        return settings_for_commands(mapping).links.secret.get_secret_value()
    except Fault:
        kept = homes(mapping)[0].folder / "secrets" / "links"
        return kept.read_text(encoding="utf-8").strip() if kept.is_file() else None
