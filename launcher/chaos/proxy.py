"""A TCP proxy on loopback that stands between two parts and makes the way between them bad."""

import asyncio
from contextlib import suppress

_PIECE = 1 << 16


class Proxy:
    """Passes connections on to ``port`` of 127.0.0.1. Use as an async context manager; ``await listen()`` first.

    What may be set at any time: ``delay_s`` is how long each piece waits before it is passed on, either way, and
    ``stalled`` that nothing is passed on at all until it is no more. ``cut`` resets what is connected now.
    """

    def __init__(self, port: int = 0) -> None:
        self.target = port
        """Where connections lead; may be set before the first comes."""
        self.delay_s = 0.0
        self.passed = 0
        """Bytes passed on."""
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def stalled(self) -> bool:
        """Whether nothing is passed on."""
        return not self._flowing.is_set()

    @stalled.setter
    def stalled(self, value: bool) -> None:
        if value:
            self._flowing.clear()
        else:
            self._flowing.set()

    async def listen(self) -> int:
        """Begin; returns the port to connect to instead."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def cut(self) -> int:
        """Reset every connection; returns how many there were (each has two ends)."""
        count = len(self._writers) // 2
        for writer in list(self._writers):
            writer.transport.abort()
        return count

    async def aclose(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # a task is what runs this
        self._open.add(task)
        self._writers.add(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(back)
            try:
                await asyncio.gather(self._pass_on(reader, back), self._pass_on(there, writer))
            finally:
                self._writers.discard(back)
                back.close()
        except OSError:
            writer.transport.abort()  # whoever connected is told so: the target is away, or one end was reset
        finally:
            self._open.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await self._flowing.wait()
            writer.write(piece)
            self.passed += len(piece)
            await writer.drain()
        with suppress(OSError, RuntimeError):
            writer.write_eof()
