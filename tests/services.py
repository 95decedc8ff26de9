"""Keeps one embedded server alive for a whole test session, whichever xdist worker asked for it first.

``python -m tests.services kafka|postgres FOLDER SESSION_PID`` writes ``FOLDER/<name>.json`` once it answers (or
``{"error": …}``), and stops the server on SIGTERM, or when the session's process is gone, however it went.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import psutil

from launcher.embedded.kafka import Kafka
from launcher.embedded.postgres import Postgres
from launcher.home import find_home
from launcher.ports import free_ports

# The shared servers hold nothing that must outlive the machine; tests of durability start their own.
_QUICK_KAFKA = {"log.flush.interval.messages": str(2**63 - 1)}
_QUICK_POSTGRES = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"}


def _server(name: str, folder: Path) -> Kafka | Postgres:
    if name == "kafka":
        port, controller = free_ports(2)
        return Kafka(folder / name, port, controller_port=controller, jars=find_home().jars, settings=_QUICK_KAFKA)
    return Postgres(folder / name, free_ports(1)[0], settings=_QUICK_POSTGRES)


def _describe(server: Kafka | Postgres) -> dict[str, object]:
    if isinstance(server, Kafka):
        return {"pid": os.getpid(), "bootstrap": server.bootstrap}
    return {"pid": os.getpid(), "dsn": server.dsn, "folder": str(server.folder), "port": server.port}


def _publish(path: Path, content: dict[str, object]) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(content), encoding="utf-8")
    beside.replace(path)


async def keep(name: str, folder: Path, session: int) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    owner = psutil.Process(session)
    server = _server(name, folder)
    try:
        await server.start()
    except BaseException as error:
        _publish(folder / f"{name}.json", {"error": f"{type(error).__name__}: {error}"})
        raise
    try:
        _publish(folder / f"{name}.json", _describe(server))
        while owner.is_running() and not stopped.is_set():
            try:
                await asyncio.wait_for(stopped.wait(), 0.5)
            except TimeoutError:
                continue
    finally:
        # the folder goes with the session: nothing in it is worth an orderly end
        await server.kill()


if __name__ == "__main__":
    asyncio.run(keep(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
