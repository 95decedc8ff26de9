"""The sandbox as a running process, one for each file of tests: its numbers misbehave once, for whoever comes first."""

import json
import select
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from publishers.base import Publisher
from tests.contract.fault_server import FaultServer, Reply, fault_server

pytest.register_assert_rewrite("tests.contract.suite", "tests.contract.gateways")

_SECONDS_TO_START = 30.0


@dataclass(frozen=True)
class Sandbox:
    """Where it listens ("host:port", "http://host:port") and where its journals are."""

    smtp: str
    http: str
    home: Path
    smpp: str = ""

    def journal(self, provider: str) -> list[dict[str, Any]]:
        """What a provider ("email", "sms", "mastodon") decided, oldest first."""
        path = self.home / "journal" / f"{provider}.jsonl"
        return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


@contextmanager
def running_sandbox(home: Path, *arguments: str) -> Iterator[Sandbox]:
    """A sandbox of its own, on free ports, until the end of the block."""
    command = [sys.executable, "-m", "sandbox", "--home", str(home), "--smtp-port", "0", "--http-port", "0"]
    with (
        (home / "stderr").open("wb") as errors,
        subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        try:
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], _SECONDS_TO_START)
            line = process.stdout.readline() if readable else b""
            assert line, f"the sandbox did not start: {(home / 'stderr').read_text()}"
            addresses = json.loads(line)
            yield Sandbox(addresses["smtp"], addresses["http"], home, addresses["smpp"])
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
async def faults() -> AsyncIterator[FaultServer]:
    """A server that misbehaves as it is told, and answers 500 until it has an application."""
    async with fault_server(lambda _: Reply(500)) as server:
        yield server


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens, and nobody else can begin to while the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, never listening: connecting is refused
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
async def publisher(peer: Any) -> AsyncIterator[Publisher[Any]]:
    """A publisher to the peer of this test (tests.contract.suite.Peer)."""
    opened = peer.open()
    yield opened
    await opened.aclose()
