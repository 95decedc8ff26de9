"""What every channel promises (tests.contract.suite), kept by the mail channel, over a server that does anything
and over the project's sandbox."""

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from publishers.smtp.channel import Smtp, SmtpOptions
from schemas.messages import Mail
from tests.contract.conftest import Sandbox
from tests.contract.peers import PeerInSandbox
from tests.contract.smtp.scripted import (
    Act,
    Drop,
    Mute,
    Reply,
    ScriptedServer,
    TakeAndDrop,
    ThenClose,
)
from tests.contract.smtp.sending import until
from tests.contract.suite import AT_MOST, ContractOfBrokenReplies, ContractOfCuts, Peer, Trouble

pytestmark = pytest.mark.contract

_numbers = itertools.count()

ACTS: dict[Trouble, tuple[str, Act]] = {
    Trouble.REFUSE: ("RCPT", Reply(b"550 5.1.1 No such mailbox")),
    Trouble.THROTTLE: ("RCPT", Reply(b"450 4.7.1 Too many mails, try again in 7 seconds")),
    Trouble.UNAVAILABLE: (".", Reply(b"451 4.3.0 Local error")),
    Trouble.HANG: (".", Mute()),
    Trouble.TAKE_AND_CUT: (".", TakeAndDrop()),
    Trouble.HALF_A_REPLY: (".", Drop(half=b"250 2.0.0 O")),
    Trouble.GIBBERISH: (".", Reply(b"<html>Welcome to the hotel's network</html>")),
    Trouble.ANSWER_AND_CLOSE: (".", ThenClose()),
}


class SmtpPeer(Peer):
    deduplicates = False
    login: tuple[str, str] | None = None

    def __init__(self, url: str, too_long: int) -> None:
        self.url = url
        self.too_long = "x" * 70 + "\r\n"
        self.too_long *= too_long // 72 + 1

    def open(self, *, timeout: float = AT_MOST, token: str | None = None, url: str | None = None) -> Smtp:
        address = urlsplit(url or self.url)
        relay: dict[str, Any] = {"host": address.hostname, "port": address.port, "connections": 4}
        relay["tls"] = "tls" if address.scheme == "https" else "none"
        if self.login is not None:
            relay |= {"username": self.login[0], "password": token or self.login[1]}
        timeouts = {"reply_timeout": timeout, "connect_timeout": timeout}
        return Smtp(
            SmtpOptions.model_validate({"relays": {"main": relay}, "local_hostname": "hub.example", **timeouts})
        )

    def message(self, text: str | None = None) -> Mail:
        number = next(_numbers)
        content = f"Message-ID: <{number}@valmerande.example>\r\nSubject: essai\r\n\r\n{text or 'Rue barrée'}\r\n"
        return Mail(f"{number}", f"r+{number}@valmerande.example", f"v{number}@courriel.example", content.encode())


class OverScripted(SmtpPeer):
    login = ("hub", "secret")

    def __init__(self, server: ScriptedServer) -> None:
        super().__init__(f"http://127.0.0.1:{server.port}", 10_240_000)
        self.server = server
        self.next: list[Trouble] = []
        self.met = 0
        server.script = self.script

    def open(self, *, timeout: float = AT_MOST, token: str | None = None, url: str | None = None) -> Smtp:
        if (url or "").startswith("https:"):
            self.server.script = lambda _, verb, __: Mute() if verb == "GREETING" else None  # speaks no TLS at all
        return super().open(timeout=timeout, token=token, url=url)

    def script(self, _: int, verb: str, argument: str) -> Act | None:
        if verb == "AUTH" and token_of(argument) == "expired":
            return Reply(b"535 5.7.139 Authentication unsuccessful, the password has expired")
        if self.next and ACTS[self.next[0]][0] == verb:
            self.met += 1
            return ACTS[self.next.pop(0)][1]
        return None

    async def will(self, trouble: Trouble) -> None:
        self.next.append(trouble)

    async def taken(self, message: Any) -> int:
        return sum(recipient == message.recipient for recipient, _ in self.server.received)

    async def reached(self, count: int = 1) -> None:
        await until(lambda: self.met >= count)

    async def hung_up(self) -> None:
        await until(lambda: self.server.open_now == 0)
        await asyncio.sleep(0)


def token_of(argument: str) -> str:
    """The password of AUTH PLAIN."""
    return base64.b64decode(argument.removeprefix("PLAIN ")).decode().split("\0")[-1]


class TestOverScripted(ContractOfBrokenReplies):
    @pytest.fixture
    async def peer(self) -> AsyncIterator[OverScripted]:
        async with ScriptedServer(password="secret") as server:
            yield OverScripted(server)


class OverSandbox(PeerInSandbox, SmtpPeer):
    """No login there: the two cases about credentials run over the scripted server alone."""

    provider = "email"

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(f"http://{sandbox.smtp}", 26_214_400)
        self.sandbox = sandbox

    def is_of(self, line: dict[str, Any], message: Any) -> bool:
        return line.get("message_id") == f"<{message.key}@valmerande.example>"


class TestOverSandbox(ContractOfCuts):
    @pytest.fixture
    def peer(self, sandbox: Sandbox) -> OverSandbox:
        return OverSandbox(sandbox)

    @pytest.mark.skip(reason="the sandbox's throttle closes the connection: test_smtp_faults has the 421")
    async def test_throttling_waits_as_long_as_the_peer_asks(self) -> None: ...  # type: ignore[override]

    @pytest.mark.skip(reason="the sandbox hangs before the content: test_smtp_peers has both")
    async def test_silence_is_unknown_and_ends_in_time(self) -> None: ...  # type: ignore[override]

    @pytest.mark.skip(reason="the sandbox asks nobody to log in")
    async def test_wrong_credentials_wait_for_somebody_and_are_not_told(self) -> None: ...  # type: ignore[override]

    @pytest.mark.skip(reason="the sandbox asks nobody to log in")
    async def test_expired_credentials_wait_for_somebody(self) -> None: ...  # type: ignore[override]
