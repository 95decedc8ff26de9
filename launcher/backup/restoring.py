"""Restoring: the whole database in one transaction, or not at all; then the hub is held until somebody has looked."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher.backup import archive, tools
from launcher.backup.archive import DATABASE, Manifest
from launcher.backup.making import links_secret
from launcher.backup.place import database_address
from launcher.backup.tools import Tools
from launcher.environment import homes
from launcher.faults import Fault
from launcher.home import make_folder, unwritable
from launcher.reach import away, refused
from store import inventory
from store.condition import REFUSED
from store.database import AWAY, Connection, connect
from store.migrations import FOLDER

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did. ``pending`` are migrations that the restored database lacks; ``secrets`` those put back;
    ``same_links`` is False when links are signed by another secret here, None when that is not known."""

    manifest: Manifest
    pending: tuple[str, ...]
    secrets: tuple[str, ...]
    same_links: bool | None
    held: bool


async def restore(path: Path, mapping: Mapping[str, str], *, replace: bool, with_secrets: bool, hold: bool) -> Restored:
    """Put a backup into the hub's database. ``replace``: what is there is lost. Raises Fault, having changed nothing.

    Tambour must not run on it. Needs room for the dump in the home folder meanwhile.
    """
    manifest = archive.manifest_of(path)
    known = {one.name for one in FOLDER.glob("*.sql")}
    if newer := [name for name in manifest.migrations if name not in known]:
        raise Fault(
            f"{path} is from a newer Tambour: this one does not know {', '.join(newer)}.",
            "Upgrade Tambour first (docs/operations.md), then restore.",
        )
    home, _ = homes(mapping)
    try:
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=make_folder(home.folder)) as name:
            scratch = Path(name)
            await asyncio.to_thread(archive.unpack, path, manifest, scratch)
            secrets = _secrets(scratch, home.folder, replace=replace) if with_secrets else {}
            async with database_address(mapping, alone=True) as dsn:
                await _database(dsn, scratch / DATABASE, manifest, replace=replace, hold=hold)
            for target, text in secrets.items():
                _keep(target, text)
    except REFUSED as error:
        raise refused(error) from error
    except OSError as error:
        if isinstance(error, ConnectionError | TimeoutError):
            raise away(error) from error
        raise unwritable(home.folder, error) from error
    except AWAY as error:
        raise away(error) from error
    secret = links_secret(mapping)
    return Restored(
        manifest,
        tuple(sorted(known - set(manifest.migrations))),
        tuple(target.name for target in secrets),
        manifest.links.is_of(secret) if manifest.links is not None and secret is not None else None,
        hold,
    )


async def _database(dsn: str, dump: Path, manifest: Manifest, *, replace: bool, hold: bool) -> None:
    connection = await connect(dsn)
    try:
        major = await inventory.major_version(connection)
        if major < manifest.server_major:
            raise Fault(
                f"The backup is of PostgreSQL {manifest.server_major}, this server is {major}.",
                "Restore into a server of that version or newer.",
            )
        if using := await inventory.others(connection):
            raise Fault(
                f"{using} other connection(s) use the database.",
                "Stop Tambour's processes, and whatever else works on it.",
            )
        there = await inventory.tables(connection)
        if there and not replace:
            raise Fault(
                f"The database is not empty: it has {len(there)} tables.",
                "Name an empty one, or add --replace to give up what is in it.",
            )
        found = await asyncio.to_thread(tools.find_tools, max(major, _major(manifest.pg_dump)))
        reason = f"restored from the backup of {manifest.made_at:%Y-%m-%d %H:%M} UTC: look, then release"
        before = "BEGIN;\nSET LOCAL lock_timeout = '10s';\n" + (inventory.CLEAR if there else "")
        after = inventory.LEAP_AHEAD + (inventory.hold_hub(reason) if hold else "") + "COMMIT;\n"
        await _load(dsn, dump, found, before, after)
        await _check(connection, manifest, held=hold)
    finally:
        await connection.close()


def _major(version: str) -> int:
    return int(version.split(".")[0])


async def _load(dsn: str, dump: Path, found: Tools, before: str, after: str) -> None:
    """``before``, the dump's statements, ``after``: the last only once the dump was read to its end, so that what
    ends early leaves a transaction that nobody commits."""
    where, environ = tools.address(dsn)
    psql = await asyncio.create_subprocess_exec(
        *found.command("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={where}"),
        env=environ,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    reader = await asyncio.create_subprocess_exec(
        # of the schema what is in it, and not itself: it is there
        *found.command(
            "pg_restore", "--no-owner", "--no-privileges", f"--schema={inventory.SCHEMA}", "--file=-", str(dump)
        ),
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert psql.stdin and psql.stderr and reader.stdout and reader.stderr
    psql_said, reader_said = (asyncio.ensure_future(pipe.read()) for pipe in (psql.stderr, reader.stderr))
    try:
        with contextlib.suppress(ConnectionError):  # psql ended at a fault, which it tells
            psql.stdin.write(before.encode())
            while chunk := await reader.stdout.read(_CHUNK):
                psql.stdin.write(chunk)
                await psql.stdin.drain()
            if await reader.wait():
                psql.stdin.close()
                raise tools.failed("Reading the dump", await reader_said)
            psql.stdin.write(after.encode())
            await psql.stdin.drain()
        psql.stdin.close()
        if await psql.wait():
            raise tools.failed("Restoring the database", await psql_said)
    finally:
        for process in (psql, reader):
            if process.returncode is None:
                process.kill()
                await process.wait()
        await asyncio.gather(psql_said, reader_said, return_exceptions=True)


async def _check(connection: Connection, manifest: Manifest, *, held: bool) -> None:
    """Whether every row that was backed up is there."""
    there = await inventory.rows(connection)
    expected = dict(manifest.rows)
    if held:
        expected["hold"] = there.get("hold", 0)  # one more, unless the hub was held already
    if wrong := sorted(name for name in {*there, *expected} if there.get(name) != expected.get(name)):
        told = ", ".join(f"{name} {there.get(name)} instead of {expected.get(name)}" for name in wrong)
        raise Fault(f"The restored database is not what was backed up: {told} rows.", "Report it; keep the backup.")


def _secrets(scratch: Path, home: Path, *, replace: bool) -> dict[Path, str]:
    """What to write where. Raises Fault before another secret than the backup's would be lost."""
    found = {}
    for path in sorted((scratch / "secrets").glob("*")):
        target, text = home / "secrets" / path.name, path.read_text(encoding="utf-8")
        if target.exists() and target.read_text(encoding="utf-8") != text and not replace:
            raise Fault(
                f"{target} is another secret than the backup's.", "Keep it without --with-secrets, or --replace it."
            )
        found[target] = text
    return found


def _keep(target: Path, text: str) -> None:
    make_folder(target.parent)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
