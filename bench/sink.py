"""Postfix's mail generator and mail sink: what takes the hub's mails, and the peer it is measured against."""

import asyncio
import os
import resource
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.usage import peak_mb
from launcher.faults import Fault
from launcher.home import Home
from launcher.ports import free_ports
from launcher.programs import Program

SESSIONS = 10
"""Connections at a time, of the hub's worker as of the peer."""
_BACKLOG = 200


@dataclass(frozen=True, slots=True)
class Sink:
    """A mail server on loopback that takes everything and keeps nothing. Find it before anything is started."""

    program_path: Path
    port: int

    @classmethod
    def find(cls) -> "Sink":
        """Raises Fault where Postfix's smtp-sink is absent."""
        return cls(_find("smtp-sink"), free_ports(1)[0])

    def program(self, home: Home) -> Program:
        """The sink as a child for a Supervisor. As root it must be told whom to become."""
        user = ("-u", "nobody") if os.geteuid() == 0 else ()
        return Program(
            name="smtp-sink",
            argv=(str(self.program_path), *user, f"127.0.0.1:{self.port}", str(_BACKLOG)),
            log=home.logs / "smtp-sink.log",
            ready=self._greets,
            ports={self.port: "another run"},
        )

    def settings(self) -> Mapping[str, str]:
        """The variables that make it the hub's one relay."""
        relay = "TAMBOUR_CHANNELS__EMAIL__RELAYS__MAIN__"
        return {
            f"{relay}HOST": "127.0.0.1",
            f"{relay}PORT": str(self.port),
            f"{relay}TLS": "none",
            f"{relay}CONNECTIONS": str(SESSIONS),
            "TAMBOUR_CHANNELS__EMAIL__LOCAL_HOSTNAME": "localhost",
        }

    async def _greets(self) -> None:
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self.port), 2)
        try:
            if not await asyncio.wait_for(reader.read(3), 2):
                raise ConnectionError("smtp-sink says nothing")
        finally:
            writer.close()


@dataclass(frozen=True, slots=True)
class Sent:
    """How a generator did: mails a second, its processor seconds and its peak of memory in MB."""

    per_s: float
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Source:
    """smtp-source, Postfix's load generator: the peer."""

    program_path: Path

    @classmethod
    def find(cls) -> "Source":
        """Raises Fault where it is absent."""
        return cls(_find("smtp-source"))

    async def run(self, port: int, mails: int, size: int) -> Sent:
        """So many mails of ``size`` bytes over SESSIONS connections, each kept for all its mails. Raises Fault."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            str(self.program_path),
            *("-d", "-s", str(SESSIONS), "-m", str(mails), "-l", str(size)),
            *("-f", "retour@essai.example", "-t", "abonne@boite.example", f"127.0.0.1:{port}"),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        ending, peak = asyncio.ensure_future(process.communicate()), 0.0
        while not ending.done():
            peak = max(peak, peak_mb(process.pid))
            await asyncio.wait({ending}, timeout=0.1)
        _, said = ending.result()
        seconds = time.monotonic() - began
        if process.returncode:
            raise Fault(f"smtp-source failed: {said.decode(errors='replace').strip()}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Sent(mails / seconds, round(cpu, 2), round(peak, 1))


def _find(name: str) -> Path:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Fault(
            f"{name} is not on this machine: the bench sends to Postfix's smtp-sink, and beside its smtp-source.",
            "Install Postfix (Debian: apt-get install postfix; nothing of it needs to run), or put it on PATH.",
        )
    return Path(found)
