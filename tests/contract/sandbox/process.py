"""The sandbox as a process of its own that a test may kill and start again on the same home folder."""

import asyncio
import json
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SECONDS_TO_START = 30.0


class SandboxProcess:
    """``smtp_port``, ``http`` and ``home`` of a running one."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
        self._errors = (home.parent / f"{home.name}.stderr").open("ab")
        command = [sys.executable, "-m", "sandbox", "--home", str(home), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._errors)
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], _SECONDS_TO_START)
        line = self.process.stdout.readline() if readable else b""
        assert line, f"the sandbox did not start: {Path(self._errors.name).read_text()}"
        addresses = json.loads(line)
        self.smtp_port = int(addresses["smtp"].rpartition(":")[2])
        self.http = str(addresses["http"])

    def journal(self, provider: str) -> list[dict[str, Any]]:
        """The lines of a provider's journal, oldest first."""
        path = self.home / "journal" / f"{provider}.jsonl"
        return [json.loads(line) for line in path.read_bytes().splitlines()]

    def kill(self) -> None:
        """As the power cut of a process: SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._errors.close()
        return status


async def until(condition: Callable[[], bool], within: float = 10.0) -> None:
    """Wait for a condition; fails at the deadline."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not so within {within} s"
        await asyncio.sleep(0.01)
