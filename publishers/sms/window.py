"""Many texts at once: each is reported exactly once, with what is known of it, also when cancelled."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

import structlog

from publishers.base import PublishError, Receipt, Report, Transient, Unknown, Untried
from publishers.http_exchange import Exchange
from schemas.messages import Message, Text

log = structlog.get_logger(__name__)

Send = Callable[[Text, Exchange], Awaitable[Receipt]]
"""Hands one text over, and notes in the exchange whether a byte of it has left."""


async def hand_over(messages: Sequence[Message], width: int, send: Send, report: Report) -> None:
    """Hand texts over, ``width`` at a time. See ``PublishesMany.publish_many``."""
    waiting = iter(messages)
    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(width, len(messages))):
                workers.create_task(_work(waiting, send, report))
    finally:
        for message in waiting:  # cancelled before their turn
            report(message.key, Untried("cancelled before its turn"))


async def _work(waiting: Iterator[Message], send: Send, report: Report) -> None:
    # Nothing is awaited between taking a message and the try below: whoever took it, reports it.
    for message in waiting:
        exchange = Exchange()
        try:
            if not isinstance(message, Text):
                raise TypeError(f"the SMS channel takes Text, not {type(message).__name__}")
            report(message.key, await send(message, exchange))
        except PublishError as error:
            report(message.key, error)
        except asyncio.CancelledError:
            report(message.key, exchange.lost("cancelled"))
            raise
        except Exception as error:
            log.exception("sms.defect", key=message.key)
            defect = f"{type(error).__name__}: {error}"
            report(message.key, Unknown(defect) if exchange.begun else Transient(defect))
