"""An HTTP server in this process that can misbehave at any byte, as no well-written server does."""

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.contract.peer import AT_MOST, Trouble


@dataclass(frozen=True)
class Request:
    """One request, read whole; header names in small letters."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        """The content, read as JSON."""
        return json.loads(self.content)


@dataclass(frozen=True)
class Reply:
    """What to answer."""

    status: int
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def wire(self) -> bytes:
        """The reply as bytes; content other than bytes goes as JSON."""
        content = self.content if isinstance(self.content, bytes) else json.dumps(self.content).encode()
        lines = [f"HTTP/1.1 {self.status} Said", f"Content-Length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join((*lines, "", "")).encode() + content


Application = Callable[[Request], Reply]


@dataclass
class FaultServer:
    """Answers as the application does, or as told by ``next``: a trouble or a reply, each used once.

    ``meets`` says of a request whether it is one that troubles are meant for: a message, and not the log-in before.
    """

    application: Application
    url: str = ""
    meets: Callable[[Request], bool] = lambda _: True
    next: deque[Trouble | Reply | bytes] = field(default_factory=deque)
    requests: list[Request] = field(default_factory=list)
    closed: int = 0
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def reached(self, count: int = 1) -> None:
        """Return once so many requests that meet troubles have been read."""
        await self.until(lambda: sum(map(self.meets, self.requests)) >= count)

    async def until(self, reached: Callable[[], bool]) -> None:
        """Return once this holds of ``requests`` or ``closed`` (connections that the server has closed)."""
        async with asyncio.timeout(AT_MOST), self._news:
            await self._news.wait_for(reached)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        try:
            while request := await _read(reader):
                async with self._news:
                    self.requests.append(request)
                    self._news.notify_all()
                if not await self._answer(request, reader, writer):
                    break
        except ConnectionError:
            return  # the client left: what it does then is the test's matter
        finally:
            writer.close()
            async with self._news:
                self.closed += 1
                self._news.notify_all()

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        told = self.next.popleft() if self.next and self.meets(request) else None
        if told is Trouble.HANG:
            await reader.read()  # nothing more is said until the client leaves
            return False
        if isinstance(told, bytes):
            writer.write(told)
            await writer.drain()
            return False
        reply = told if isinstance(told, Reply) else self.application(request)
        if told is Trouble.TAKE_AND_CUT:
            return False
        if told is Trouble.GIBBERISH:
            reply = Reply(200, b"<html>Welcome to the hotel's network</html>")
        if told is Trouble.HALF_A_REPLY:
            writer.write(reply.wire[:-5])
            await writer.drain()
            return False
        writer.write(reply.wire)
        await writer.drain()
        return told is not Trouble.ANSWER_AND_CLOSE


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    content = await reader.readexactly(int(headers.get("content-length", "0")))
    method, target, _ = first.split(" ")
    split = urlsplit(target)
    return Request(method, split.path, parse_qs(split.query), headers, content)


@asynccontextmanager
async def fault_server(application: Application, tls: ssl.SSLContext | None = None) -> AsyncIterator[FaultServer]:
    """A running server, with TLS where asked; closed, with its connections, at the end."""
    server = FaultServer(application)
    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(server.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=512, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield server
    finally:
        listening.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
