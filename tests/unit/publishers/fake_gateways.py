"""Gateways that answer as told, under the SMS channel."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal

from publishers.base import (
    Finding,
    Incoming,
    Keep,
    Limits,
    PublishError,
    Receipt,
    Transient,
    Unclear,
)
from publishers.http_exchange import Exchange
from publishers.sms import channel as sms
from publishers.sms.gateway import GatewayOptions
from schemas.messages import Text


class FakeOptions(GatewayOptions):
    kind: Literal["http", "searched", "listening"]
    name: str


class Fake:
    """Says what its ``will`` says, each once; then accepts."""

    channel = "sms"
    unclear = Unclear.WAIT
    of_message = frozenset({"foreign"})

    def __init__(self, options: FakeOptions) -> None:
        self.name = options.name
        self.limits = Limits(concurrency=options.concurrency)
        self.will: list[Callable[[], Receipt]] = []
        self.taken: list[str] = []
        self.closed = False
        self.waits: asyncio.Event | None = None
        """It says so when it has a message, and never answers."""
        GATEWAYS[options.name] = self

    async def send(self, message: Text, exchange: Exchange) -> Receipt:
        await asyncio.sleep(0)
        if self.will:
            exchange.begun = True
            return self.will.pop(0)()
        exchange.begun = True
        if self.waits is not None:
            self.waits.set()
            await asyncio.Event().wait()
        self.taken.append(message.key)
        return Receipt(reference=f"id-{len(self.taken)}")

    async def publish(self, message: Text) -> Receipt:
        return await self.send(message, Exchange())

    async def aclose(self) -> None:
        self.closed = True

    def fails(self, error: PublishError, times: int = 1) -> None:
        def fail() -> Receipt:
            raise error

        self.will += [fail] * times


class Known(Fake):
    """One that can be asked by key."""

    def __init__(self, options: FakeOptions) -> None:
        super().__init__(options)
        self.silent = False
        self.says: PublishError = Transient("is away")
        self.asked: list[str] = []

    async def look_up(self, key: str, address: str) -> Receipt | None:
        self.asked.append(key)
        if self.silent:
            raise self.says
        return Receipt(reference="known") if key in self.taken else None

    async def check(self) -> Sequence[Finding]:
        return [Finding("host", True, "fine")]


class Searched(Fake):
    """One that can only be searched by number and words."""

    key_kept = sms.Sms.key_kept

    async def find(self, message: Text, since: datetime) -> Receipt | None:
        return Receipt(reference="found") if message.key in self.taken else None


class Listening:
    """One whose receipts come over a connection of ours. It does not tell how far a message has got."""

    channel = "sms"
    unclear = Unclear.WAIT

    def __init__(self, options: FakeOptions) -> None:
        self.limits = Limits(concurrency=options.concurrency)
        self.reached = asyncio.Event()
        GATEWAYS[options.name] = self

    async def publish(self, message: Text) -> Receipt:
        self.reached.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def receive(self, keep: Keep) -> None:
        await keep(Incoming("receipt", b"{}", reference="42", arrival="1"))
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        pass


GATEWAYS: dict[str, Any] = {}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now
