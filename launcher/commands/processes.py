"""``up``, ``worker``, ``portal``, ``migrate``: the processes, together or one by one."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from launcher import logs
from launcher.environment import homes, settings_for_commands, settings_of
from launcher.faults import Fault
from launcher.ports import Ports


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(worker)
    app.command()(portal)
    app.command()(migrate)


def up() -> None:
    """Start a hub and keep it running until Ctrl-C. State is kept in the home folder (TAMBOUR_HOME).

    Kafka and PostgreSQL are embedded unless TAMBOUR_KAFKA and TAMBOUR_DATABASE (or tambour.toml) name others.
    """
    from launcher.console import say, tell
    from launcher.stack import Stack
    from launcher.supervisor import Supervisor

    async def run() -> None:
        home, _ = homes()
        stack = Stack(home, Ports.chosen(), say=say)
        async with Supervisor(home, tell=tell) as supervisor:
            await stack.start(supervisor)
            say(f"Tambour is running. Portal: http://127.0.0.1:{stack.ports.portal}/   Stop with Ctrl-C.")
            await supervisor.run()
            say("Stopping.")

    asyncio.run(run())


def worker(
    role: Annotated[str, typer.Argument(help="core, deliver-urgent, deliver-routine or deliver-bulk")],
) -> None:
    """Run one worker process, for a supervisor of your own. Ends on SIGTERM once what is in flight is recorded."""
    logs.configure()
    from streams.worker import ROLES, run

    if role not in ROLES:
        raise Fault(f"There is no role {role!r}.", f"Use one of: {', '.join(ROLES)}.")
    folder = Path(os.environ.get("TAMBOUR_HOME", ".")) / "faust" / role
    run(role, settings_of(os.environ), folder)


def portal() -> None:
    """Run the web server: tracking pages, webhooks, unsubscribe links."""
    logs.configure()
    from portal.app import run

    run(settings_of(os.environ))


def migrate() -> None:
    """Bring the database's schema up to date. Safe to repeat, and to run from several places at once."""
    from store.database import AWAY, connect
    from store.migrations import MigrationChanged
    from store.migrations import migrate as apply

    async def run() -> list[str]:
        try:
            connection = await connect(settings_for_commands().database.get_secret_value())
        except AWAY as error:
            raise Fault(
                f"The database can't be reached: {error}.", "Check TAMBOUR_DATABASE, and that it runs."
            ) from error
        try:
            return await apply(connection)
        except MigrationChanged as error:
            raise Fault(str(error)) from error
        finally:
            await connection.close()

    applied = asyncio.run(run())
    typer.echo("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")
