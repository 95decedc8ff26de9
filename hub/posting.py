"""Publishing on social networks: threads, corrections and retractions, each call committed before it is made.

The network's own publisher makes one post a call; this one, which the hub uses in its place, makes of a whole
announcement the calls that it takes (hub.thread), and remembers them (store.posts). After a crash it goes on
where it stood: what has an answer is done, what was handed over without one is settled by the channel's rule.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from hub import addresses
from hub.fitting import CannotFit
from hub.limiter import Limiter
from hub.pictures import BadPicture, worded
from hub.studio import Studio
from hub.thread import Abilities, besides, instead, live, steps
from publishers.base import (
    CANNOT_SAY,
    Deletes,
    Edits,
    Finds,
    Limits,
    NotYet,
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
from store.database import Pool, database_time, transaction
from store.posts import PREVIOUS, Row

log = structlog.get_logger()

_CLOCKS = timedelta(minutes=1)  # the provider's clock may be behind ours by this much
_BUDGET_S = 2.0
"""A thread longer than this goes on in the next turn: a call under way at the deadline would be unclear."""


def poster(pool: Pool, network: Publisher[Any], studio: Studio | None = None) -> "Poster":
    """What the hub uses in the place of a social network's publisher. TypeError when it is none."""
    kind = Poster if network.unclear is Unclear.SEND_AGAIN else AskablePoster
    return kind(pool, network, studio or Studio())


class Poster:
    """A social network for whole announcements. Wraps its publisher, and closes it."""

    def __init__(self, pool: Pool, network: Publisher[Any], studio: Studio) -> None:
        if not isinstance(network, Publishes):
            raise TypeError(f"{network.channel} has no form of posts")
        self._pool = pool
        self._network: Any = network
        self._studio = studio
        self.channel = network.channel
        self.limiter = Limiter(network)
        self.limits: Limits = network.limits
        self.unclear: Unclear = network.unclear
        self._able = Abilities(edits=isinstance(network, Edits), deletes=isinstance(network, Deletes))

    async def publish(self, whole: Publication) -> Receipt:
        """Say all that is still to be said. See ``Publisher.publish``; the receipt is that of the thread's head,
        its code what was done: "posted", "answered", "edited", "deleted", or "nothing_out"."""
        began = time.monotonic()
        form: PostForm = await self._network.form(whole.account)
        if not await self._planned(whole, form):
            return Receipt(code="nothing_out")  # a retraction where nothing was said
        while True:
            story, first = await self._story(whole.order_id, whole.recipient_id)
            undone = next((index for index in range(first, len(story)) if not story[index].done), None)
            if undone is None:
                return _receipt(story[first:])
            if time.monotonic() - began > _BUDGET_S:
                raise Untried("the rest of the thread goes out in the next turn")
            await self._take(whole, form, story[undone], story[:undone], last=story[-1].step.number)

    async def aclose(self) -> None:
        """Close the network's publisher."""
        await self._network.aclose()

    async def _story(self, order_id: int, recipient_id: int) -> tuple[list[Row], int]:
        """Every step of the announcement on this account, and where those of this order begin."""
        async with self._pool.acquire() as connection:
            story = await posts.story(connection, order_id, recipient_id)
        return story, sum(row.order_id != order_id for row in story)

    async def _planned(self, whole: Publication, form: PostForm) -> bool:
        """Plan this delivery's steps at its first try; False when there is nothing to do."""
        story, first = await self._story(whole.order_id, whole.recipient_id)
        if first < len(story):
            return True
        async with self._pool.acquire() as connection:
            if await posts.earlier_under_way(connection, whole.order_id, whole.recipient_id):
                raise Untried("an earlier version is being told at this moment")
        for index, row in enumerate(story):
            if row.open and row.step.act == "publish":
                await self._settle(whole, row, story[:index])
        story, _ = await self._story(whole.order_id, whole.recipient_id)
        unclear = any(row.open and row.step.act == "publish" for row in story)
        try:
            planned = steps(whole, form, live(story), self._able, unclear=unclear)
        except CannotFit as error:
            raise Permanent(f"the text can't be made to fit: {error}", code="too_long") from error
        async with transaction(self._pool) as connection:
            await posts.plan(connection, whole.order_id, whole.recipient_id, planned)
        return bool(planned)

    async def _settle(self, whole: Publication, row: Row, before: Sequence[Row]) -> None:
        """An earlier version's post that got no answer, found if it is out: it has to be corrected as well."""
        try:
            if isinstance(self._network, Finds):
                await self._find(whole.recipient_id, whole.account, row, before)
            elif self.unclear is Unclear.SEND_AGAIN:
                # the same again under its key changes nothing, and tells its reference
                assert row.begun_at is not None  # it is open, so it was begun
                delivery = DeliveryId(row.order_id, whole.recipient_id)
                post = _post(row, whole.account, delivery, before, row.begun_at, language=whole.language)
                await self._done(row, whole.recipient_id, await self._network.publish(post))
        except Permanent as error:
            log.warning("earlier_post_not_found", channel=self.channel, order=row.order_id, reason=error.reason)

    async def _take(self, whole: Publication, form: PostForm, row: Row, before: Sequence[Row], *, last: int) -> None:
        """Make one call and keep its answer, or another step in its place. Raises what the publisher raises."""
        if await self._already_there(whole, row, before):
            return
        shown = await self._pictures(whole, form) if row.step.number == 1 and row.step.act != "delete" else ()
        place = (whole.order_id, whole.recipient_id, row.step.number)
        async with transaction(self._pool) as connection:
            if not await posts.is_current(connection, whole.order_id):
                raise Untried("a newer version is to be told instead")
            wait = await self.limiter.take_one(connection, whole.account)
            if wait is not None:
                raise NotYet(f"rate limit of {whole.account}", code="rate", retry_after=wait)
            begun = await posts.begin(connection, *place, _attempt(whole.key))
        if begun is None:
            return  # another owner has done it
        try:
            receipt = await self._call(whole, form, row, before, begun, shown)
            await self._done(row, whole.recipient_id, receipt)
        except Unknown as error:
            if row.step.act != "publish":  # twice is the same as once
                raise Transient(error.reason, code=error.code) from error
            raise  # the row stays open
        except PublishError as error:
            other = None
            if isinstance(error, Permanent):
                other = instead(row.step, error.code, whole, form, self._able, now=datetime.now(UTC))
            async with transaction(self._pool) as connection:
                if isinstance(error, Untried):
                    await self.limiter.give_back(connection, {whole.account: 1})
                if not row.open:  # if an earlier try got no answer, this one's says nothing about it
                    await posts.untaken(connection, *place)
                if other is not None:
                    await posts.replace(connection, *place[:2], other)
                    if (more := besides(row.step, other, self._able, form, after=last)) is not None:
                        await posts.append(connection, *place[:2], [more])
            if other is None:
                raise
        except Exception as error:
            log.exception("post_failed_on_its_way", channel=self.channel, order=whole.order_id)
            raise Unknown(f"it was handed over, and then {type(error).__name__}") from error

    async def _already_there(self, whole: Publication, row: Row, before: Sequence[Row]) -> bool:
        """Whether a post that was handed over without an answer is found; if not, the call is to be made (again)."""
        if not row.open or row.step.act != "publish":
            return False  # editing and deleting twice is the same as once
        if self.unclear is Unclear.LOOK_UP and row.attempt == _attempt(whole.key):
            # its rule is that somebody looks first: the hub by look_up, or an officer, whose retry is a new attempt
            raise Unknown("it may be there already, and nobody has looked yet", code="unclear")
        if self.unclear is not Unclear.SEND_AGAIN or not isinstance(self._network, Finds) or row.begun_at is None:
            return False
        async with self._pool.acquire() as connection:  # by its clock it was begun
            forgotten = await database_time(connection) - row.begun_at >= self._network.key_kept
        return forgotten and await self._find(whole.recipient_id, whole.account, row, before)

    async def _find(self, recipient_id: int, account: str, row: Row, before: Sequence[Row]) -> bool:
        """Search for an open row's post, and keep its receipt if it is there."""
        assert row.begun_at is not None  # it is open, so it was begun
        post = _post(row, account, DeliveryId(row.order_id, recipient_id), before, row.begun_at)
        receipt = await self._network.find(post, row.begun_at - _CLOCKS)
        if receipt is not None:
            await self._done(row, recipient_id, receipt)
        return receipt is not None

    async def _call(
        self,
        whole: Publication,
        form: PostForm,
        row: Row,
        before: Sequence[Row],
        begun: datetime,
        shown: tuple[Picture, ...],
    ) -> Receipt:
        step = row.step
        if step.act == "delete":
            await self._network.delete(step.target, whole.account)
            return Receipt(step.target)
        post = _post(
            row,
            whole.account,
            DeliveryId(whole.order_id, whole.recipient_id),
            before,
            begun,
            language=whole.language,
            link=whole.link if step.number == 1 and form.links else None,
            pictures=shown,
            warning=whole.warning,
        )
        receipt: Receipt = await (
            self._network.edit(step.target, post) if step.act == "edit" else self._network.publish(post)
        )
        return receipt

    async def _pictures(self, whole: Publication, form: PostForm) -> tuple[Picture, ...]:
        """Ready before anything is begun: what takes long here must not make a call unclear."""
        if not whole.pictures or not form.pictures:
            return ()
        async with self._pool.acquire() as connection:
            entries = await library.load(connection, whole.authority_id, whole.pictures[: form.pictures])
        try:
            made = await self._studio.encoded(entries, form, within=_BUDGET_S)
        except BadPicture as error:
            raise Permanent(f"a picture can't be sent: {error}", code="picture") from error
        if made is None:
            raise Untried("its pictures are still being made ready")
        return tuple(worded(entry, one, whole.language) for entry, one in zip(entries, made, strict=True))

    async def _done(self, row: Row, recipient_id: int, receipt: Receipt) -> None:
        async with transaction(self._pool) as connection:
            await posts.done(connection, row.order_id, recipient_id, row.step.number, receipt.reference, receipt.url)


class AskablePoster(Poster):
    """A network that doesn't deduplicate: before anything is said again, what is known of it is looked at."""

    async def look_up(self, key: str, address: str, /) -> Receipt | None:
        """The receipt when all has been said; None when something is still to be said (and ``publish`` may).

        Raises like ``Finds.find``; Transient with CANNOT_SAY where the network can't be searched.
        """
        delivery, _ = addresses.parse_key(key)
        story, first = await self._story(delivery.order_id, delivery.recipient_id)
        for index, row in enumerate(story[first:], first):
            if not row.open or row.step.act != "publish":
                continue
            if not isinstance(self._network, Finds):
                raise Transient("this network can't be searched", code=CANNOT_SAY)
            if not await self._find(delivery.recipient_id, address, row, story[:index]):
                async with transaction(self._pool) as connection:
                    await posts.untaken(connection, row.order_id, delivery.recipient_id, row.step.number)
                return None
        story, first = await self._story(delivery.order_id, delivery.recipient_id)
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
