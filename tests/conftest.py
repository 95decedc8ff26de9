"""Fixtures shared by every test: embedded Kafka and PostgreSQL, one of each a session, only for who asks.

All xdist workers use the same servers. The process that runs the session names a folder for them; the first
fixture to need a server starts its keeper (tests/services.py); the end of the session ends the keepers.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

_FOLDER = "TAMBOUR_TEST_SESSION"
_OWNER = "TAMBOUR_TEST_SESSION_PID"
_START_WITHIN = 150.0


@dataclass(frozen=True)
class PostgresServer:
    """The session's PostgreSQL. ``dsn`` names its own database; tests take the ``database`` fixture instead."""

    dsn: str
    port: int
    folder: Path

    def dsn_of(self, database: str) -> str:
        return self.dsn.rsplit("/", 1)[0] + f"/{database}"


def pytest_configure(config: pytest.Config) -> None:
    # Workers inherit the environment of the process that runs the session.
    if not hasattr(config, "workerinput"):
        os.environ[_FOLDER] = tempfile.mkdtemp(prefix="tambour-tests-")
        os.environ[_OWNER] = str(os.getpid())


def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return
    folder = Path(os.environ.pop(_FOLDER))
    os.environ.pop(_OWNER)
    for record in folder.glob("*.pid"):
        _end(int(record.read_text()))
    shutil.rmtree(folder, ignore_errors=True)


def _end(pid: int) -> None:
    """Ask a keeper to end, and wait for it. It may be the child of a worker that is gone."""
    try:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and Path(f"/proc/{pid}/cmdline").read_bytes():
            time.sleep(0.05)
    except (ProcessLookupError, FileNotFoundError):
        return


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    with (folder / f"{name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _service(name: str) -> dict[str, object]:
    """Where the session's server answers, after starting it if nobody has."""
    folder = Path(os.environ[_FOLDER])
    answer = folder / f"{name}.json"
    log = folder / f"{name}.keeper.log"
    with _alone(folder, name):
        if not answer.exists():
            with log.open("ab") as output:
                keeper = subprocess.Popen(
                    [sys.executable, "-m", "tests.services", name, str(folder), os.environ[_OWNER]],
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            (folder / f"{name}.pid").write_text(str(keeper.pid))
            deadline = time.monotonic() + _START_WITHIN
            while not answer.exists() and keeper.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
    if not answer.exists():
        pytest.fail(f"{name} did not start:\n{log.read_text()[-4000:]}", pytrace=False)
    described: dict[str, object] = json.loads(answer.read_text())
    if "error" in described:
        pytest.fail(f"{name} did not start: {described['error']}", pytrace=False)
    return described


@pytest.fixture(scope="session")
def kafka() -> str:
    """Bootstrap address of the session's broker. Topics are not created by themselves: choose names of your own."""
    return str(_service("kafka")["bootstrap"])


@pytest.fixture(scope="session")
def postgres() -> PostgresServer:
    """The session's PostgreSQL server, not durable. For a migrated database of your own: ``database``."""
    described = _service("postgres")
    return PostgresServer(
        dsn=str(described["dsn"]), port=int(str(described["port"])), folder=Path(str(described["folder"]))
    )


@pytest.fixture
async def database(postgres: PostgresServer) -> AsyncIterator[str]:
    """DSN of a fresh database with every migration applied: a copy of one template; dropped afterwards."""
    import asyncpg

    from store.database import connect
    from store.migrations import migrate

    folder = Path(os.environ[_FOLDER])
    name = f"test_{uuid.uuid4().hex}"
    server = await asyncpg.connect(postgres.dsn)
    try:
        with _alone(folder, "template"):
            if not (folder / "template.made").exists():
                await server.execute("DROP DATABASE IF EXISTS template_tambour WITH (FORCE)")
                await server.execute("CREATE DATABASE template_tambour")
                template = await connect(postgres.dsn_of("template_tambour"))
                await migrate(template)
                await template.close()
                (folder / "template.made").touch()
            await server.execute(f"CREATE DATABASE {name} TEMPLATE template_tambour STRATEGY FILE_COPY")
        yield postgres.dsn_of(name)
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await server.close()


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    from launcher.ports import free_ports

    return free_ports(1)[0]
