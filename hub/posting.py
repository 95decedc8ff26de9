"""Publishing on social networks: threads, corrections and retractions, each call committed before it is made.

The network's own publisher makes one post a call; this one, which the hub uses in its place, makes of a whole
announcement the calls that it takes (hub.thread), and remembers them (store.posts). After a crash it goes on
where it stood: what has an answer is done, what was handed over without one is settled by the channel's rule.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hub import addresses, pictures
from hub.fitting import CannotFit
from hub.thread import Abilities, instead, live, steps
from publishers.base import (
    Deletes,
    Edits,
    Finds,
    Limits,
    Permanent,
    PostForm,
    Publisher,
    PublishError,
    Publishes,
    Receipt,
    Transient,
    Unclear,
    Unknown,
    Untried,
)
from schemas.deliveries import DeliveryId
from schemas.messages import Picture, Post, Publication
from store import pictures as library
from store import posts
from store.database import Pool, transaction
from store.posts import PREVIOUS, Row

_CLOCKS = timedelta(minutes=1)  # the provider's clock may be behind ours by this much
_BUDGET_S = 2.0
"""A thread longer than this goes on in the next turn: a call under way at the deadline would be unclear."""


def poster(pool: Pool, network: Publisher[Any]) -> "Poster":
    """What the hub uses in the place of a social network's publisher. TypeError when it is none."""
    looks = network.unclear is Unclear.LOOK_UP and isinstance(network, Finds)
    return (SearchingPoster if looks else Poster)(pool, network)


class Poster:
    """A social network for whole announcements. Wraps its publisher, and closes it."""

    def __init__(self, pool: Pool, network: Publisher[Any]) -> None:
        if not isinstance(network, Publishes):
            raise TypeError(f"{network.channel} has no form of posts")
        self._pool = pool
        self._network: Any = network
        self.channel = network.channel
        self.limits: Limits = network.limits
        self.unclear: Unclear = network.unclear
        self._able = Abilities(edits=isinstance(network, Edits), deletes=isinstance(network, Deletes))

    async def publish(self, whole: Publication) -> Receipt:
        """Say all that is still to be said. See ``Publisher.publish``; the receipt is that of the thread's head,
        its code what was done: "posted", "answered", "edited", "deleted"."""
        began = time.monotonic()
        form: PostForm = await self._network.form(whole.account)
        story, first = await self._planned(whole, form)
        for index, row in enumerate(story[first:], first):
            if row.done:
                continue
            if time.monotonic() - began > _BUDGET_S:
                raise Untried("the rest of the thread goes out in the next turn")
            story[index] = await self._take(whole, form, row, story[:index])
        return _receipt(story[first:])

    async def aclose(self) -> None:
        """Close the network's publisher."""
        await self._network.aclose()

    async def _story(self, order_id: int, recipient_id: int) -> tuple[list[Row], int]:
        """Every step of the announcement on this account, and where those of this order begin."""
        async with self._pool.acquire() as connection:
            story = await posts.story(connection, order_id, recipient_id)
        return story, sum(row.order_id != order_id for row in story)

    async def _planned(self, whole: Publication, form: PostForm) -> tuple[list[Row], int]:
        """The story with this delivery's steps, planned at its first try."""
        story, first = await self._story(whole.order_id, whole.recipient_id)
        if first < len(story):
            return story, first
        for index, row in enumerate(story):
            # an earlier version's post that got no answer: it is corrected as well, if it is out
            if row.open and row.step.act == "publish" and isinstance(self._network, Finds):
                story[index] = await self._find(whole.recipient_id, whole.account, row, story[:index]) or row
        try:
            planned = steps(whole, form, live(story), self._able)
        except CannotFit as error:
            raise Permanent(f"the text can't be made to fit: {error}", code="too_long") from error
        async with transaction(self._pool) as connection:
            await posts.plan(connection, whole.order_id, whole.recipient_id, planned)
        return await self._story(whole.order_id, whole.recipient_id)

    async def _take(self, whole: Publication, form: PostForm, row: Row, before: Sequence[Row]) -> Row:
        """Make one call and keep its answer. Raises what the network's publisher raises."""
        if (found := await self._already_there(whole, row, before)) is not None:
            return found
        place = (whole.order_id, whole.recipient_id, row.step.number)
        async with transaction(self._pool) as connection:
            begun = await posts.begin(connection, *place, _attempt(whole.key))
        try:
            receipt = await self._call(whole, form, row, before, begun)
        except Unknown as error:
            if row.step.act != "publish":  # twice is the same as once
                raise Transient(error.reason, code=error.code) from error
            raise  # the row stays open
        except PublishError as error:
            other = None
            if isinstance(error, Permanent):
                other = instead(row.step, error.code, whole, form, self._able, now=datetime.now(UTC))
            async with transaction(self._pool) as connection:
                await posts.untaken(connection, *place)
                if other is not None:
                    await posts.replace(connection, *place[:2], other)
            if other is None:
                raise
            return await self._take(whole, form, replace(row, step=other, open=False, begun_at=None), before)
        return await self._done(row, whole.recipient_id, receipt)

    async def _already_there(self, whole: Publication, row: Row, before: Sequence[Row]) -> Row | None:
        """A post that was handed over without an answer, when it is found; None when the call is to be made (again)."""
        if not row.open or row.step.act != "publish":
            return None  # editing and deleting twice is the same as once
        if self.unclear is Unclear.LOOK_UP and row.attempt == _attempt(whole.key):
            # its rule is that somebody looks first: the hub by look_up, or an officer, whose retry is a new attempt
            raise Unknown("it may be there already, and nobody has looked yet", code="unclear")
        if self.unclear is not Unclear.SEND_AGAIN or not isinstance(self._network, Finds) or row.begun_at is None:
            return None
        forgotten = datetime.now(UTC) - row.begun_at >= self._network.key_kept
        return await self._find(whole.recipient_id, whole.account, row, before) if forgotten else None

    async def _find(self, recipient_id: int, account: str, row: Row, before: Sequence[Row]) -> Row | None:
        assert row.begun_at is not None  # it is open, so it was begun
        post = _post(row, account, DeliveryId(row.order_id, recipient_id), before, row.begun_at)
        receipt = await self._network.find(post, row.begun_at - _CLOCKS)
        return None if receipt is None else await self._done(row, recipient_id, receipt)

    async def _call(
        self, whole: Publication, form: PostForm, row: Row, before: Sequence[Row], begun: datetime
    ) -> Receipt:
        step = row.step
        if step.act == "delete":
            await self._network.delete(step.target, whole.account)
            return Receipt(step.target)
        head = step.number == 1
        post = _post(
            row,
            whole.account,
            DeliveryId(whole.order_id, whole.recipient_id),
            before,
            begun,
            language=whole.language,
            link=whole.link if head and form.links else None,
            pictures=await self._pictures(whole, form) if head else (),
            warning=whole.warning,
        )
        receipt: Receipt = await (
            self._network.edit(step.target, post) if step.act == "edit" else self._network.publish(post)
        )
        return receipt

    async def _pictures(self, whole: Publication, form: PostForm) -> tuple[Picture, ...]:
        if not whole.pictures or not form.pictures:
            return ()
        async with self._pool.acquire() as connection:
            entries = await library.load(connection, whole.authority_id, whole.pictures[: form.pictures])
        try:
            return tuple([await asyncio.to_thread(pictures.prepared, entry, form, whole.language) for entry in entries])
        except pictures.BadPicture as error:
            raise Permanent(f"a picture can't be sent: {error}", code="picture") from error

    async def _done(self, row: Row, recipient_id: int, receipt: Receipt) -> Row:
        async with transaction(self._pool) as connection:
            await posts.done(connection, row.order_id, recipient_id, row.step.number, receipt.reference, receipt.url)
        return replace(row, open=False, reference=receipt.reference, url=receipt.url, done=True)


class SearchingPoster(Poster):
    """A network that doesn't deduplicate, and can be searched: ``LooksUp`` for the hub."""

    async def look_up(self, key: str, address: str, /) -> Receipt | None:
        """The receipt when all has been said; None when something is still to be said (and ``publish`` may).

        Raises like ``Finds.find``.
        """
        delivery, _ = addresses.parse_key(key)
        story, first = await self._story(delivery.order_id, delivery.recipient_id)
        for index, row in enumerate(story[first:], first):
            if not row.open or row.step.act != "publish":
                continue
            found = await self._find(delivery.recipient_id, address, row, story[:index])
            if found is None:
                async with transaction(self._pool) as connection:
                    await posts.untaken(connection, row.order_id, delivery.recipient_id, row.step.number)
                return None
            story[index] = found
        own = story[first:]
        return _receipt(own) if own and all(row.done for row in own) else None


def part_key(delivery: DeliveryId, number: int) -> str:
    """The idempotency key of one post: the delivery's first attempt, and from the second post on its number."""
    key = addresses.key(delivery, 1)
    return key if number == 1 else f"{key}.p{number}"


def _attempt(key: str) -> int:
    return addresses.parse_key(key)[1]


def _post(
    row: Row,
    account: str,
    delivery: DeliveryId,
    before: Sequence[Row],
    begun: datetime,
    *,
    language: str = "fr",
    link: str | None = None,
    pictures: tuple[Picture, ...] = (),
    warning: str | None = None,
) -> Post:
    out = [one.reference for one in live(before)]
    answers = row.step.answers
    if answers == PREVIOUS:
        answers = out[-1] if out else None
    return Post(
        key=part_key(delivery, row.step.number),
        account=account,
        text=row.step.text,
        language=language,
        at=begun,
        link=link,
        pictures=pictures,
        warning=warning,
        reply_to=answers,
        root=out[0] if answers in out else answers,
    )


def _receipt(rows: Sequence[Row]) -> Receipt:
    """The whole's outcome: its head's address, and what was done."""
    first = rows[0]
    word = {"publish": "answered" if first.step.answers else "posted", "edit": "edited", "delete": "deleted"}
    url = next((row.url for row in rows if row.url), None)
    return Receipt(reference=first.reference, code=word[first.step.act], url=url)
