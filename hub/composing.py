"""From an announcement version and a recipient to the message of the channel's family.

Rendering happens once for each version, channel and language; a recipient then costs a splice.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from hub import addresses, calls
from hub.addresses import Signer
from hub.mail_mime import InlineImage
from hub.rendering import BadSlot, MailSlots, Renderer, Shown
from hub.settings import LinkSettings
from publishers.base import Permanent, PostForm
from publishers.registry import CHANNELS
from schemas.announcements import Content
from schemas.deliveries import DeliveryId, attempt_of
from schemas.messages import Call, Mail, Message, Publication, Text
from store.authorities import Authority
from store.batches import Member
from store.pictures import Entry

PICTURE = PostForm(characters=0, picture_octets=60_000, picture_side=600)
"""How large a picture in a mail is: it goes to everybody, over whatever line they have."""
LOGO = PostForm(characters=0, picture_octets=12_000, picture_side=240)
TOKEN_LENGTH = 25
"""Of the last part of a link to leave, at most, up to four milliard recipients: what an SMS keeps free for it."""
_KEPT = 256  # renderings: some kilobytes each

Maker = Callable[[Member, str], Message]
"""Makes the message for a member under a key. Raises Permanent when its address can't be written to."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is rendered: one version on one channel, and who speaks."""

    announcement_id: int
    version: int
    order_id: int
    channel: str
    content: Content
    authority: Authority
    logo: Entry | None = None
    pictures: tuple[Entry, ...] = ()
    """What a mail shows, small already (LOGO, PICTURE); posts fetch theirs when they are made."""


class Composer:
    """Makes messages. One serves a process; renderings are kept, the least used thrown away."""

    def __init__(self, renderer: Renderer, links: LinkSettings) -> None:
        self._renderer = renderer
        self._signer = Signer(links.secret.get_secret_value().encode())
        self._public_url = str(links.public_url).rstrip("/")
        self._bounce_domain = links.bounce_domain
        self._makers: OrderedDict[tuple[int, int, str, str], Maker] = OrderedDict()
        self._of_family = {"email": self._mail, "sms": self._text, "social": self._post, "webhook": self._call}

    def compose(self, subject: Subject, member: Member) -> Message:
        """The member's message. Raises Permanent for an address that can't be used, TemplateError for a template."""
        language = member.language if member.language in subject.content.languages else subject.content.languages[0]
        place = (subject.announcement_id, subject.version, subject.channel, language)
        maker = self._makers.get(place)
        if maker is None:
            maker = self._makers[place] = self._of_family[CHANNELS[subject.channel].family](subject, language)
            if len(self._makers) > _KEPT:
                self._makers.popitem(last=False)
        self._makers.move_to_end(place)
        return maker(member, key_of(subject.order_id, member))

    def _mail(self, subject: Subject, language: str) -> Maker:
        identity = subject.authority.identity
        domain = identity.mail_from.rpartition("@")[2]
        template = self._renderer.mail(
            subject.content,
            identity,
            language,
            zone=subject.authority.time_zone,
            logo=_shown(subject.logo, language) if subject.logo else None,
            pictures=[_shown(entry, language) for entry in subject.pictures],
        )

        def make(member: Member, key: str) -> Mail:
            address = member.address or ""
            try:
                slots = MailSlots(
                    recipient=address,
                    message_id=addresses.message_id(key, domain),
                    unsubscribe_url=f"{self._public_url}/u/{self._signer.unsubscribe_token(member.recipient_id)}",
                )
            except BadSlot as error:
                raise Permanent(f"the address can't be written to: {error.reason}", code="bad_address") from error
            return Mail(
                key=key,
                sender=self._signer.envelope_sender(key, self._bounce_domain),
                recipient=address,
                content=template.splice(slots),
                ready=template.ready and address.isascii(),
            )

        return make

    def _text(self, subject: Subject, language: str) -> Maker:
        identity, expires = subject.authority.identity, subject.content.expires
        sender, mark = identity.sms_sender_for(subject.content.lane), secrets.token_hex(13)[:TOKEN_LENGTH]
        leave, zone = f"{self._public_url}/u/{mark}", subject.authority.time_zone
        text = self._renderer.text(subject.content, identity, language, leave=leave, zone=zone)
        if mark not in text:  # who can answer STOP needs no link
            return lambda member, key: Text(key, sender, member.address or "", text, expires)

        def make(member: Member, key: str) -> Text:
            token = self._signer.unsubscribe_token(member.recipient_id)
            return Text(key, sender, member.address or "", text.replace(mark, token), expires)

        return make

    def _post(self, subject: Subject, language: str) -> Maker:
        identity, content = subject.authority.identity, subject.content
        said = self._renderer.post(
            content, identity, language, channel=subject.channel, zone=subject.authority.time_zone
        )
        warning = (content.data.get("warning") or {}).get(language) or (content.data.get("warning") or {}).get("fr")
        return lambda member, key: Publication(
            key=key,
            order_id=subject.order_id,
            recipient_id=member.recipient_id,
            authority_id=subject.authority.id,
            account=member.address or "",
            text=said.text,
            language=language,
            link=said.link,
            pictures=tuple(content.data.get("pictures") or ()),
            warning=warning,
            retracted=content.retracted,
            zone=subject.authority.time_zone,
        )

    def _call(self, subject: Subject, language: str) -> Maker:
        data = calls.told(subject.content, subject.authority, subject.announcement_id, subject.version, self._renderer)

        def make(member: Member, _: str) -> Call:
            # a replay has the id of the first call: the receiver that took that one takes no second
            key = addresses.key(DeliveryId(subject.order_id, member.recipient_id), 1)
            return Call(key, member.address or "", calls.body_of(data, key))

        return make


def _shown(entry: Entry, language: str) -> Shown:
    image = InlineImage(entry.name, entry.content, entry.media_type)
    return Shown(image, entry.alt.get(language) or entry.alt["fr"], entry.rights)


def key_of(order_id: int, member: Member) -> str:
    """The idempotency key of the member's attempt: the same on every try of it."""
    return addresses.key(DeliveryId(order_id, member.recipient_id), attempt_of(member.standing))
