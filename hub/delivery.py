"""Delivery of a batch: claim it, with what is known of its members, and take a turn at it (hub.turn)."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog
from pydantic import BaseModel

from hub.composing import Composer, Subject
from hub.posting import poster
from hub.recording import Recorder
from hub.settings import DeliverySettings
from hub.turn import Turn, boot_clock
from publishers.base import Publisher
from publishers.registry import CHANNELS, open_publisher
from schemas.deliveries import State
from store import announcements, authorities, batches, deliveries, pictures
from store.batches import Claimed
from store.database import Connection, Pool, transaction

log = structlog.get_logger()


class Deliverer:
    """Delivers batches with the channels of the settings. One serves a process; close it with ``aclose``."""

    def __init__(
        self,
        pool: Pool,
        *,
        owner: str,
        composer: Composer,
        channels: Mapping[str, BaseModel],
        sizes: DeliverySettings,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._pool = pool
        self._owner = owner
        self._composer = composer
        self._channels = channels
        self._sizes = sizes
        self._stopping = stopping
        self._publishers: dict[str, Publisher[Any]] = {}

    async def deliver(self, batch_id: int) -> None:
        """Deliver as much of a batch as the deadline allows. Returns at once when the batch is not to be had.

        Raises one of store.database.AWAY when the database goes away between windows: the lease then brings the
        batch back, and what was handed over has been recorded.
        """
        started = boot_clock()
        async with transaction(self._pool) as connection:
            batch = await batches.claim(connection, batch_id, self._owner, self._sizes.lease_s)
            if batch is None:
                return
            unknown = [one.recipient_id for one in (*batch.members, *batch.unclear) if one.state is State.UNKNOWN]
            unknown += [one.recipient_id for one in batch.unclear]
            counts = await deliveries.unknowns(connection, batch.order_id, unknown) if unknown else {}
            subject = await _subject(connection, batch)
        if batch.channel not in self._channels:
            await self._wait_for_settings(batch)
            return
        publisher = self._publisher(batch.channel)
        async with Recorder(self._pool, batch) as recorder:
            await Turn(
                self._pool,
                batch,
                subject,
                publisher,
                self._composer,
                recorder,
                self._sizes,
                self._stopping,
                counts,
                started,
            ).run()

    async def _wait_for_settings(self, batch: Claimed) -> None:
        log.error("channel_not_set_up", channel=batch.channel, batch=batch.id)
        left = [one.recipient_id for one in (*batch.members, *batch.unclear)]
        pause = batch.claimed_at + timedelta(minutes=1)
        async with transaction(self._pool) as connection:
            await batches.finish(
                connection,
                batch,
                left,
                waits_for=f"settings: channels.{batch.channel}",
                not_before=pause,
                unclear=[one.recipient_id for one in batch.unclear],
            )

    def _publisher(self, channel: str) -> Publisher[Any]:
        if channel not in self._publishers:
            publisher = open_publisher(channel, self._channels[channel])
            social = CHANNELS[channel].family == "social"
            self._publishers[channel] = poster(self._pool, publisher) if social else publisher
        return self._publishers[channel]

    async def aclose(self) -> None:
        """Give the providers' connections back."""
        for publisher in self._publishers.values():
            await publisher.aclose()


async def _subject(connection: Connection, batch: Claimed) -> Subject:
    content = await announcements.content(connection, batch.announcement_id, batch.version)
    authority = await authorities.get(connection, batch.authority_id)
    plain = Subject(batch.announcement_id, batch.version, batch.order_id, batch.channel, content, authority)
    if CHANNELS[batch.channel].family != "email":
        return plain
    logo = [authority.identity.logo] if authority.identity.logo else []
    named = content.data.get("pictures") or []
    found = {entry.name: entry for entry in await pictures.load(connection, authority.id, [*logo, *named])}
    shown = tuple(found[name] for name in named if name in found and name not in logo)
    return replace(plain, logo=found.get(authority.identity.logo or ""), pictures=shown)
