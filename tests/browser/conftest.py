"""The portal served on loopback, and Debian's Chromium to look at it.

Where Chromium is absent these tests are skipped with a word, and fail in CI. Set TAMBOUR_TEST_CHROMIUM to another
binary, and TAMBOUR_TEST_AXE to a copy of axe.min.js (npm: axe-core).
"""

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import pytest
import uvicorn
from playwright.async_api import Browser, Page, async_playwright

from portal.app import create_app
from store.database import Connection, connect
from tests.integration.portal import scene as scenes
from tests.integration.portal.scene import Scene

AXE = "() => axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
"""What to run in a page that has loaded axe-core."""

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class _Server(uvicorn.Server):
    """Serves inside the test's own loop, and says when it has begun."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.begun = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.begun.set()

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        return contextlib.nullcontext()  # signals are the test runner's business


def absent(what: str) -> NoReturn:
    """Skip with the reason, or fail where everything must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


async def tab_to(page: Page, reached: str) -> None:
    """Press Tab until that JavaScript expression is true of the page."""
    for _ in range(250):
        await page.keyboard.press("Tab")
        if await page.evaluate(reached):
            return
    raise AssertionError(f"Tab never makes it true: {reached}")


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Connection]:
    opened = await connect(database)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
async def scene(connection: Connection) -> Scene:
    return await scenes.build(connection, crowd=70)


@pytest.fixture
async def portal(database: str, scene: Scene, free_port: int) -> AsyncIterator[str]:
    """Address of a portal that shows the scene."""
    settings = scenes.settings(database, port=free_port, sandbox_url="http://127.0.0.1:9/")
    server = _Server(
        uvicorn.Config(create_app(settings), port=free_port, log_config=None, access_log=False, lifespan="on")
    )
    serving = asyncio.create_task(server.serve())
    await asyncio.wait_for(server.begun.wait(), 10)
    yield f"http://127.0.0.1:{free_port}"
    server.should_exit = True
    server.force_exit = True
    await serving


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    binary = os.environ.get("TAMBOUR_TEST_CHROMIUM") or shutil.which("chromium")
    if binary is None or not Path(binary).exists():
        absent("no Chromium: apt-get install chromium, or set TAMBOUR_TEST_CHROMIUM")
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=binary, args=ARGUMENTS)
        yield opened
        await opened.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(locale="fr-FR", viewport={"width": 1200, "height": 900})
    opened = await context.new_page()
    opened.set_default_timeout(10_000)
    yield opened
    await context.close()


@pytest.fixture
def axe() -> str:
    """The source of axe-core."""
    path = os.environ.get("TAMBOUR_TEST_AXE")
    if not path or not Path(path).is_file():
        absent("no axe-core: npm pack axe-core, and set TAMBOUR_TEST_AXE to its axe.min.js")
    return Path(path).read_text(encoding="utf-8")
