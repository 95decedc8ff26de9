"""Publishers and messages for the tests of SMPP, and the suite's peers."""

import itertools
from typing import Any
from urllib.parse import urlsplit

from publishers.base import Incoming
from publishers.smpp.gateway import Smpp, SmppOptions
from schemas.messages import Text
from tests.contract.conftest import Sandbox
from tests.contract.gateways import taken
from tests.contract.peers import PeerInSandbox
from tests.contract.smpp.smsc import FaultSmsc, NpmSmsc
from tests.contract.suite import AT_MOST, Peer, Trouble

_numbers = itertools.count()

KEY_TAG = 0x1400


def opened(port: int, **given: Any) -> Smpp:
    """A publisher to an SMSC on this machine."""
    good = {"host": "127.0.0.1", "port": port, "system_id": "hub", "password": "hubpw", "timeout": AT_MOST}
    return Smpp(SmppOptions.model_validate(good | {"key_tag": KEY_TAG} | given))


def text(says: str | None = None, recipient: str | None = None) -> Text:
    """A message of its own key, and words of its own unless given."""
    number = next(_numbers)
    recipient = recipient or f"+33639980{200 + number % 700}"
    return Text(f"{number:x}-1.1", "VALMERANDE", recipient, says or f"Rue barrée {number}")


class Kept:
    """Keeps what ``receive`` brings; raises while ``refusing``."""

    def __init__(self) -> None:
        self.all: list[Incoming] = []
        self.refusing = False
        self.asked = 0

    async def __call__(self, incoming: Incoming) -> None:
        self.asked += 1
        if self.refusing:
            raise OSError("the database is away")
        self.all.append(incoming)


class SmppPeer(Peer):
    deduplicates = False
    too_long = "Ne buvez pas l'eau du robinet. " * 60

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"smpp://127.0.0.1:{port}"

    def open(self, *, timeout: float = AT_MOST, token: str | None = None, url: str | None = None) -> Smpp:
        port = urlsplit(url or self.url).port or 0
        return opened(port, timeout=timeout, bind_timeout=timeout, password=token or "hubpw", window=5)

    def message(self, says: str | None = None) -> Text:
        return text(says)


class OverFaults(SmppPeer):
    def __init__(self, smsc: FaultSmsc) -> None:
        super().__init__(smsc.port)
        self.smsc = smsc

    async def will(self, trouble: Trouble) -> None:
        self.smsc.next.append(trouble)

    async def taken(self, message: Any) -> int:
        return sum(asked.tlvs.get(KEY_TAG) == message.key.encode() + b"\0" for asked in self.smsc.taken)

    async def reached(self, count: int = 1) -> None:
        await self.smsc.until(lambda: len(self.smsc.submits) >= count)

    async def hung_up(self) -> None:
        await self.smsc.until(lambda: self.smsc.closed > 0)


class OverNpm(SmppPeer):
    def __init__(self, smsc: NpmSmsc) -> None:
        super().__init__(smsc.port)
        self.smsc = smsc

    async def will(self, trouble: Trouble) -> None:
        names = {Trouble.TAKE_AND_CUT: "cut"}
        await self.smsc.tell(trouble=names.get(trouble, trouble.name.lower()))

    async def taken(self, message: Any) -> int:
        return sum(one["customer"] == message.key for one in self.smsc.all("took"))


class OverSandbox(PeerInSandbox, SmppPeer):
    provider = "sms"

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(int(sandbox.smpp.rpartition(":")[2]))
        self.sandbox = sandbox

    async def taken(self, message: Any) -> int:
        return taken(message, self.sandbox)
