"""Hands a window of messages to a publisher: every message gets exactly one outcome, whatever happens."""

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog

from hub import metrics
from publishers import deadline
from publishers.accounts import Grant, Rationed
from publishers.base import Outcome, Publisher, PublishError, PublishesMany, Report, Transient, Unknown, Untried
from schemas import tracing
from schemas.messages import Message

log = structlog.get_logger()


async def hand_over(
    publisher: Publisher[Any],
    messages: Sequence[Message],
    report: Report,
    *,
    within: float,
    grant: Grant | None = None,
) -> None:
    """Give all messages to the publisher and report each once, in at most about ``within`` seconds.

    With a ``grant``, a publisher that shares messages out among accounts keeps to it.

    What is not answered by then is Unknown if it was begun, Untried if not. A publisher's own defect is
    Transient for what it left unreported: the messages are tried again, and the log says why.
    """
    open_keys = {message.key for message in messages}

    def once(key: str, outcome: Outcome) -> None:
        if key in open_keys:
            open_keys.discard(key)
            report(key, outcome)

    channel, count = publisher.channel, len(messages)
    with metrics.handing_over(channel, count), tracing.span("hand over", calls=True, channel=channel, messages=count):
        try:
            with deadline.cut_off_at(asyncio.get_running_loop().time() + within):
                async with asyncio.timeout(within):
                    if grant is not None and isinstance(publisher, Rationed):
                        await publisher.publish_within(messages, once, grant)
                    elif isinstance(publisher, PublishesMany):
                        await publisher.publish_many(messages, once)
                    else:
                        await _one_by_one(publisher, messages, once)
        except TimeoutError:
            _rest(open_keys, once, Unknown("no answer before the deadline"))
        except asyncio.CancelledError:
            _rest(open_keys, once, Unknown("interrupted before an answer came"))
            raise
        except Exception as error:
            log.exception("publisher_defect", channel=channel)
            _rest(open_keys, once, Transient(f"the publisher failed: {type(error).__name__}"))
    _rest(open_keys, once, Unknown("the publisher said nothing about it"))


def _rest(open_keys: set[str], report: Report, outcome: Outcome) -> None:
    for key in sorted(open_keys):
        report(key, outcome)


async def _one_by_one(publisher: Publisher[Any], messages: Sequence[Message], report: Report) -> None:
    turns = asyncio.Semaphore(publisher.limits.concurrency)
    started: set[str] = set()
    under_way: set[str] = set()
    failed = asyncio.Event()

    async def one(message: Message) -> None:
        async with turns:
            if failed.is_set():
                return
            started.add(message.key)
            under_way.add(message.key)
            try:
                report(message.key, await publisher.publish(message))
            except PublishError as outcome:
                report(message.key, outcome)
            except Exception:
                under_way.discard(message.key)
                failed.set()
                raise

    try:
        async with asyncio.TaskGroup() as group:
            for message in messages:
                group.create_task(one(message))
    except asyncio.CancelledError:
        for message in messages:
            if message.key not in started:
                report(message.key, Untried("its turn had not come at the deadline"))
        raise
    except BaseExceptionGroup as errors:
        _rest(under_way, report, Unknown("cut short when the publisher failed on another message"))
        raise errors.exceptions[0] from None
