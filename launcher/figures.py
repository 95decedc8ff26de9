"""The figures of a running hub: read from its database and from the providers' journals, and compared."""

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from schemas.deliveries import State
from store.database import AWAY, connect
from store.totals import Totals, totals


class Figures:
    """Reads the hub's figures again and again on one connection, which it opens anew when it was lost."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Any = None

    async def read(self) -> Totals | None:
        """The figures now; None while the database is away."""
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(self._dsn)
            return await totals(self._connection)
        except AWAY:
            self._connection = None
            return None

    async def aclose(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()

    async def until(
        self,
        holds: Callable[[Totals], bool],
        within_s: float,
        show: Callable[[Totals], None] = lambda figures: None,
        *,
        calm_s: float = 0.0,
    ) -> Totals | None:
        """Wait until ``holds``, and nothing has moved for ``calm_s`` seconds.

        The last figures in any case, also when ``within_s`` has passed; None when there were none.
        """
        deadline = time.monotonic() + within_s
        last: Totals | None = None
        since = time.monotonic()
        while time.monotonic() < deadline:
            found = await self.read()
            if found is not None:
                show(found)
                if found != last:
                    last, since = found, time.monotonic()
                if holds(found) and time.monotonic() - since >= calm_s:
                    return found
            await asyncio.sleep(0.25)
        return last

    async def until_settled(
        self,
        *,
        events: int,
        within_s: float,
        show: Callable[[Totals], None] = lambda figures: None,
        calm_s: float = 2.0,
    ) -> Totals | None:
        """Wait until ``events`` are dealt with and every delivery has ended (see ``until``)."""
        return await self.until(lambda found: settled(found, events), within_s, show, calm_s=calm_s)


def arrived(figures: Totals) -> int:
    """Messages that intake has dealt with, repeats and dead letters included."""
    return (
        sum(figures.events.values()) + figures.repeats + figures.dead_letters["open"] + figures.dead_letters["put_back"]
    )


def gone_out(figures: Totals, events: int) -> bool:
    """Whether all that ``events`` led to has been tried once: retries and receipts may still be to come."""
    untried = (State.QUEUED.word, State.SENDING.word)
    waiting = sum(channel.states.get(word, 0) for channel in figures.channels.values() for word in untried)
    return arrived(figures) >= events and not (waiting or figures.orders_open or figures.outbox)


def settled(figures: Totals, events: int) -> bool:
    """Whether nothing is under way: all events dealt with, audiences read, deliveries ended, messages relayed."""
    return (
        arrived(figures) >= events
        and figures.ended == figures.deliveries
        and not (figures.orders_open or figures.outbox or figures.receipts_open)
    )


async def journals(sandbox_http: str) -> dict[str, dict[str, int]]:
    """What each provider of the sandbox says it accepted, refused and got twice."""

    def ask() -> dict[str, dict[str, int]]:
        with urllib.request.urlopen(f"{sandbox_http}/sandbox/counts", timeout=10) as answer:
            found: dict[str, dict[str, int]] = json.load(answer)
            return found

    return await asyncio.to_thread(ask)
