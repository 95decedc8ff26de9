"""Agent: receipts that were kept are bound to the attempts they are about."""

from collections.abc import Sequence
from typing import Any

from hub.receipts import bind
from store import receipts
from store.database import Pool
from streams.app import App
from streams.internal import for_each
from streams.loop import no_loss_agent


def register(app: App, pool: Pool) -> None:
    """One agent; receipts are independent of each other."""

    async def handle(events: Sequence[Any]) -> int:
        return await for_each(pool, events, "receipt", lambda receipt: bind(pool, receipt), at_once=8)

    no_loss_agent(app, "receipts", [receipts.TOPIC], handle, take=100, within_s=0.05)
