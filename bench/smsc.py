"""npm's smpp as an SMSC: what takes the hub's SMS, and tells what became of each (bench/smsc.js)."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher.faults import Fault
from launcher.home import Home, make_folder
from launcher.ports import free_ports
from launcher.programs import Program

PACKAGE = "smpp@0.5.1"
GATEWAY = "main"
_SCRIPT = Path(__file__).with_name("smsc.js")
_FETCHED_WITHIN_S = 120


@dataclass(frozen=True, slots=True)
class Counts:
    """What the SMSC counted since it began. ``refused`` receipts are told again."""

    submits: int
    receipts: int
    acknowledged: int
    refused: int
    receivers: int


@dataclass(frozen=True, slots=True)
class Smsc:
    """An SMSC on loopback that takes everything. Find it before anything is started."""

    node: str
    npm: str
    port: int
    counts_port: int

    @classmethod
    def find(cls) -> "Smsc":
        """Raises Fault where node or npm is absent."""
        return cls(_find("node"), _find("npm"), *free_ports(2))

    def program(self, home: Home) -> Program:
        """The SMSC as a child for a Supervisor; before its first start npm fetches the package."""
        folder = home.folder / "smsc"
        return Program(
            name="smsc",
            argv=(self.node, "smsc.js", str(self.port), str(self.counts_port)),
            cwd=folder,
            log=home.logs / "smsc.log",
            prepare=lambda: self._fetch(make_folder(folder)),
            ready=self._answers,
            ports={self.port: "another run", self.counts_port: "another run"},
        )

    def settings(self, window: int) -> Mapping[str, str]:
        """The variables that make it the hub's one gateway, with so many messages awaiting its answer at a time."""
        gateway = f"TAMBOUR_CHANNELS__SMS__GATEWAYS__{GATEWAY.upper()}__"
        return {
            f"{gateway}KIND": "smpp",
            f"{gateway}HOST": "127.0.0.1",
            f"{gateway}PORT": str(self.port),
            f"{gateway}SYSTEM_ID": "hub",
            f"{gateway}PASSWORD": "hubpw",
            f"{gateway}WINDOW": str(window),
        }

    async def counted(self) -> Counts:
        """What it has counted so far."""
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self.counts_port), 2)
        try:
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), 2)
        finally:
            writer.close()
        return Counts(**json.loads(answer.partition(b"\r\n\r\n")[2]))

    async def _answers(self) -> None:
        await self.counted()

    def _fetch(self, folder: Path) -> None:
        if (folder / "node_modules" / "smpp").exists():
            return
        shutil.copy(_SCRIPT, folder)
        command = [self.npm, "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_FETCHED_WITHIN_S)
        if done.returncode:
            raise Fault(f"npm can't install {PACKAGE}: {done.stderr[-400:].strip()}", "Look at npm's settings.")


def _find(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Fault(
            f"{name} is not on this machine: the bench sends to npm's smpp server.",
            "Install Node.js with npm (Debian: apt-get install nodejs npm), or put it on PATH.",
        )
    return found
