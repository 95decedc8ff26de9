"""PostgreSQL's own programs: found where they are new enough, run with the password out of everybody's sight."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from launcher.faults import Fault

_VERSION = re.compile(r"(\d+)(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Tools:
    """A folder with pg_dump, pg_restore and psql of one version."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        """18, of "18.6"."""
        return int(self.version.split(".")[0])

    def command(self, name: str, *arguments: str) -> tuple[str, ...]:
        """A command line of one of them."""
        return (str(self.folder / name), *arguments)


def find_tools(at_least: int) -> Tools:
    """Those of the embedded PostgreSQL, or of PATH, that understand a server of that major version. Raises Fault."""
    found: list[Tools] = []
    for folder in _folders():
        tools = _asked(folder)
        if tools is not None and tools.major >= at_least:
            return tools
        found += [tools] if tools is not None else []
    there = ", ".join(f"{one.version} in {one.folder}" for one in found) or "none"
    raise Fault(
        f"pg_dump, pg_restore and psql of PostgreSQL {at_least} or newer are needed; found: {there}.",
        f"Install PostgreSQL's client programs (Debian: postgresql-client-{at_least}), or start with ./tambour.",
    )


def _folders() -> list[Path]:
    from launcher.embedded.postgres import programs_folder

    folders = []
    try:
        folders.append(programs_folder())
    except Fault:
        folders.clear()  # the container's image has none: those of PATH then
    on_path = shutil.which("pg_dump")
    # Debian's is a chooser, which takes the version of a cluster of its own: the real ones stand here
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_number, reverse=True)
    return [*folders, Path(on_path).parent] if on_path else folders


def _number(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdecimal() else 0


def _asked(folder: Path) -> Tools | None:
    if not all((folder / name).exists() for name in ("pg_dump", "pg_restore", "psql")):
        return None
    try:
        said = subprocess.run([folder / "pg_dump", "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = _VERSION.search(said)
    return Tools(folder, version[0]) if version else None


def address(dsn: str) -> tuple[str, dict[str, str]]:
    """The address for a command line, which everybody on the machine can read, and the variables with its password."""
    place = urlsplit(dsn)
    environ = {**os.environ, "PGCONNECT_TIMEOUT": "10"}
    user, _, host = place.netloc.rpartition("@")
    name, colon, password = user.partition(":")
    query = parse_qsl(place.query, keep_blank_values=True)
    if colon:
        environ["PGPASSWORD"] = unquote(password)
    for key, value in query:
        if key == "password":
            environ["PGPASSWORD"] = value
    kept = urlencode([(key, value) for key, value in query if key != "password"])
    netloc = f"{name}@{host}" if user else host
    return f"{place.scheme}://{netloc}{place.path}{'?' if kept else ''}{kept}", environ  # the host may be empty


async def run(command: Sequence[str], environ: dict[str, str], doing: str) -> None:
    """Run one to its end. Raises Fault with what it said when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise failed(doing, said)


def failed(doing: str, said: bytes) -> Fault:
    """What is told when one of them fails, with its own last words."""
    lines = said.decode(errors="replace").strip().splitlines()[-8:]
    return Fault(f"{doing} failed:\n" + "\n".join(f"  {line}" for line in lines))
