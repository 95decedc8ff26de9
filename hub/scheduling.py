"""Announcements that wait for a time: what an officer's local time means, and emitting them when it has come."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from schemas.cloudevents import CloudEvent, encode_structured
from schemas.events import Notice as NoticeData
from store import notices, outbox
from store.database import Connection

TOPIC = "municipal.events"
URGENT_TOPIC = "municipal.events.urgent"
SOURCE = "/tambour/notices"
TOLERANCE = timedelta(minutes=30)
"""A notice found later than this after its time is not sent by itself: an officer is asked."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """The clocks go forward over this time: it does not exist. ``before`` and ``after`` are the nearest that do."""

    before: datetime
    after: datetime


@dataclass(frozen=True, slots=True)
class Repeated:
    """The clocks go back: this time comes twice."""

    first: datetime
    second: datetime


def instant(local: datetime, zone: str) -> datetime | Skipped | Repeated:
    """The UTC instant of a local time (naive) in a zone, or why there is none or more than one."""
    if local.tzinfo is not None:
        raise ValueError("a local time has no offset")
    there = ZoneInfo(zone)
    first, second = (local.replace(tzinfo=there, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return first
    if first < second:
        return Repeated(first, second)
    gap = first - second  # PEP 495: in a gap, fold=0 reads the offset from before it and lands later
    before, after = ((local + shift).replace(tzinfo=there).astimezone(UTC) for shift in (-gap, gap))
    return Skipped(before, after)


def event_of(notice: notices.Notice) -> CloudEvent:
    """The event by which a notice enters, through the same door as every other."""
    return CloudEvent(
        id=notice.event_id,
        source=f"{SOURCE}/{notice.authority}",
        type=NoticeData.TYPE,
        time=notice.due_at,
        data=notice.content,
    )


def message_of(event: CloudEvent, *, urgent: bool, key: str) -> outbox.Outgoing:
    """The Kafka message of an event of ours."""
    value, headers = encode_structured(event)
    return outbox.Outgoing(URGENT_TOPIC if urgent else TOPIC, value, key.encode(), tuple(headers))


def key_of(content: Mapping[str, Any]) -> str:
    """Kafka key: events of one matter stay in order."""
    return f"{content['authority']}:{content['matter']}"


async def emit_due(connection: Connection) -> int:
    """Emit the notices whose time has come, in the caller's transaction; returns how many.

    The row changes state and the message is put into the outbox together: two clocks emit a notice once, and a
    clock that dies in between has emitted nothing.
    """
    found = await notices.due(connection)
    for notice in found:
        await outbox.put(connection, [message_of(event_of(notice), urgent=notice.urgent, key=key_of(notice.content))])
        await notices.mark(connection, notice.id, "emitted")
    return len(found)
