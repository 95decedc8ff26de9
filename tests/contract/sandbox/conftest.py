"""A sandbox of the test's own, which it may kill, and one that receives what the sandbox sends."""

import asyncio
import email
import email.policy
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope

from tests.contract.sandbox.process import SandboxProcess

Start = Callable[..., SandboxProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts sandboxes, all on one home folder; whatever still runs is ended."""
    started: list[SandboxProcess] = []

    def begin(*options: str) -> SandboxProcess:
        started.append(SandboxProcess(tmp_path / "home", *options))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


@dataclass
class Receiver:
    """Gets webhooks; ``status`` is what it answers. ``got`` holds (headers, body bytes, parsed)."""

    url: str = ""
    status: int = 204
    got: list[tuple[dict[str, str], bytes, dict[str, Any]]] = field(default_factory=list)

    def ids(self) -> set[str]:
        return {headers["webhook-id"] for headers, _, _ in self.got}

    def told(self, kind: str) -> list[dict[str, Any]]:
        """The notifications of a type, each id once, in the order they first came."""
        once = {headers["webhook-id"]: content for headers, _, content in self.got}
        return [content for content in once.values() if content["type"] == kind]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        receiver.got.append((headers, body, json.loads(body)))
        return web.Response(status=receiver.status)

    application = web.Application()
    application.router.add_post("/hook", take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield receiver
    await runner.cleanup()


@dataclass
class Inlet:
    """Gets mail by SMTP, as the hub's inlet does."""

    port: int = 0
    refusing: bool = False
    mails: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: object, envelope: Envelope) -> str:
        if self.refusing:
            return "451 4.3.0 Not now"
        assert isinstance(envelope.content, bytes) and envelope.mail_from is not None
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append((envelope.mail_from, list(envelope.rcpt_tos), message))
        return "250 OK"


@pytest.fixture
async def inlet() -> AsyncIterator[Inlet]:
    inlet = Inlet()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(inlet), "127.0.0.1", 0)
    inlet.port = server.sockets[0].getsockname()[1]
    yield inlet
    server.close()
    await server.wait_closed()
