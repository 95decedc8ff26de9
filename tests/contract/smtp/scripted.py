"""A mail server that misbehaves on order: strict in the protocol, and told by a script what to do at each step."""

import asyncio
import base64
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Reply:
    """Say these bytes (without the last CRLF) instead of the usual."""

    text: bytes


@dataclass(frozen=True)
class Say421:
    """Say 421 and close, as a server does that is stopped or has had enough."""


@dataclass(frozen=True)
class Drop:
    """Close without a word, or after the beginning of one (``half``)."""

    half: bytes = b""


@dataclass(frozen=True)
class TakeAndDrop:
    """At the end of the content: take the mail, and close without a word."""


@dataclass(frozen=True)
class ThenClose:
    """Answer as usual, and close."""


@dataclass(frozen=True)
class Mute:
    """Never answer again."""


@dataclass(frozen=True)
class Lenient:
    """Answer DATA with 354 although no recipient was taken (RFC 2920 §3.1)."""


Act = Reply | Say421 | Drop | TakeAndDrop | ThenClose | Mute | Lenient
Script = Callable[[int, str, str], Act | None]
"""(index of the mail in its connection, verb, argument) → what to do, None for the usual.

Verbs beyond SMTP's: GREETING; BODY when content begins; "." at its end.
"""


def usual(index: int, verb: str, argument: str) -> Act | None:
    """The script of a server that behaves."""
    return None


def at(index: int, verb: str, act: Act) -> Script:
    """One misbehaviour, at that step of that mail of every connection."""
    return lambda i, v, _: act if (i, v) == (index, verb) else None


@dataclass
class ScriptedServer:
    """``async with`` it. ``received`` are (recipient, content as it came, still dot-stuffed).

    ``chunk`` cuts replies into pieces of random sizes up to it; ``violations`` is what the client did wrong.
    """

    script: Script = usual
    chunk: int = 0
    pipelining: bool = True
    extensions: tuple[str, ...] = ("SIZE 10240000", "8BITMIME")
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    password: str | None = None
    seed: int = 0
    received: list[tuple[str, bytes]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    connections: int = 0
    open_now: int = 0
    most_open: int = 0
    quits: int = 0
    port: int = 0

    async def __aenter__(self) -> Self:
        self._random = random.Random(self.seed)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        context = self.tls if self.implicit_tls else None
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut_all(self) -> None:
        """Close every connection from this side, as a server does with idle ones."""
        for writer in list(self._writers):
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.connections += 1
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            await _Session(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the client left: what tests look at is what it did before
        finally:
            self.open_now -= 1
            self._writers.discard(writer)
            writer.close()


class _Over(Exception):
    """The session ends here."""


class _Session:
    def __init__(self, server: ScriptedServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server, self.reader, self.writer = server, reader, writer
        self.out = bytearray()
        self.index = -1
        self.sender = False
        self.recipient: str | None = None
        self.secure = server.implicit_tls

    async def run(self) -> None:
        try:
            if not await self.act("GREETING"):
                await self.say(b"220 scripted ESMTP")
            while line := await self.reader.readline():
                if not line.endswith(b"\r\n"):
                    return
                await self.command(line[:-2])
        except _Over:
            pass

    async def say(self, text: bytes) -> None:
        self.out += text + b"\r\n"
        if not self.more_waits():  # like Postfix: answers are held back while commands wait to be read
            await self.flush()

    def more_waits(self) -> bool:
        return bool(self.reader._buffer)  # type: ignore[attr-defined]

    async def flush(self) -> None:
        data, self.out = bytes(self.out), bytearray()
        while data:
            size = self.server._random.randint(1, self.server.chunk) if self.server.chunk else len(data)
            self.writer.write(data[:size])
            data = data[size:]
            await self.writer.drain()
            if data:
                await asyncio.sleep(0)

    async def act(self, verb: str, argument: str = "") -> Act | None:
        """Ask the script; does what ends the session, returns what the caller must do."""
        act = self.server.script(self.index, verb, argument)
        match act:
            case Drop():
                self.out += act.half
                await self.flush()
                if verb == "BODY":
                    await self.reader.readexactly(20)
                if act.half:
                    self.writer.close()
                    await self.writer.wait_closed()
                else:
                    self.writer.transport.abort()
                raise _Over
            case Mute():
                await self.flush()
                await asyncio.Event().wait()
            case Say421():
                self.out += b"421 4.3.2 Service shutting down\r\n"
                await self.flush()
                raise _Over
            case Reply() if verb in ("GREETING", "EHLO", "AUTH"):
                await self.say(act.text)
        return act

    async def command(self, line: bytes) -> None:
        verb, _, argument = line.decode().partition(" ")
        verb = verb.upper()
        self.server.commands.append(line.decode())
        if verb == "MAIL":
            self.index += 1
        act = await self.act(verb, argument)
        match verb:
            case "EHLO":
                if not act:
                    await self.ehlo()
            case "STARTTLS" if self.server.tls:
                await self.say(b"220 go ahead")
                await self.writer.start_tls(self.server.tls)
                self.secure = True
            case "AUTH":
                if not act:
                    await self.auth(argument)
            case "RSET" | "NOOP":
                self.sender, self.recipient = False, None
                await self.say(act.text if isinstance(act, Reply) else b"250-2.0.0 Flushed\r\n250 2.0.0 Ok")
            case "QUIT":
                self.server.quits += 1
                await self.say(b"221 2.0.0 Bye")
                await self.flush()
                raise _Over
            case "MAIL":
                await self.mail(act)
            case "RCPT":
                await self.rcpt(argument, act)
            case "DATA":
                await self.data(act)
            case _:
                self.server.violations.append(line.decode())
                await self.say(b"500 5.5.2 What?")

    async def ehlo(self) -> None:
        lines = ["scripted", *self.server.extensions]
        if self.server.pipelining:
            lines.append("PIPELINING")
        if self.server.tls and not self.secure:
            lines.append("STARTTLS")
        if self.server.password is not None:
            lines.append("AUTH PLAIN")
        marks = ["250-"] * (len(lines) - 1) + ["250 "]
        await self.say("\r\n".join(mark + line for mark, line in zip(marks, lines, strict=True)).encode())

    async def auth(self, argument: str) -> None:
        credentials = base64.b64decode(argument.removeprefix("PLAIN ")).decode().split("\0")
        good = credentials[-1] == self.server.password
        await self.say(b"235 2.7.0 Welcome" if good else b"535 5.7.8 Authentication credentials invalid")

    async def mail(self, act: Act | None) -> None:
        if self.sender:
            self.server.violations.append("nested MAIL")
        if self.more_waits() and not self.server.pipelining:
            self.server.violations.append("pipelined without being asked to")
        text = act.text if isinstance(act, Reply) else b"250 2.1.0 Ok"
        self.sender, self.recipient = text.startswith(b"250"), None
        await self.say(text)

    async def rcpt(self, argument: str, act: Act | None) -> None:
        text = act.text if isinstance(act, Reply) else b"250 2.1.5 Ok"
        if not self.sender:
            text = b"503 5.5.1 MAIL first"
        if text.startswith(b"250"):
            self.recipient = argument.partition("<")[2].partition(">")[0]
        await self.say(text)

    async def data(self, act: Act | None) -> None:
        if self.more_waits():
            self.server.violations.append("something was pipelined after DATA")
        if isinstance(act, Reply):
            return await self.say(act.text)
        if not self.sender:
            return await self.say(b"503 5.5.1 MAIL first")
        if self.recipient is None and not isinstance(act, Lenient):
            return await self.say(b"554 5.5.1 No valid recipients")
        self.out += b"354 Go ahead\r\n"
        await self.flush()
        await self.act("BODY")
        if self.recipient is None:
            if await self.reader.readline() != b".\r\n":
                self.server.violations.append("content was sent to nobody")
            self.sender = False
            return await self.say(b"554 5.5.1 No valid recipients")
        content = await self.reader.readuntil(b"\r\n.\r\n")
        act = await self.act(".")
        self.sender = False
        if isinstance(act, Reply):
            return await self.say(act.text)
        self.server.received.append((self.recipient, content[:-3]))
        if isinstance(act, TakeAndDrop):
            self.writer.transport.abort()
            raise _Over
        await self.say(b"250 2.0.0 Ok: queued as Q%d" % len(self.server.received))
        if isinstance(act, ThenClose):
            await self.flush()
            raise _Over


def unstuffed(content: bytes) -> bytes:
    """The content as its writer meant it (RFC 5321 §4.5.2)."""
    return b"\r\n".join(line[1:] if line[:1] == b"." else line for line in content.split(b"\r\n"))
