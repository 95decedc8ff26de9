"""Agent: events from outside, on two topics so that an urgent one never waits behind others."""

from collections.abc import Sequence
from typing import Any

from hub.intake import TOPICS, Incoming, Intake
from streams.app import App
from streams.loop import no_loss_agent


def register(app: App, intake: Intake) -> None:
    """One agent a topic: each has its own queue."""

    async def handle(events: Sequence[Any]) -> int:
        return await intake.take_in([_incoming(event.message) for event in events])

    for topic in TOPICS:
        no_loss_agent(app, f"intake {topic}", [topic], handle, take=200, within_s=0.01)


def _incoming(message: Any) -> Incoming:
    headers = message.headers or ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    return Incoming(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        headers=tuple((name, value or b"") for name, value in pairs),
    )
