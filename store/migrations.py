"""Schema migrations: numbered SQL files, each applied once, in order, in its own transaction."""

import hashlib
from pathlib import Path

from store.database import CROSSED, Connection

FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x7A6D62  # advisory lock: two processes that start together migrate one after the other
_TRIES = 10  # each costs PostgreSQL's deadlock_timeout, a second


class MigrationChanged(Exception):
    """A file that has already been applied reads differently now: applied migrations are never edited."""


async def migrate(connection: Connection, folder: Path = FOLDER) -> list[str]:
    """Apply what is missing and return the names applied. Safe to call from several processes at once."""
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migration (name text PRIMARY KEY, digest text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        known = {row["name"]: row["digest"] for row in await connection.fetch("SELECT * FROM schema_migration")}
        applied = []
        for path in sorted(folder.glob("*.sql")):
            text = path.read_text(encoding="utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()
            if path.name in known:
                if known[path.name] != digest:
                    raise MigrationChanged(f"{path.name} was changed after it was applied: add a new file instead")
                continue
            await _apply(connection, path.name, text, digest)
            applied.append(path.name)
        return applied
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def _apply(connection: Connection, name: str, text: str, digest: str) -> None:
    """One file in one transaction; again when it and a worker that still runs were in each other's way."""
    for tries_left in reversed(range(_TRIES)):
        try:
            async with connection.transaction():
                await connection.execute(text)
                await connection.execute("INSERT INTO schema_migration (name, digest) VALUES ($1, $2)", name, digest)
            return
        except CROSSED:
            if not tries_left:
                raise


async def pending(connection: Connection, folder: Path = FOLDER) -> list[str]:
    """Names of the migrations that this database lacks."""
    if await connection.fetchval("SELECT to_regclass('schema_migration')") is None:
        known: set[str] = set()
    else:
        known = {row["name"] for row in await connection.fetch("SELECT name FROM schema_migration")}
    return [path.name for path in sorted(folder.glob("*.sql")) if path.name not in known]
