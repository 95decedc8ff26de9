"""Commands as a user runs them, against a hub's own database with the demo's commune in it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from launcher.commands import (
    announce,
    authority,
    backup,
    channels,
    deadletters,
    decisions,
    doctor,
    emit,
    holds,
    optouts,
    pictures,
    purge,
    rules,
    track,
)
from launcher.faults import Fault
from launcher.seed import seed
from store.database import Connection, connect

app = typer.Typer(pretty_exceptions_enable=False)
for module in (
    *(announce, authority, backup, channels, deadletters, decisions, doctor, emit),
    *(holds, optouts, pictures, purge, rules, track),
):
    module.register(app)


@dataclass(frozen=True)
class Ran:
    """How a command went."""

    code: int
    out: str
    err: str
    fault: Fault | None

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Awaitable[Ran]]


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Connection]:
    """A look into the database that the commands work on: Valmerande with 40 subscribers."""
    await seed(database, 40)
    opened = await connect(database)
    yield opened
    await opened.close()


@pytest.fixture
def command(connection: Connection, database: str, tmp_path: Path) -> Command:
    """Runs a command line; its exit code is that of ``./tambour`` (launcher/__main__.py)."""
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    environ = {
        "TAMBOUR_HOME": str(tmp_path / "home"),
        "TAMBOUR_SETTINGS": str(empty),
        "TAMBOUR_DATABASE": database,
        "TAMBOUR_KAFKA": "127.0.0.1:9",
        "TAMBOUR_LINKS__PUBLIC_URL": "https://annonces.valmerande.example/",
        "TAMBOUR_LINKS__SECRET": "a secret of the tests",
        "TAMBOUR_LINKS__BOUNCE_DOMAIN": "bounces.valmerande.example",
    }

    async def run(*arguments: object, **variables: str) -> Ran:
        runner = CliRunner(env=environ | variables)
        result = await asyncio.to_thread(runner.invoke, app, [str(one) for one in arguments])
        if result.exception and not isinstance(result.exception, Fault | SystemExit):
            raise result.exception
        fault = result.exception if isinstance(result.exception, Fault) else None
        return Ran(result.exit_code, result.stdout, result.stderr, fault)

    return run
