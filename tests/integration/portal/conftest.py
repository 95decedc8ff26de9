"""A portal over a database of its own, filled with a small town's day, asked without a network."""

from collections.abc import AsyncIterator

import httpx
import pytest

from portal.app import create_app
from store.database import Connection, connect
from tests.integration.portal import scene as scenes
from tests.integration.portal.scene import Scene

HERE = "http://127.0.0.1:8470"


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Connection]:
    opened = await connect(database)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
async def scene(connection: Connection) -> Scene:
    return await scenes.build(connection)


@pytest.fixture
async def client(database: str) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(scenes.settings(database))
    async with app.router.lifespan_context(app), _client(app) as opened:
        yield opened


def _client(app: object, base: str = HERE) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url=base)
