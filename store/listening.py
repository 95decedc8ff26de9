"""LISTEN: being woken when rows appear. A hint that saves waiting, never a promise: whoever listens also polls."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from store.database import AWAY, connect


async def listen(dsn: str, wakes: Mapping[str, Callable[[], None]]) -> None:
    """Call what wakes at each NOTIFY on its channel, until cancelled. Connects again when the database went away."""
    while True:
        try:
            connection = await connect(dsn)
        except AWAY:
            await asyncio.sleep(1)
            continue
        gone = asyncio.Event()

        def ended(_: Any, gone: asyncio.Event = gone) -> None:
            gone.set()

        try:
            connection.add_termination_listener(ended)
            for channel, wake in wakes.items():
                await connection.add_listener(channel, lambda *_, wake=wake: wake())
                wake()  # what came while nobody listened
            await gone.wait()
        except AWAY:
            continue
        finally:
            connection.terminate()
