"""A worker process with one agent of the no-loss loop, whose handler does what a test says.

It appends a line for every message that it has dealt with. Run: ``python -m tests.integration.streams.looping JSON``.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.conftest import ROOT


@dataclass(frozen=True)
class Loop:
    """``die_at``: the message at which the process kills itself, in the middle of its batch. ``fails``: a message
    on which the handler raises ValueError. ``away``: how many times the database is away, before any is dealt with.
    """

    kafka: str
    group: str
    topic: str
    folder: str
    die_at: str | None = None
    fails: str | None = None
    away: int = 0

    @property
    def dealt_with(self) -> list[str]:
        """Messages dealt with, oldest first, by whichever process."""
        path = Path(self.folder) / "dealt-with"
        return path.read_text().split() if path.exists() else []

    @property
    def calls(self) -> list[list[str]]:
        """The messages of each call of the handler."""
        path = Path(self.folder) / "calls"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


@contextmanager
def running(loop: Loop) -> Iterator["subprocess.Popen[bytes]"]:
    """The worker, until it ends or the block does."""
    log = Path(loop.folder) / "log"
    with (
        log.open("ab") as output,
        subprocess.Popen(
            [sys.executable, "-m", "tests.integration.streams.looping", json.dumps(asdict(loop))],
            cwd=ROOT,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text + "\n")


def _main(asked: Loop) -> None:
    from hub.settings import KafkaSettings
    from streams.app import make_app
    from streams.loop import no_loss_agent
    from streams.worker import _Worker

    folder = Path(asked.folder)
    away = asked.away

    async def handle(events: Sequence[Any]) -> int:
        nonlocal away
        values = [event.message.value.decode() for event in events]
        _append(folder / "calls", " ".join(values))
        if away:
            away -= 1
            raise ConnectionRefusedError("the database is away")
        for value in values:
            await asyncio.sleep(0)
            if value == asked.die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if value == asked.fails:
                raise ValueError(value)
            _append(folder / "dealt-with", value)
        return 0

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = make_app(asked.group, KafkaSettings(bootstrap=asked.kafka), folder / "faust")
    app.conf.broker_session_timeout = 6  # the least that a broker allows: a killed process is given up sooner
    no_loss_agent(app, "agent", [asked.topic], handle, take=20, within_s=0.05)
    worker = _Worker(app, loop=loop, redirect_stdouts=False, override_logging=False, quiet=True)
    app.finalize()
    worker.execute_from_commandline()


if __name__ == "__main__":
    _main(Loop(**json.loads(sys.argv[1])))
