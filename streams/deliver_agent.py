"""Agent: batches of one lane, one agent a family, so that a slow provider holds up its own kind only."""

from collections.abc import Callable, Sequence
from typing import Any

from hub.delivery import Deliverer
from schemas.lanes import Lane
from store import batches
from store.database import Pool, transaction
from store.orders import batches_topic
from streams.app import App
from streams.internal import for_each
from streams.loop import no_loss_agent
from streams.topics import FAMILIES

AT_ONCE = 4
"""Batches of one family that a worker has in hand at a time: docs/guarantees.md reckons with it."""


def register(app: App, pool: Pool, deliverer: Deliverer, lane: Lane, stopping: Callable[[], bool]) -> None:
    """Several batches at once; a batch that arrives while the worker stops is given back for another."""

    async def deal(batch: int) -> None:
        if stopping():
            async with transaction(pool) as connection:
                await batches.give_back(connection, batch)
        else:
            await deliverer.deliver(batch)

    for family in FAMILIES:

        async def handle(events: Sequence[Any]) -> int:
            return await for_each(pool, events, "batch", deal, at_once=AT_ONCE)

        no_loss_agent(
            app, f"deliver {family} {lane}", [batches_topic(family, lane)], handle, take=AT_ONCE, within_s=0.01
        )
