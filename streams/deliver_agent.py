"""Agent: batches of one lane, one agent a family, so that a slow provider holds up its own kind only."""

from collections.abc import Callable
from typing import Any

from hub.delivery import Deliverer
from schemas.lanes import Lane
from store import batches
from store.database import Pool, transaction
from store.orders import batches_topic
from streams.app import App
from streams.internal import deal_with_id
from streams.loop import no_loss_hands
from streams.topics import FAMILIES

AT_ONCE = 4
"""Batches of one family that a worker sends at a time: docs/guarantees.md reckons with it."""


def register(app: App, pool: Pool, deliverer: Deliverer, lane: Lane, stopping: Callable[[], bool]) -> None:
    """Several batches at once; one whose turn comes when the worker stops is given back for another.

    A rebalance waits for what is in hand only, that is for one batch's deadline at most.
    """

    async def deal(batch: int) -> None:
        if stopping():
            async with transaction(pool) as connection:
                await batches.give_back(connection, batch)
        else:
            await deliverer.deliver(batch)

    async def handle(event: Any) -> int:
        return await deal_with_id(pool, event, "batch", deal)

    for family in FAMILIES:
        no_loss_hands(app, f"deliver {family} {lane}", [batches_topic(family, lane)], handle, count=AT_ONCE)
