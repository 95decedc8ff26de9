"""A test message of one channel to one address, past the hub: it proves the settings, and is counted nowhere."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from hub.composing import Composer, Subject
from hub.fitting import shortened
from publishers.base import Deletes, Outcome, Publisher, PublishError, Publishes
from publishers.registry import open_publisher
from schemas.announcements import Action, Content
from schemas.deliveries import State, standing
from schemas.events import Notice, template_of
from schemas.lanes import Lane, Severity
from schemas.messages import Message, Post, Publication
from store.authorities import Authority
from store.batches import Member

_TEXT = {
    "headline": {"fr": "Message d'essai", "en": "Test message"},
    "body": {
        "fr": "Ceci est un essai de nos moyens d'information. Il n'y a rien à faire.",
        "en": "This is a test of our ways to inform you. There is nothing to do.",
    },
}


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of it. ``taken_back``: None when not asked for, or the network can't."""

    key: str
    outcome: Outcome
    taken_back: bool | None = None


async def send(
    channel: str,
    options: BaseModel,
    *,
    authority: Authority,
    address: str,
    language: str,
    composer: Composer,
    take_back: bool = False,
) -> Trial:
    """Hand a test message over and tell what the provider said; with ``take_back``, a post is deleted at once."""
    publisher = open_publisher(channel, options)
    try:
        member = Member(0, address, language, standing(State.QUEUED), 0)
        message = composer.compose(_subject(channel, authority), member)
        try:
            receipt = await publisher.publish(await _fitted(publisher, message))
        except PublishError as error:
            return Trial(message.key, error)
        if not take_back or not isinstance(publisher, Deletes) or receipt.reference is None:
            return Trial(message.key, receipt)
        try:
            await publisher.delete(receipt.reference, address)
        except PublishError:
            return Trial(message.key, receipt, taken_back=False)
        return Trial(message.key, receipt, taken_back=True)
    finally:
        await publisher.aclose()


async def _fitted(publisher: Publisher[Any], message: Message) -> Message:
    """The message as the publisher takes it: of an announcement, one post."""
    if not isinstance(message, Publication) or not isinstance(publisher, Publishes):
        return message
    form = await publisher.form(message.account)
    link = message.link if form.links else None
    text = shortened(message.text, link or "", form.fits)
    return Post(message.key, message.account, text, message.language, at=datetime.now(UTC), link=link)


def _subject(channel: str, authority: Authority) -> Subject:
    now = datetime.now(UTC)
    matter = f"essai {secrets.token_hex(4)}"
    notice = Notice.model_validate(
        {
            **_TEXT,
            "authority": authority.code,
            "matter": matter,
            "revision": 1,
            "themes": authority.themes[:1] or ("demarches",),
            "onset": now,
            "expires": now + timedelta(hours=1),
        }
    )
    content = Content(
        authority=authority.code,
        type=Notice.TYPE,
        matter=matter,
        revision=1,
        action=Action.ANNOUNCE,
        severity=Severity.MINOR,
        lane=Lane.ROUTINE,
        themes=notice.themes,
        areas=(),
        channels=(channel,),
        languages=authority.languages,
        template=template_of(Notice.TYPE),
        onset=notice.onset,
        expires=notice.expires,
        data=notice.model_dump(mode="json"),
    )
    # a number that no order has, and that no test has had: providers deduplicate by the key made of it
    return Subject(0, 1, secrets.randbelow(2**30) + 2**62, channel, content, authority)
