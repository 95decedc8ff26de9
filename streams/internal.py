"""Messages between our own processes: a JSON object with one id. What isn't that is set aside as a dead letter."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from hub import metrics
from schemas import tracing
from store import deadletters
from store.database import AWAY, Pool, transaction

log = structlog.get_logger()


async def deal_with(pool: Pool, event: Any, deal: Callable[[Any], Awaitable[object]]) -> int:
    """Call ``deal`` with an event's message; returns 1 when it met a defect (it is a dead letter then), 0 otherwise.

    Raises one of AWAY when the database was away.
    """
    try:
        with tracing.received(tracing.of_headers(event.message.headers)):
            await deal(event.message)
    except AWAY:
        raise
    except Exception as error:
        log.exception("message_defect", topic=event.message.topic)
        await _set_aside(pool, event.message, error)
        return 1
    return 0


async def deal_with_id(pool: Pool, event: Any, name: str, deal: Callable[[int], Awaitable[object]]) -> int:
    """Call ``deal`` with the number that an event's message has under ``name``; see ``deal_with``."""
    return await deal_with(pool, event, lambda message: deal(_id(message.value, name)))


def _id(value: bytes, name: str) -> int:
    found = json.loads(value)[name]
    if not isinstance(found, int):
        raise TypeError(f"{name} is not a number")
    return found


async def _set_aside(pool: Pool, message: Any, error: Exception) -> None:
    async with transaction(pool) as connection:
        await deadletters.add(
            connection,
            place=(message.topic, message.partition, message.offset),
            key=message.key,
            value=message.value,
            headers=(),
            reason="defect",
            detail=f"Tambour failed on its own message: {type(error).__name__}: {error}. Report it, put it back.",
        )
    metrics.set_aside("defect")
