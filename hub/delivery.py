"""Delivery of a batch: claim it, with what is known of its members, and take a turn at it (hub.turn)."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from pydantic import BaseModel

from hub import metrics
from hub.composing import LOGO, PICTURE, Composer, Subject
from hub.limiter import Limiter, Meter
from hub.pictures import BadPicture
from hub.posting import Poster, poster
from hub.recording import Recorder
from hub.settings import DeliverySettings
from hub.studio import Studio
from hub.turn import Turn, boot_clock
from publishers.accounts import Shuts
from publishers.base import PostForm, Publisher
from publishers.registry import CHANNELS, open_publisher
from schemas import tracing
from schemas.announcements import Content
from schemas.deliveries import State
from store import announcements, authorities, batches, deliveries, pictures
from store.batches import Claimed
from store.database import Connection, Pool, transaction
from store.deliveries import Unknowns
from store.pictures import Entry

log = structlog.get_logger()

_KEPT = 64  # versions whose content and pictures are kept
_READY_WITHIN_S = 2.0


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
        self._limiters: dict[str, Limiter] = {}
        self._contents: OrderedDict[tuple[int, int], Content] = OrderedDict()
        self._studio = Studio()
        self._illustrations: OrderedDict[tuple[int, int, str | None], tuple[list[Entry], list[Entry]]] = OrderedDict()

    async def deliver(self, batch_id: int) -> None:
        """Deliver as much of a batch as the deadline allows. Returns at once when the batch is not to be had.

        Raises one of store.database.AWAY when the database goes away between windows: the lease then brings the
        batch back, and what was handed over has been recorded.
        """
        started, since = boot_clock(), tracing.now()
        async with transaction(self._pool) as connection:  # all or nothing: whose claim it is must know its members
            batch = await batches.claim(connection, batch_id, self._owner, self._sizes.lease_s)
            if batch is None:
                return
            unknown = [one.recipient_id for one in (*batch.members, *batch.unclear) if one.state is State.UNKNOWN]
            unknown += [one.recipient_id for one in batch.unclear]
            counts = await deliveries.unknowns(connection, batch.order_id, unknown) if unknown else {}
            subject = await self._subject(connection, batch)
        metrics.batch_claimed(batch.channel)
        with tracing.span("deliver", batch.traceparent, since=since, batch=batch_id, channel=batch.channel):
            tracing.step("claim", since=since)
            await self._take_turn(batch, subject, counts, started)

    async def _take_turn(self, batch: Claimed, subject: Subject, counts: dict[int, Unknowns], started: float) -> None:
        if batch.channel not in self._channels:
            log.error("channel_not_set_up", channel=batch.channel, batch=batch.id)
            await self._give_back(batch, f"settings: channels.{batch.channel}", timedelta(minutes=1))
            return
        if CHANNELS[batch.channel].family == "email":
            shown = await self._illustrated(subject)
            if shown is None:
                await self._give_back(batch, "its pictures", timedelta(seconds=1))
                return
            subject = shown
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
                Meter(self._limiter(batch.channel), batch.lane),
            ).run()

    async def _subject(self, connection: Connection, batch: Claimed) -> Subject:
        """What is sent, and who speaks; what a version says never changes, so it is read once."""
        place = (batch.announcement_id, batch.version)
        content = self._contents.get(place)
        if content is None:
            content = self._contents[place] = await announcements.content(connection, *place)
            if len(self._contents) > _KEPT:
                self._contents.popitem(last=False)
        authority = await authorities.get(connection, batch.authority_id)
        return Subject(*place, batch.order_id, batch.channel, content, authority)

    async def _give_back(self, batch: Claimed, waits_for: str, pause: timedelta) -> None:
        left = [one.recipient_id for one in (*batch.members, *batch.unclear)]
        async with transaction(self._pool) as connection:
            await batches.finish(
                connection,
                batch,
                left,
                waits_for=waits_for,
                not_before=batch.claimed_at + pause,
                unclear=[one.recipient_id for one in batch.unclear],
            )
        metrics.batch_finished(batch.channel, left=len(left))

    async def _illustrated(self, subject: Subject) -> Subject | None:
        """The subject with what its mails show, as small as a mail wants it; None when that is not ready yet.

        Read and made once a version: a mail goes to thousands, from one rendering.
        """
        identity, named = subject.authority.identity, tuple(subject.content.data.get("pictures") or ())
        if identity.logo is None and not named:
            return subject
        place = (subject.announcement_id, subject.version, identity.logo)
        if place not in self._illustrations:
            names = ([identity.logo] if identity.logo else []) + list(named)
            async with self._pool.acquire() as connection:
                entries = await pictures.load(connection, subject.authority.id, names)
            logo = [entry for entry in entries if entry.name == identity.logo][:1]
            rest = [entry for entry in entries if entry.name != identity.logo]
            small = [await self._small(logo, LOGO), await self._small(rest, PICTURE)]
            if small[0] is None or small[1] is None:
                return None
            self._illustrations[place] = (small[0], small[1])
            if len(self._illustrations) > _KEPT:
                self._illustrations.popitem(last=False)
        crest, shown = self._illustrations[place]
        return replace(subject, logo=crest[0] if crest else None, pictures=tuple(shown))

    async def _small(self, entries: Sequence[Entry], form: PostForm) -> list[Entry] | None:
        try:
            made = await self._studio.encoded(entries, form, within=_READY_WITHIN_S)
        except BadPicture:
            log.exception("picture_left_out", pictures=[entry.name for entry in entries])
            return []
        if made is None:
            return None
        return [
            replace(entry, content=one.content, media_type=one.media_type, width=one.width, height=one.height)
            for entry, one in zip(entries, made, strict=True)
        ]

    def _publisher(self, channel: str) -> Publisher[Any]:
        if channel not in self._publishers:
            publisher = open_publisher(channel, self._channels[channel])
            social = CHANNELS[channel].family == "social"
            self._publishers[channel] = poster(self._pool, publisher, self._studio) if social else publisher
        return self._publishers[channel]

    def _limiter(self, channel: str) -> Limiter:
        if channel not in self._limiters:
            publisher = self._publisher(channel)
            self._limiters[channel] = publisher.limiter if isinstance(publisher, Poster) else Limiter(publisher)
            if isinstance(publisher, Shuts):
                for name in publisher.shut():
                    metrics.watch_provider(channel, name, partial(_is_shut, publisher, name))
        return self._limiters[channel]

    async def aclose(self) -> None:
        """Give the providers' connections back."""
        for publisher in self._publishers.values():
            await publisher.aclose()
        self._studio.close()


def _is_shut(publisher: Shuts, account: str) -> bool:
    return publisher.shut()[account]
