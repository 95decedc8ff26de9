"""``backup`` and ``restore`` on a real PostgreSQL: what was there is there again; what fails changes nothing."""

import asyncio
import json
import shutil
import stat
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from hub.addresses import Signer
from hub.intake import Incoming, Intake
from launcher.backup import tools
from launcher.embedded.postgres import Postgres
from launcher.environment import secret_file
from launcher.faults import Fault
from launcher.home import Home
from launcher.ports import free_ports
from launcher.seed import seed
from launcher.supervisor import Supervisor
from store import inventory, migrations, totals
from store.database import Connection, connect, open_pool, transaction
from store.orders import fan_out_page
from tests.acceptance.commands.conftest import Command, Ran, app
from tests.acceptance.commands.test_track_and_doctor import works
from tests.conftest import PostgresServer

pytestmark = pytest.mark.integration

LINKS = "a secret of the tests"  # as conftest.py sets it


async def tell(dsn: str, revision: int = 1) -> list[int]:
    """An event taken in and its orders fanned out; returns the orders."""
    pool = await open_pool(dsn, size=2)
    try:
        value = json.dumps(works(revision)).encode()
        await Intake(pool, max_age=timedelta(hours=24)).take_in(
            [Incoming("municipal.events", 0, revision, None, value, ())]
        )
        async with pool.acquire() as connection:
            orders = await connection.fetch("SELECT id FROM delivery_order WHERE fanned_out_at IS NULL ORDER BY id")
        for row in orders:
            async with transaction(pool) as connection:
                await fan_out_page(connection, row["id"], 200)
        return [row["id"] for row in orders]
    finally:
        await pool.close()


SCHEMA = """
SELECT line FROM (
    SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE NOT tgisinternal
    UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT oid::regclass || ' ' || array_to_string(reloptions, ',') FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL
) AS everything (line)
WHERE line !~ '(delivery|fact|provider_reference)_[1-9]'  -- a restore adds the cell of the orders to come
ORDER BY line"""


async def figures(dsn: str) -> dict[str, Any]:
    """Everything countable, and a row of each kind in full."""
    connection = await connect(dsn)
    try:
        return {
            "rows": await inventory.rows(connection),
            "totals": await totals.totals(connection),
            "addresses": await connection.fetch("SELECT * FROM recipient ORDER BY id"),
            "deliveries": await connection.fetch("SELECT * FROM delivery ORDER BY order_id, recipient_id"),
            "suppressed": await connection.fetch("SELECT * FROM suppression ORDER BY address"),
            "schema": await connection.fetch(SCHEMA),
        }
    finally:
        await connection.close()


@dataclass(frozen=True)
class Server:
    """The tests' server, to destroy a database on it."""

    dsn: str

    async def empty(self, database: str) -> None:
        """Lose the database, and make an empty one of that name."""
        server = await asyncpg.connect(self.dsn)
        name = database.rpartition("/")[2]
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.execute(f"CREATE DATABASE {name}")
        await server.close()


@pytest.fixture
def server(postgres: PostgresServer) -> Server:
    return Server(postgres.dsn)


@pytest.fixture
async def town(connection: Connection, database: str) -> str:
    """A database in mid-work: subscribers, an announcement, deliveries in several states, an opt-out."""
    await tell(database)
    await connection.execute(
        "UPDATE delivery SET standing = 16 + CASE WHEN recipient_id % 3 = 0 THEN 7 ELSE 1 END, sent_at = now()"
        " WHERE recipient_id % 2 = 0"
    )
    await connection.execute(
        "INSERT INTO suppression (authority_id, channel, address, reason)"
        " SELECT authority_id, channel, address, 'STOP' FROM recipient WHERE channel = 'sms' LIMIT 3"
    )
    await connection.close()
    return database


async def test_what_was_destroyed_is_there_again(command: Command, town: str, server: Server, tmp_path: Path) -> None:
    before = await figures(town)
    file = tmp_path / "backup.tar"
    made = await command("backup", file)
    assert made.code == 0, made.fault
    await server.empty(town)
    restored = await command("restore", file, "--no-hold")
    assert restored.code == 0, restored.fault
    assert await figures(town) == before
    assert sum(before["rows"].values()) > 100
    connection = await connect(town)
    assert await migrations.pending(connection) == []
    await connection.close()


async def test_restored_hub_is_held_and_says_what_kafka_and_time_mean(
    command: Command, town: str, server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "backup.tar"
    await command("backup", file)
    await server.empty(town)
    restored = await command("restore", file)
    for words in ("hub is held", "./tambour release hub", "older than 24 h", "stale", "--group tambour-core",
                  "--topic municipal.events ", "--to-datetime 20"):  # fmt: skip
        assert words in restored.out
    assert "WARNING" not in restored.out
    held = await command("hold", "--list")
    assert "restored from the backup of" in held.out


async def test_restored_hub_goes_on_with_numbers_that_nobody_was_given(
    command: Command, town: str, server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "backup.tar"
    await command("backup", file)
    lost = await tell(town, revision=2)  # after the backup: its numbers are known outside
    connection = await connect(town)
    largest = await connection.fetchval("SELECT max(id) FROM batch")
    await connection.close()
    await server.empty(town)
    assert (await command("restore", file, "--no-hold")).code == 0
    again = await tell(town, revision=2)
    assert len(again) == len(lost)
    assert min(again) > max(lost)
    connection = await connect(town)
    assert await connection.fetchval("SELECT count(*) FROM delivery WHERE order_id = ANY($1::bigint[])", again) > 0
    assert await connection.fetchval("SELECT min(id) FROM batch WHERE order_id = ANY($1::bigint[])", again) > largest
    await connection.close()


async def test_database_that_is_not_empty_is_left_alone_unless_told(
    command: Command, town: str, tmp_path: Path
) -> None:
    file = tmp_path / "backup.tar"
    await command("backup", file)
    await tell(town, revision=2)
    later = await figures(town)
    refused = await command("restore", file)
    assert refused.fault is not None and "not empty" in refused.fault.what and "--replace" in refused.fault.mend
    assert await figures(town) == later
    told = await command("restore", file, "--replace", "--no-hold")
    assert told.code == 0, told.fault
    assert (await figures(town))["rows"]["event"] == later["rows"]["event"] - 1


async def test_failing_restore_changes_nothing(
    command: Command, town: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "backup.tar"
    await command("backup", file)
    before = await figures(town)
    monkeypatch.setattr(inventory, "LEAP_AHEAD", "SELECT 1 / 0;\n")  # the very last statement but one
    failed = await command("restore", file, "--replace")
    assert failed.fault is not None and "division by zero" in failed.fault.what
    assert await figures(town) == before


async def test_dump_that_ends_early_is_not_committed(
    command: Command, town: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "backup.tar"
    await command("backup", file)
    before = await figures(town)
    found = await asyncio.to_thread(tools.find_tools, 18)
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("pg_dump", "psql"):
        (folder / name).symlink_to(found.folder / name)
    # reads like a whole dump, and then dies as the kernel would have it
    (folder / "pg_restore").write_text("#!/bin/sh\necho 'CREATE TABLE public.half ();'\nkill -9 $$\n")
    (folder / "pg_restore").chmod(0o755)
    monkeypatch.setattr(tools, "find_tools", lambda at_least: tools.Tools(folder, found.version))
    failed = await command("restore", file, "--replace")
    assert failed.fault is not None and "Reading the dump" in failed.fault.what
    assert await figures(town) == before


async def test_database_in_use_is_not_restored(command: Command, town: str, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    await command("backup", file)
    user = await connect(town)
    refused = await command("restore", file, "--replace")
    await user.close()
    assert refused.fault is not None and "1 other connection" in refused.fault.what


def damage(file: Path, at: float) -> None:
    content = bytearray(file.read_bytes())
    place = int(len(content) * at)
    content[place] ^= 0xFF
    file.write_bytes(content)


@pytest.mark.parametrize("at", [0.5, 0.8])
async def test_damaged_file_is_told_and_nothing_is_changed(
    command: Command, town: str, tmp_path: Path, at: float
) -> None:
    file = tmp_path / "backup.tar"
    await command("backup", file)
    before = await figures(town)
    damage(file, at)
    refused = await command("restore", file, "--replace")
    assert refused.fault is not None and "damaged" in refused.fault.what
    assert await figures(town) == before


async def test_file_that_was_cut_off_is_told(command: Command, town: str, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    await command("backup", file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    refused = await command("restore", file, "--replace")
    assert refused.fault is not None and "damaged" in refused.fault.what


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(2000)])
async def test_file_that_is_no_backup_is_told(command: Command, town: str, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "other.tar"
    file.write_bytes(content)
    refused = await command("restore", file)
    assert refused.fault is not None and "is no backup of Tambour" in refused.fault.what


async def test_backup_of_a_newer_tambour_is_refused(command: Command, town: str, tmp_path: Path) -> None:
    connection = await connect(town)
    await connection.execute("INSERT INTO schema_migration (name, digest) VALUES ('9999_later.sql', '')")
    await connection.close()
    file = tmp_path / "backup.tar"
    await command("backup", file)
    refused = await command("restore", file, "--replace")
    assert refused.fault is not None and "9999_later.sql" in refused.fault.what


async def test_backup_is_for_its_owner_alone_and_any_tar_opens_it(command: Command, town: str, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    shown = (await command("backup", file, "--json")).json
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with tarfile.open(file) as tar:
        assert tar.getnames() == ["manifest.json", "database.dump"]
    assert shown["rows"]["recipient"] > 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    content = file.read_bytes()
    assert LINKS.encode() not in content


async def test_file_that_is_there_is_not_written_over_unless_told(command: Command, town: str, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    file.write_text("precious")
    refused = await command("backup", file)
    assert refused.fault is not None and "exists" in refused.fault.what
    assert file.read_text() == "precious"
    assert (await command("backup", file, "--replace")).code == 0


async def test_links_signed_by_another_secret_are_told(
    command: Command, town: str, server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "backup.tar"
    await command("backup", file)
    await server.empty(town)
    restored = await command("restore", file, TAMBOUR_LINKS__SECRET="quite another secret")
    assert "WARNING: links are signed by another secret" in restored.out


async def test_empty_database_is_nothing_to_back_up(
    command: Command, database: str, server: Server, connection: Connection, tmp_path: Path
) -> None:
    await connection.close()
    await server.empty(database)
    refused = await command("backup", tmp_path / "backup.tar")
    assert refused.fault is not None and "nothing to back up" in refused.fault.what
    assert list(tmp_path.glob("*.tar")) == []


def test_password_is_not_on_the_command_line() -> None:
    where, environ = tools.address("postgresql://tambour:p%40ss%2Fword@db.valmerande.example:5432/hub?sslmode=require")
    assert where == "postgresql://tambour@db.valmerande.example:5432/hub?sslmode=require"
    assert environ["PGPASSWORD"] == "p@ss/word"
    where, environ = tools.address("postgresql://db/hub?user=tambour&password=secret")
    assert (where, environ["PGPASSWORD"]) == ("postgresql://db/hub?user=tambour", "secret")


# The embedded database: the command starts it, and works beside a running `up`.


@dataclass(frozen=True)
class Machine:
    """A machine with an embedded database in its home, and nothing else set up."""

    home: Home
    postgres: Postgres
    run: Callable[..., Awaitable[Ran]]

    async def look(self) -> dict[str, Any]:
        """The figures, from the database started for it."""
        await self.postgres.start()
        try:
            return await figures(self.postgres.dsn)
        finally:
            await self.postgres.stop()


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    home, port = Home(tmp_path / "home"), free_ports(1)[0]
    (tmp_path / "empty.toml").write_text("")
    environ = {
        "TAMBOUR_HOME": str(home.folder),
        "TAMBOUR_SETTINGS": str(tmp_path / "empty.toml"),
        "TAMBOUR_PORT_POSTGRES": str(port),
    }

    async def run(*arguments: object) -> Ran:
        return await asyncio.to_thread(_invoke, environ, [str(one) for one in arguments])

    postgres = Postgres(home.postgres, port)
    yield Machine(home, postgres, run)
    await postgres.kill()


def _invoke(environ: dict[str, str], words: list[str]) -> Ran:
    result = CliRunner(env=environ).invoke(app, words)
    if result.exception and not isinstance(result.exception, Fault | SystemExit):
        raise result.exception
    fault = result.exception if isinstance(result.exception, Fault) else None
    return Ran(result.exit_code, result.stdout, result.stderr, fault)


async def filled(machine: Machine) -> None:
    await machine.postgres.start()
    connection = await connect(machine.postgres.dsn)
    await migrations.migrate(connection)
    await connection.close()
    await seed(machine.postgres.dsn, 40)
    await tell(machine.postgres.dsn)
    secret_file(machine.home, "links")
    secret_file(machine.home, "database", machine.postgres.dsn)


@pytest.mark.slow
async def test_embedded_database_is_started_for_a_backup_and_for_a_restore_on_a_new_disk(
    machine: Machine, tmp_path: Path
) -> None:
    await filled(machine)
    before = await figures(machine.postgres.dsn)
    await machine.postgres.stop()
    links = (machine.home.folder / "secrets" / "links").read_text()
    file = tmp_path / "backup.tar"
    made = await machine.run("backup", file, "--with-secrets")
    assert made.code == 0, made.fault
    with tarfile.open(file) as tar:
        assert "secrets/links" in tar.getnames() and "secrets/database" not in tar.getnames()

    shutil.rmtree(machine.home.folder)
    restored = await machine.run("restore", file, "--with-secrets", "--no-hold")
    assert restored.code == 0, restored.fault
    assert await machine.look() == before
    kept = machine.home.folder / "secrets" / "links"
    assert kept.read_text() == links and stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert Signer(links.encode()).unsubscribe_token(1) == Signer(kept.read_bytes()).unsubscribe_token(1)


@pytest.mark.slow
async def test_running_hub_is_backed_up_and_not_restored_over(machine: Machine, tmp_path: Path) -> None:
    await filled(machine)
    file = tmp_path / "backup.tar"
    async with Supervisor(machine.home):  # what `up` holds its home with
        assert (await machine.run("backup", file)).code == 0
        refused = await machine.run("restore", file, "--replace")
    assert refused.fault is not None and "already running" in refused.fault.what
    assert "Stop it first" in refused.fault.mend


async def test_home_without_a_database_has_nothing_to_back_up(machine: Machine, tmp_path: Path) -> None:
    refused = await machine.run("backup", tmp_path / "backup.tar")
    assert refused.fault is not None and "no database" in refused.fault.what
