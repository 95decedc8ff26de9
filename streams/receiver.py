"""Receipts that come over a connection of ours (SMPP): kept and committed before the provider is answered."""

from collections.abc import Mapping
from typing import Any

import structlog
from mode import Service
from pydantic import BaseModel

from publishers.base import Incoming, Receives
from publishers.registry import CHANNELS, open_publisher
from store.database import Pool
from streams.keeping import Keeper

log = structlog.get_logger()

_PAUSE_S = 5.0


class Receiver(Service):
    """Listens at every channel whose receipts come so."""

    def __init__(self, pool: Pool, channels: Mapping[str, BaseModel], **options: Any) -> None:
        super().__init__(**options)
        self._keeper = Keeper(pool)
        self._publishers = {}
        for name, given in channels.items():
            if CHANNELS[name].broadcast:
                continue  # networks tell nothing later, and their libraries would only cost memory here
            publisher = open_publisher(name, given)
            if isinstance(publisher, Receives):
                self._publishers[name] = publisher

    async def on_start(self) -> None:
        """One task a channel."""
        for name, publisher in self._publishers.items():
            self.add_future(self._listen(name, publisher))

    async def _listen(self, channel: str, publisher: Receives) -> None:
        async def keep(said: Incoming) -> None:
            await self._keeper.keep(channel, said)

        while not self.should_stop:
            try:
                await publisher.receive(keep)
            except Exception:  # a defect of a channel must not end the core with everybody's work in it
                log.exception("receiver_failed", channel=channel)
                await self.sleep(_PAUSE_S)

    async def on_stop(self) -> None:
        """Give connections back; what was not acknowledged comes again."""
        for publisher in self._publishers.values():
            await publisher.aclose()
