"""The proxy that makes the way between two parts bad."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from launcher.chaos.proxy import Proxy

pytestmark = pytest.mark.unit


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(100):
            writer.write(piece)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    found = Proxy(server.sockets[0].getsockname()[1])
    yield found
    await found.aclose()
    server.close()


async def test_what_is_said_comes_back(proxy: Proxy) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", await proxy.listen())
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    writer.close()
    assert await reader.read() == b""
    assert proxy.passed == 10


async def test_nothing_passes_while_it_is_stalled(proxy: Proxy) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", await proxy.listen())
    proxy.stalled = True
    writer.write(b"hello")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    assert proxy.stalled
    proxy.stalled = False
    assert await reader.readexactly(5) == b"hello"
    writer.close()


async def test_cut_connections_are_reset(proxy: Proxy) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", await proxy.listen())
    writer.write(b"hello")
    await reader.readexactly(5)
    assert proxy.cut() == 1
    with pytest.raises(ConnectionError):
        if not await reader.read(1):
            raise ConnectionResetError("closed")
    writer.close()


async def test_connection_is_refused_late_where_nobody_listens(proxy: Proxy) -> None:
    proxy.target = 1
    reader, writer = await asyncio.open_connection("127.0.0.1", await proxy.listen())
    with pytest.raises(ConnectionError):
        if not await reader.read(1):
            raise ConnectionResetError("closed")
    writer.close()
