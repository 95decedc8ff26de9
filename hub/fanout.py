"""Fan-out: an order's audience becomes deliveries, page by page; each page is one transaction (store.orders)."""

from hub import metrics
from schemas import tracing
from schemas.lanes import Lane
from store import outbox
from store.database import Pool, transaction
from store.orders import fan_out_page, order_message

PAGES_PER_MESSAGE = 4
"""After so many pages the order asks for a new turn, so that others' orders come in between."""

BATCHES_PER_PAGE = 5
"""So many batches are made by one commit: what a page costs besides its rows is shared by them."""


async def fan_out(pool: Pool, order: int, lane: Lane, *, page_size: int, batch_size: int | None = None) -> bool:
    """Make up to PAGES_PER_MESSAGE pages; returns whether the audience is at its end.

    ``page_size`` recipients become batches of ``batch_size``, or one batch.

    Safe to repeat and to run twice at once: the order's row is locked page by page, and its cursor moves on with
    the page. Raises one of store.database.AWAY when the database is away.
    """
    for number in range(1, PAGES_PER_MESSAGE + 1):
        with tracing.span("fan out", order=order, lane=lane.value):
            async with transaction(pool) as connection:
                page = await fan_out_page(connection, order, page_size, batch_size)
                if number == PAGES_PER_MESSAGE and not page.last:
                    await outbox.put(connection, [order_message(order, lane)])
        metrics.page_fanned_out(lane, page.recipients, dispatched=page.dispatched, last=page.last)
        if page.last:
            return True
    return False
