"""Messages between our own processes: a JSON object with one id. What isn't that is set aside as a dead letter."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from hub import metrics
from schemas import tracing
from store import deadletters
from store.database import AWAY, Pool, transaction

log = structlog.get_logger()


async def for_each(
    pool: Pool, events: Sequence[Any], name: str, deal: Callable[[int], Awaitable[object]], *, at_once: int
) -> int:
    """Call ``deal`` with each message's id; see ``each_alone``."""

    async def one(message: Any) -> None:
        await deal(_id(message.value, name))

    return await each_alone(pool, events, one, at_once=at_once)


async def each_alone(
    pool: Pool, events: Sequence[Any], deal: Callable[[Any], Awaitable[object]], *, at_once: int = 1
) -> int:
    """Call ``deal`` with each message, at most ``at_once`` at a time; returns how many met a defect.

    Waits for all of them also when one fails. Raises one of AWAY when the database was away for any.
    """
    turns = asyncio.Semaphore(at_once)

    async def one(event: Any) -> int:
        async with turns:
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

    results = await asyncio.gather(*(one(event) for event in events), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return sum(result for result in results if isinstance(result, int))


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
