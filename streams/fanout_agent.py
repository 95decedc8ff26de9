"""Agent: orders become deliveries and batches; one agent a lane, so that lanes don't wait for each other."""

from typing import Any

from hub.fanout import BATCHES_PER_PAGE, fan_out
from schemas.lanes import Lane
from store.database import Pool
from store.orders import fan_out_topic
from streams.app import App
from streams.internal import deal_with_id
from streams.loop import no_loss_hands

_AT_ONCE = 4


def register(app: App, pool: Pool, *, batch_size: int) -> None:
    """One agent a lane; several orders at once, each page by page."""
    page_size = batch_size * BATCHES_PER_PAGE
    for lane in Lane:

        async def handle(event: Any, lane: Lane = lane) -> int:
            return await deal_with_id(
                pool,
                event,
                "order",
                lambda order: fan_out(pool, order, lane, page_size=page_size, batch_size=batch_size),
            )

        no_loss_hands(app, f"fan-out {lane}", [fan_out_topic(lane)], handle, count=_AT_ONCE)
