"""Withdrawing an announcement by hand: nothing more of it goes out, and what is out is taken back or contradicted.

It becomes a new version, cancelled and retracted: whoever has an earlier one in a mail or an SMS is told, posts are
deleted where the network can, edited or answered where it can't (hub.thread).
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hub.ordering import orders_on
from hub.routing import Audience, fastest
from publishers.registry import CHANNELS
from schemas.announcements import Action
from schemas.lanes import Lane
from store import announcements, events, outbox
from store.database import Connection
from store.orders import order_message

_SOURCE = "/tambour/officers"
_TIME_TO_TAKE_BACK = timedelta(days=1)


class NotWithdrawable(ValueError):
    """Why an announcement can't be withdrawn."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The version that withdraws, and the channels on which it is told."""

    version: int
    channels: tuple[str, ...]


async def withdraw(connection: Connection, announcement: int, *, reason: str, silent: bool) -> Withdrawn:
    """Withdraw, in the caller's transaction. Raises NotWithdrawable.

    ``silent``: posts are taken back, and nobody gets a second mail or SMS. ``reason`` is kept, not published.
    """
    place = await announcements.whose(connection, announcement)
    known = None if place is None else await announcements.lock(connection, *place)
    if place is None or known is None:
        raise NotWithdrawable(f"there is no announcement {announcement}")
    authority_id, matter = place
    if known.withdrawn:
        raise NotWithdrawable("it is withdrawn already")
    said = await announcements.content(connection, announcement, known.version)
    channels = tuple(name for name in known.channels if CHANNELS[name].broadcast or not silent)
    revision = known.revision  # the emitter's own next one is news
    content = said.model_copy(
        update={
            "action": Action.CANCEL,
            "revision": revision,
            "retracted": True,
            "lane": fastest(known.lane or Lane.ROUTINE, Lane.ROUTINE),
            # taking back takes its time, also when there is nothing left to tell
            "expires": max(said.expires, datetime.now(UTC) + _TIME_TO_TAKE_BACK),
            "data": {**said.data, "action": Action.CANCEL.value, "revision": revision},
        }
    )
    version = await announcements.revise(connection, known, content, withdraw=True)
    orders = await announcements.order(
        connection,
        announcement=announcement,
        version=version,
        authority_id=authority_id,
        content=content,
        orders=orders_on(channels, Audience.HOLDERS),
    )
    await outbox.put(connection, [order_message(order, content.lane) for order in orders])
    await events.add(
        connection,
        events.Arrival(
            source=_SOURCE,
            event_id=str(uuid.uuid4()),
            type=content.type,
            authority_id=authority_id,
            matter=matter,
            revision=revision,
            action=Action.CANCEL.value,
            outcome="announced",
            occurred_at=datetime.now(UTC),
            payload={"withdrawn": reason, "silent": silent},
            announcement_id=announcement,
            version=version,
        ),
    )
    return Withdrawn(version, channels)
