"""Agent: batches of one lane, one agent a family, so that a slow provider holds up its own kind only."""

from collections.abc import Callable, Sequence
from typing import Any

from hub.delivery import Deliverer
from hub.turn import boot_clock
from schemas.lanes import Lane
from store import batches
from store.database import Pool, transaction
from store.orders import batches_topic
from streams.app import App
from streams.internal import for_each
from streams.loop import no_loss_agent
from streams.topics import FAMILIES

AT_ONCE = 4
"""Batches of one family that a worker sends at a time: docs/guarantees.md reckons with it."""

_TAKEN = 4 * AT_ONCE
"""Batches taken from Kafka together, so that hands don't lie idle until the slowest of four is through."""


def register(
    app: App, pool: Pool, deliverer: Deliverer, lane: Lane, stopping: Callable[[], bool], *, patience_s: float
) -> None:
    """Several batches at once; one whose turn comes when the worker stops, or late, is given back for another.

    A rebalance waits for all that was taken: when some take their whole deadline, the rest must not follow them.
    """

    async def handle(events: Sequence[Any]) -> int:
        began = boot_clock()

        async def deal(batch: int) -> None:
            if stopping() or boot_clock() - began > patience_s:
                async with transaction(pool) as connection:
                    await batches.give_back(connection, batch)
            else:
                await deliverer.deliver(batch)

        return await for_each(pool, events, "batch", deal, at_once=AT_ONCE)

    for family in FAMILIES:
        no_loss_agent(
            app, f"deliver {family} {lane}", [batches_topic(family, lane)], handle, take=_TAKEN, within_s=0.01
        )
