"""Agent: orders become deliveries and batches; one agent a lane, so that lanes don't wait for each other."""

from collections.abc import Sequence
from typing import Any

from hub.fanout import BATCHES_PER_PAGE, fan_out
from schemas.lanes import Lane
from store.database import Pool
from store.orders import fan_out_topic
from streams.app import App
from streams.internal import for_each
from streams.loop import no_loss_agent


def register(app: App, pool: Pool, *, batch_size: int) -> None:
    """One agent a lane; several orders at once, each page by page."""
    for lane in Lane:

        async def handle(events: Sequence[Any], lane: Lane = lane) -> int:
            return await for_each(
                pool,
                events,
                "order",
                lambda order: fan_out(
                    pool, order, lane, page_size=batch_size * BATCHES_PER_PAGE, batch_size=batch_size
                ),
                at_once=4,
            )

        no_loss_agent(app, f"fan-out {lane}", [fan_out_topic(lane)], handle, take=8, within_s=0.01)
