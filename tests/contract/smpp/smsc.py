"""SMSCs for the tests: one in this process that misbehaves at any byte, and one that isn't ours (npm smpp)."""

import asyncio
import itertools
import json
import os
import shutil
import ssl
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox import smpp_wire as wire
from tests.contract.suite import AT_MOST, Trouble

CERTIFICATE = Path(__file__).parents[1] / "smtp" / "localhost.pem"
"""Key and certificate for localhost, trusted nowhere, good until 2126."""

_REFUSALS = {Trouble.REFUSE: 0x0B, Trouble.THROTTLE: 0x58, Trouble.UNAVAILABLE: 0x08}


def absent(what: str) -> None:
    """Skip for want of a program; in CI, where it must be there, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@dataclass
class FaultSmsc:
    """Takes any account but passwords "wrong" and "expired"; ``next`` is used up by one submit_sm each.

    A number in ``next`` is a command_status to answer, bytes are written as they are, None takes the message.
    """

    port: int = 0
    next: deque[Trouble | int | bytes | None] = field(default_factory=deque)
    submits: list[wire.Submit] = field(default_factory=list)
    taken: list[wire.Submit] = field(default_factory=list)
    requests: list[wire.Pdu] = field(default_factory=list)
    answers: list[wire.Pdu] = field(default_factory=list)
    receivers: list[asyncio.StreamWriter] = field(default_factory=list)
    binds: int = 0
    bind_status: int = 0
    silent: bool = False
    closed: int = 0
    most_at_once: int = 0
    hold: asyncio.Event | None = None
    hold_binds: asyncio.Event | None = None
    states: dict[str, int] = field(default_factory=dict)
    identity: Callable[[int], str] = "id-{}".format
    deaf: bool = False
    _at_once: int = 0
    _sequence: Any = field(default_factory=lambda: itertools.count(100))
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def until(self, reached: Callable[[], object]) -> None:
        """Return once this holds."""
        async with asyncio.timeout(AT_MOST), self._news:
            await self._news.wait_for(lambda: bool(reached()))

    async def tell(self) -> None:
        """Something happened."""
        async with self._news:
            self._news.notify_all()

    def commands(self) -> list[int]:
        """What was asked, in order."""
        return [pdu.command for pdu in self.requests]

    async def deliver(self, body: bytes, command: int = wire.DELIVER_SM) -> wire.Pdu:
        """Bring something to the last receiver, and return its acknowledgement."""
        sequence = next(self._sequence)
        self.receivers[-1].write(wire.pdu(command, sequence, body=body))
        await self.until(lambda: any(answer.sequence == sequence for answer in self.answers))
        return next(answer for answer in self.answers if answer.sequence == sequence)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        try:
            while (pdu := await wire.read(reader)) is not None:
                if not await self._take(pdu, reader, writer):
                    break
        except ValueError:
            await reader.read()  # no SMPP (a TLS handshake): nothing is said until the client leaves
        finally:
            writer.close()
            self.closed += 1
            await self.tell()

    async def _take(self, pdu: wire.Pdu, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        if pdu.command & wire.RESPONSE:
            self.answers.append(pdu)
            await self.tell()
            return True
        self.requests.append(pdu)
        goes_on = True
        if pdu.command in wire.BINDS:
            await self.tell()
            if self.hold_binds is not None:
                await self._first(reader, self.hold_binds)
            goes_on = self._bind(pdu, writer)
        elif pdu.command == wire.SUBMIT_SM:
            goes_on = await self._submit(pdu, writer)
        elif pdu.command == wire.QUERY_SM:
            identity = wire.Fields(pdu.body).text()
            state = self.states.get(identity)
            body = wire.text(identity) + wire.text("2611241203000000+"[:16]) + bytes([state or 0, 0])
            writer.write(
                wire.pdu(pdu.command | wire.RESPONSE, pdu.sequence, 0 if state else 0x67, body if state else b"")
            )
        elif self.deaf:
            return True
        elif not (self.silent and pdu.command == wire.ENQUIRE_LINK):
            writer.write(wire.pdu(pdu.command | wire.RESPONSE, pdu.sequence))
        await self.tell()
        return goes_on and pdu.command != wire.UNBIND

    async def _first(self, reader: asyncio.StreamReader, event: asyncio.Event) -> None:
        """Until the event, or the client leaves."""
        tasks = [asyncio.create_task(event.wait()), asyncio.create_task(reader.read(1))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _bind(self, pdu: wire.Pdu, writer: asyncio.StreamWriter) -> bool:
        fields = wire.Fields(pdu.body)
        _, password = fields.text(), fields.text()
        status = self.bind_status or {"wrong": 0x0E, "expired": 0x0D}.get(password, 0)
        writer.write(wire.pdu(pdu.command | wire.RESPONSE, pdu.sequence, status, b"" if status else b"smsc\0"))
        if not status:
            self.binds += 1
            if pdu.command == wire.BIND_RECEIVER:
                self.receivers.append(writer)
        return not status

    async def _submit(self, pdu: wire.Pdu, writer: asyncio.StreamWriter) -> bool:
        asked = wire.submit(pdu.body)
        self.submits.append(asked)
        told = self.next.popleft() if self.next else None
        if self.hold is not None:
            self._spawn(self._later(pdu, writer))
            return True
        status = _REFUSALS.get(told) if isinstance(told, Trouble) else told if isinstance(told, int) else None
        if status is not None:
            writer.write(wire.pdu(pdu.command | wire.RESPONSE, pdu.sequence, status))
            return True
        if told is Trouble.HANG:
            return True
        if isinstance(told, bytes):
            writer.write(told)
            return True
        if told is Trouble.GIBBERISH:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n<h1>Welcome to the hotel</h1>")
            return True
        self.taken.append(asked)
        if told is Trouble.TAKE_AND_CUT:
            return False
        reply = self.reply(pdu, len(self.taken))
        writer.write(reply[:-3] if told is Trouble.HALF_A_REPLY else reply)
        return told not in (Trouble.HALF_A_REPLY, Trouble.ANSWER_AND_CLOSE)

    def reply(self, pdu: wire.Pdu, number: int) -> bytes:
        """The answer that takes a message."""
        return wire.pdu(pdu.command | wire.RESPONSE, pdu.sequence, body=wire.text(self.identity(number)))

    async def _later(self, pdu: wire.Pdu, writer: asyncio.StreamWriter) -> None:
        assert self.hold is not None
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await self.tell()
        await self.hold.wait()
        self._at_once -= 1
        self.taken.append(wire.submit(pdu.body))
        writer.write(self.reply(pdu, len(self.taken)))

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@asynccontextmanager
async def fault_smsc(*, port: int = 0, tls: bool = False) -> AsyncIterator[FaultSmsc]:
    """A running one; closed, with its connections, at the end."""
    smsc = FaultSmsc()
    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(smsc.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
    listening = await asyncio.start_server(connected, "127.0.0.1", port, backlog=512, ssl=context)
    smsc.port = listening.sockets[0].getsockname()[1]
    try:
        yield smsc
    finally:
        listening.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


@pytest.fixture(scope="session")
def npm_smpp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which npm's smpp is installed, with our script."""
    for name in ("node", "npm"):
        if shutil.which(name) is None:
            absent(f"{name} is absent: install Node.js to test against npm's smpp")
    home = tmp_path_factory.mktemp("smsc")
    shutil.copy(Path(__file__).with_name("smsc.js"), home)
    command = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "smpp@0.5.1"]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=120)
    if done.returncode:
        absent(f"npm can't install smpp: {done.stderr[-400:]}")
    return home


@dataclass
class NpmSmsc:
    """npm's smpp as a process. ``said`` is what it told so far."""

    process: asyncio.subprocess.Process
    port: int = 0
    said: list[dict[str, Any]] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def listen(self) -> None:
        """Read what it says, to its end."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            async with self._news:
                self.said.append(json.loads(line))
                self._news.notify_all()

    async def until(self, reached: Callable[[], object]) -> None:
        """Return once this holds of ``said``."""
        async with asyncio.timeout(AT_MOST), self._news:
            await self._news.wait_for(lambda: bool(reached()))

    async def tell(self, **what: Any) -> None:
        """Tell it something, and return once it has read that."""
        assert self.process.stdin is not None
        before = len(self.all("told"))
        self.process.stdin.write(json.dumps(what).encode() + b"\n")
        await self.until(lambda: len(self.all("told")) > before)

    def all(self, name: str) -> list[dict[str, Any]]:
        """Everything of that kind that it said."""
        return [one for one in self.said if name in one]


@asynccontextmanager
async def running_npm_smsc(home: Path) -> AsyncIterator[NpmSmsc]:
    """npm's smpp, until the end of the block."""
    process = await asyncio.create_subprocess_exec(
        "node", "smsc.js", cwd=home, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    smsc = NpmSmsc(process)
    listening = asyncio.create_task(smsc.listen())
    try:
        await smsc.until(lambda: smsc.all("port"))
        smsc.port = smsc.all("port")[0]["port"]
        yield smsc
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await listening
