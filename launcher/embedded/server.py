"""What embedded servers have in common: one child process, started until it answers, stopped or killed."""

import asyncio
from abc import ABC, abstractmethod

from launcher import programs
from launcher.programs import Program


class Server(ABC):
    """A server of ours outside a Supervisor. Under one, only its ``program()`` is used."""

    _process: asyncio.subprocess.Process | None = None

    @abstractmethod
    def program(self) -> Program:
        """The server as a child for a Supervisor."""

    @abstractmethod
    def prepare(self) -> None:
        """Make what it needs to start. Blocking; repeatable."""

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Start, recover if need be, and wait until it answers. Raises Fault or NotReady; leaves no process then."""
        await asyncio.to_thread(self.prepare)
        program = self.program()
        self._process = await programs.spawn(program)
        try:
            await programs.until_ready(program, self._process)
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """Orderly end; past its deadline, kill."""
        if self._process is not None:
            await programs.stop(self.program(), self._process)

    async def kill(self) -> None:
        """SIGKILL, as a crash would, and wait until it is gone."""
        if self._process is not None:
            programs.kill(self._process)
            await self._process.wait()
