"""Telegram: messages to the authority's own channel, by its bot (core.telegram.org/bots/api).

The Bot API has no idempotency key, and bots can't read what a channel has: a message of unknown outcome can be
neither repeated safely nor looked for, and an officer looks at the channel (``Unclear.WAIT``).

For that reason one post is one call. A text that is longer than what stands below pictures (``CAPTION``) goes out
without them: as a second message they could fail alone, be unclear alone, and stay behind when the text is taken
back. The receipt then has the code "without_pictures".
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import structlog
from pydantic import BaseModel, Field, HttpUrl, SecretStr, ValidationError, field_validator

from publishers.accounts import PaceOptions, rates_of
from publishers.base import (
    Finding,
    Limits,
    Permanent,
    PostForm,
    PublishError,
    Receipt,
    Unclear,
    Unknown,
    Untried,
)
from publishers.pictures import pictured
from publishers.rest import Rest
from publishers.settings import Options, named
from publishers.telegram.bot import Bot
from publishers.telegram.reference import Chat, Reference
from publishers.utf16 import units
from schemas.messages import Picture, Post

log = structlog.get_logger(__name__)

CAPTION = 1024
"""What stands below pictures, in UTF-16 units."""

_TOKEN = re.compile(r"[A-Za-z0-9:_-]+")
_FORM = PostForm(characters=4096, count=units, threads=True, pictures=10, picture_octets=10_000_000)


class Account(PaceOptions):
    """A bot's token, as @BotFather gives it, and the chat: "@channel", or its number ("-100…")."""

    token: SecretStr
    chat: str = Field(pattern=r"^(@[A-Za-z][A-Za-z0-9_]{3,31}|-?[0-9]{1,20})$")

    @field_validator("token")
    @classmethod
    def _part_of_a_path(cls, value: SecretStr) -> SecretStr:
        if not _TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError("a bot's token has digits, a colon, then letters, digits, - and _")
        return value


class TelegramOptions(Options):
    """Settings of the channel. ``accounts`` by the name that authorities use; ``timeout`` in seconds, of a whole
    exchange, below the hub's deadline of 5 s. ``web`` is where readers find messages of public channels."""

    accounts: dict[str, Account] = Field(min_length=1)
    url: HttpUrl = HttpUrl("https://api.telegram.org")
    timeout: float = Field(default=4.0, gt=0, le=60)
    web: HttpUrl = HttpUrl("https://t.me")


class _Message(BaseModel):
    message_id: int
    chat: Chat


class _Messages(BaseModel):
    """A message, or those of an album."""

    sent: list[_Message] = Field(min_length=1)


class _Me(BaseModel):
    id: int
    username: str = ""


class _Member(BaseModel):
    status: str
    can_post_messages: bool | None = None


class _Titled(Chat):
    type: str
    title: str = ""


class Telegram:
    """The Telegram channel; one HTTP client for each account, one message at a time."""

    channel = "telegram"
    unclear = Unclear.WAIT
    limits = Limits(window=10, concurrency=1, max_characters=_FORM.characters)

    def __init__(self, options: TelegramOptions) -> None:
        self._web = str(options.web).rstrip("/")
        self.rates = rates_of(options.accounts)
        self.rest = Rest()
        self._bots = {
            name: Bot(
                name, account.chat, account.token.get_secret_value(), str(options.url), options.timeout, self.rest
            )
            for name, account in options.accounts.items()
        }

    async def publish(self, message: Post) -> Receipt:
        """Send one message, or one album. See ``Publisher.publish``."""
        bot = self._bot(message.account)
        self.rest.check(bot.name)
        fits = units(message.text) <= CAPTION
        pictures = message.pictures if fits else ()
        head = {"chat_id": bot.chat} | _answering(message)
        match len(pictures):
            case 0:
                sent = await bot.call("sendMessage", head | _text(message))
            case 1:
                picture = {"photo": _file(0, pictures[0])}
                sent = await bot.call("sendPhoto", head | {"caption": message.text}, files=picture)
            case _:
                media = [_media(index, message.text if index == 0 else "") for index in range(len(pictures))]
                files = {_name(index): _file(index, picture) for index, picture in enumerate(pictures)}
                sent = await bot.call("sendMediaGroup", head | {"media": media}, files=files)
        try:
            messages = _Messages.model_validate({"sent": sent if isinstance(sent, list) else [sent]}).sent
        except ValidationError as error:
            raise Unknown("Telegram's answer has no message in it") from error
        identities = tuple(each.message_id for each in messages)
        reference = Reference(messages[0].chat.id, identities, pictured(pictures))
        left_out = len(message.pictures) > len(pictures)
        if left_out:
            log.warning("telegram.pictures_left_out", account=bot.name, key=message.key, units=units(message.text))
        code = "without_pictures" if left_out else None
        return Receipt(str(reference), code, messages[0].chat.address(self._web, identities[0]))

    async def form(self, account: str, /) -> PostForm:
        """The same for every account. Raises Transient for one that the settings lack.

        Telegram counts characters "after entities parsing"; UTF-16 units are never fewer.
        """
        self._bot(account)
        return _FORM

    async def edit(self, reference: str, message: Post, /) -> Receipt:
        """Replace text and pictures. See ``Edits.edit``.

        "fixed" too where Telegram can't: another number of pictures, or more text than stands below them.
        """
        bot, told = self._bot(message.account), Reference.of(reference)
        fits = units(message.text) <= CAPTION
        pictures = message.pictures if fits or told.pictures else ()
        wanted = pictured(pictures)
        had = len(told.messages) if told.pictures else 0
        if len(pictures) != had or (pictures and not fits):
            raise Permanent("the message can't get other pictures, or so long a text below them", code="fixed")
        self.rest.check(bot.name)
        head: dict[str, Any] = {"chat_id": told.chat, "message_id": told.messages[0]}
        if not pictures:
            await self._change(bot, "editMessageText", head | _text(message))
        elif wanted == told.pictures:
            await self._change(bot, "editMessageCaption", head | {"caption": message.text})
        else:
            for index, picture in enumerate(pictures):
                media = _media(index, message.text if index == 0 else "")
                asked = head | {"message_id": told.messages[index], "media": media}
                await self._change(bot, "editMessageMedia", asked, {_name(index): _file(index, picture)})
        chat = Chat(id=told.chat, username=bot.chat.removeprefix("@") if bot.chat.startswith("@") else None)
        url = chat.address(self._web, told.messages[0])
        return Receipt(str(Reference(told.chat, told.messages, wanted)), url=url)

    async def delete(self, reference: str, account: str, /) -> None:
        """Take a message or an album back. See ``Deletes.delete``; bots can for 48 hours, then it is "fixed"."""
        bot, told = self._bot(account), Reference.of(reference)
        self.rest.check(bot.name)
        asked: dict[str, Any] = {"chat_id": told.chat, "message_id": told.messages[0]}
        if album := len(told.messages) > 1:
            asked = {"chat_id": told.chat, "message_ids": list(told.messages)}
        try:
            await bot.call("deleteMessages" if album else "deleteMessage", asked)
        except Permanent as error:
            if error.code != "gone":
                raise

    async def check(self) -> Sequence[Finding]:
        """Whether each token is a bot's, its chat is there, and the bot may post in it."""
        return await asyncio.gather(*map(_checked, self._bots.values()))

    async def aclose(self) -> None:
        """Close the connections; a message under way ends Unknown, a later one Untried."""
        for bot in self._bots.values():
            await bot.aclose()

    def _bot(self, account: str) -> Bot:
        return named(self.channel, self._bots, account)

    async def _change(
        self, bot: Bot, method: str, parameters: dict[str, Any], files: dict[str, tuple[str, bytes, str]] | None = None
    ) -> None:
        try:
            await bot.call(method, parameters, files=files)
        except Permanent as error:
            if error.code != "not_modified":
                raise


def _text(message: Post) -> dict[str, Any]:
    """The text as it is: without a parse mode nothing in it is taken for a mark."""
    preview = {"url": message.link} if message.link else {"is_disabled": True}
    return {"text": message.text, "link_preview_options": preview}


def _answering(message: Post) -> dict[str, Any]:
    if message.reply_to is None:
        return {}
    answered = Reference.of(message.reply_to).messages[0]
    # A correction must go out, even if somebody has deleted what it corrects
    return {"reply_parameters": {"message_id": answered, "allow_sending_without_reply": True}}


def _name(index: int) -> str:
    return f"picture{index}"


def _file(index: int, picture: Picture) -> tuple[str, bytes, str]:
    return (f"{_name(index)}.{picture.media_type.partition('/')[2]}", picture.content, picture.media_type)


def _media(index: int, caption: str) -> dict[str, str]:
    """Telegram knows no alternative text of a picture; the caption of the first stands below all of them."""
    return {"type": "photo", "media": f"attach://{_name(index)}"} | ({"caption": caption} if caption else {})


async def _checked(bot: Bot) -> Finding:
    try:
        me = _Me.model_validate(await bot.call("getMe", {}))
        chat = _Titled.model_validate(await bot.call("getChat", {"chat_id": bot.chat}))
        asked = {"chat_id": bot.chat, "user_id": me.id}
        member = _Member.model_validate(await bot.call("getChatMember", asked))
    except (Untried, Unknown) as error:
        mend = "Check whether this machine may reach Telegram."
        return Finding(bot.name, ok=False, says=error.reason, mend=mend)
    except PublishError as error:
        return Finding(bot.name, ok=False, says=error.reason, mend="Mend the account's token or chat in the settings.")
    except ValidationError:
        return Finding(bot.name, ok=False, says="Telegram's answer can't be read", mend="Check url.")
    who = f"@{me.username} in {chat.title or bot.chat}"
    if member.status in ("left", "kicked") or (chat.type == "channel" and not member.can_post_messages):
        mend = "Make the bot an administrator of the channel, with the right to post messages."
        return Finding(bot.name, ok=False, says=f"{who} may not post ({member.status})", mend=mend)
    return Finding(bot.name, ok=True, says=who)
