"""The embedded PostgreSQL, as a real process."""

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from launcher.embedded.postgres import Postgres
from launcher.ports import free_ports
from tests.waiting import is_gone, until

pytestmark = pytest.mark.integration

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="about dropping root's privileges")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Postgres]:
    postgres = Postgres(tmp_path / "home" / "postgres", free_ports(1)[0])
    await postgres.start()
    yield postgres
    await postgres.kill()


async def run(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_committed_rows_survive_kill_9(server: Postgres) -> None:
    await run(server.dsn, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    await server.kill()
    assert (server.data / "postmaster.pid").exists()
    await server.start()
    assert await run(server.dsn, "SELECT count(*) FROM kept") == 1000


async def test_pid_file_that_names_another_living_process_does_not_keep_it_from_starting(server: Postgres) -> None:
    await server.stop()
    (server.data / "postmaster.pid").write_text(f"{os.getpid()}\n{server.data}\n0\n{server.port}\n\n\n")
    await server.start()
    assert await run(server.dsn, "SELECT 1") == 1


async def test_server_left_by_a_former_run_is_ended_first(server: Postgres) -> None:
    former = psutil.Process(server.pid)
    again = Postgres(server.folder, server.port)
    await again.start()
    try:
        assert again.pid != former.pid
        assert is_gone(former)
        assert await run(again.dsn, "SELECT 1") == 1
    finally:
        await again.stop()


async def test_nobody_gets_in_without_the_password(server: Postgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(host="127.0.0.1", port=server.port, user="tambour", password="guess", database="postgres")
    password = server.folder / "password"
    assert password.stat().st_mode & 0o077 == 0
    assert server.data.stat().st_mode & 0o077 == 0


async def test_it_is_durable_unless_told_otherwise(server: Postgres) -> None:
    for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert await run(server.dsn, f"SHOW {name}") == "on"


@as_root
async def test_as_root_it_runs_as_a_user_without_name_or_group_of_others(server: Postgres) -> None:
    process = psutil.Process(server.pid)
    assert process.uids().real >= 60000
    assert process.uids().effective == server.data.stat().st_uid
    status = Path(f"/proc/{server.pid}/status").read_text()
    assert "Groups:\t \n" in status or "Groups:\t\n" in status


@as_root
async def test_as_root_it_works_below_a_folder_that_nobody_else_may_pass(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    postgres = Postgres(closed / "home" / "postgres", free_ports(1)[0])
    await postgres.start()
    try:
        assert await run(postgres.dsn, "SELECT 1") == 1
        assert closed.stat().st_mode & 0o777 == 0o700
        status = Path(f"/proc/{postgres.pid}/status").read_text()
        kept = int(next(line for line in status.splitlines() if line.startswith("CapPrm:")).split()[1], 16)
        assert kept.bit_count() <= 1  # the right to pass closed folders, and no other of root's
    finally:
        await postgres.stop()


@as_root
async def test_as_root_it_needs_no_right_of_roots_where_every_folder_lets_others_pass() -> None:
    with tempfile.TemporaryDirectory(prefix="tambour-open-") as folder:  # pytest's own folders are closed
        os.chmod(folder, 0o755)
        postgres = Postgres(Path(folder) / "postgres", free_ports(1)[0])
        await postgres.start()
        try:
            assert await run(postgres.dsn, "SELECT 1") == 1
        finally:
            await postgres.stop()


def test_it_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from launcher.embedded.postgres import Postgres\n"
        "async def main():\n"
        "    server = Postgres(Path(sys.argv[1]), int(sys.argv[2]))\n"
        "    await server.start()\n"
        "    print(server.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "pg"), str(free_ports(1)[0])], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    until(lambda: is_gone(child), within=10, what="the end of the server")
