"""Agent: receipts that were kept are bound to the attempts they are about, many in one commit."""

from collections.abc import Sequence
from typing import Any

import structlog

from hub.receipts import bind, bind_all
from store import receipts
from store.database import AWAY, Pool
from streams.app import App
from streams.internal import deal_with
from streams.loop import no_loss_agent

log = structlog.get_logger()


def register(app: App, pool: Pool) -> None:
    """One agent; receipts are independent of each other."""

    async def handle(events: Sequence[Any]) -> int:
        return await bind_announced(pool, events)

    no_loss_agent(app, "receipts", [receipts.TOPIC], handle, take=100, within_s=0.05)


async def bind_announced(pool: Pool, events: Sequence[Any]) -> int:
    """Bind the receipts that messages announce, in groups; returns how many messages met a defect.

    When something is wrong with one of a group, its messages are dealt with alone: the others are bound, and its own
    is set aside. Raises one of AWAY when the database was away.
    """
    try:
        ids = list({receipt: None for event in events for receipt in receipts.ids_of(event.message.value)})
        for first in range(0, len(ids), receipts.GROUP):
            await bind_all(pool, ids[first : first + receipts.GROUP])
    except AWAY:
        raise
    except Exception as error:
        log.warning("receipts_bound_one_by_one", error=type(error).__name__)
        return sum(
            [
                await deal_with(pool, event, lambda message: _one_by_one(pool, receipts.ids_of(message.value)))
                for event in events
            ]
        )
    return 0


async def _one_by_one(pool: Pool, ids: Sequence[int]) -> None:
    """Bind each that can be. Raises what the last met that could not."""
    met: Exception | None = None
    for receipt in ids:
        try:
            await bind(pool, receipt)
        except AWAY:
            raise
        except Exception as error:
            met = error
    if met is not None:
        raise met
