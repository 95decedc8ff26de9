"""Where the database is whose state is kept: the town's own, or the embedded one, started for as long as it takes."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from launcher.embedded.postgres import Postgres
from launcher.environment import homes, named_elsewhere, settings_for_commands
from launcher.faults import Fault
from launcher.home import Home
from launcher.ports import Ports
from launcher.supervisor import AlreadyRunning, Supervisor


@asynccontextmanager
async def database_address(mapping: Mapping[str, str], *, alone: bool) -> AsyncIterator[str]:
    """The address of the hub's database. ``alone``: nothing of ours may run on it (a restore).

    Raises Fault: no database yet, or ``./tambour up`` runs where nobody else may.
    """
    _, elsewhere = named_elsewhere(mapping)
    if elsewhere:
        yield _named(mapping)
        return
    home, _ = homes(mapping)
    server = Postgres(home.postgres, Ports.chosen(mapping).postgres)
    if not alone and not server.data.exists():
        raise Fault(
            f"There is no database in {home.folder}.",
            "Name yours in TAMBOUR_DATABASE, or the home folder in TAMBOUR_HOME.",
        )
    try:
        async with Supervisor(home) as supervisor:
            await supervisor.start(server.program())
            yield server.dsn
    except AlreadyRunning as running:
        if alone:
            raise Fault(running.what, "Stop it first: a restore starts the database by itself.") from running
        yield _running(home)


def _named(mapping: Mapping[str, str]) -> str:
    """The town's own. A machine that is to be restored may lack every other setting yet."""
    if address := mapping.get("TAMBOUR_DATABASE"):
        return address
    return settings_for_commands(mapping).database.get_secret_value()


def _running(home: Home) -> str:
    """The address that the running ``up`` keeps for its processes."""
    try:
        return (home.folder / "secrets" / "database").read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Fault(f"Tambour is just starting on {home.folder}.", "Try again in a moment.") from error
