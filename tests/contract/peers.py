"""The two kinds of peer that nearly every channel has, the fault server and the sandbox; and posts to send them."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from schemas.messages import Picture, Post
from tests.contract.conftest import Sandbox
from tests.contract.fault_server import FaultServer, Reply
from tests.contract.peer import Peer, Trouble, sandbox_will

PNG = bytes.fromhex("89504e470d0a1a0a") + b"not more of a picture than its signature"


def post(text: str | None = None, account: str = "valmerande") -> Post:
    """A post of its own key, text and moment."""
    name = uuid.uuid4().hex
    return Post(f"order-{name}.1", account, text or f"Rue des Tisserands barrée ({name})", "fr", datetime.now(UTC))


def picture(content: bytes = PNG, alt: str = "Plan de la déviation") -> Picture:
    """A PNG by its first bytes, which is all that most look at."""
    return Picture(content, "image/png", alt, 800, 600)


class PeerOnFaultServer(Peer):
    """In this process. ``replies``: the troubles that are an answer; the server itself makes the others."""

    server: FaultServer
    replies: ClassVar[Mapping[Trouble, Reply | bytes]]

    async def will(self, trouble: Trouble) -> None:
        self.server.next.append(self.replies.get(trouble, trouble))

    async def reached(self, count: int = 1) -> None:
        await self.server.reached(count)

    async def hung_up(self) -> None:
        await self.server.until(lambda: self.server.closed > 0)


class PeerInSandbox(Peer):
    """In a process of its own, which journals what it takes. ``provider``: its name there, and the journal's."""

    provider: str
    sandbox: Sandbox

    async def will(self, trouble: Trouble) -> None:
        await sandbox_will(self.sandbox.http, self.provider, trouble)

    async def taken(self, message: Any) -> int:
        lines = self.sandbox.journal(self.provider)
        return sum(line.get("outcome") in ("accepted", "dropped") and self.is_of(line, message) for line in lines)

    def is_of(self, line: dict[str, Any], message: Any) -> bool:
        """Whether a line of the journal is about taking this message."""
        return (line["kind"], line.get("text")) == ("create", message.text)

    def latest(self, identity: str) -> dict[str, Any]:
        """The last line about a post."""
        return [line for line in self.sandbox.journal(self.provider) if line.get("id") == identity][-1]
