"""The channels there are: one line each. No discovery, no entry points: what is not here does not exist.

A channel's file, and with it the vendor's library, is loaded when a process asks for its options or opens it;
reading this table loads none of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, cast

from pydantic import BaseModel

from publishers.base import Publisher


class UnknownChannel(LookupError):
    """No channel of that name; the message lists those there are."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One way to reach people.

    ``family`` names the kind of message it takes ("email": Mail, "sms": Text, "social": Post, "webhook": Call)
    and the Kafka topics of its batches; ``broadcast`` channels speak to everybody at once, from accounts of the
    authority.
    """

    name: str
    family: str
    broadcast: bool
    module: str
    options: str
    publisher: str

    def options_type(self) -> type[BaseModel]:
        """The frozen pydantic model of this channel's settings. Loads the channel's file."""
        return cast(type[BaseModel], getattr(import_module(self.module), self.options))

    def open(self, options: BaseModel) -> Publisher[Any]:
        """A publisher with these options; it connects at its first send. TypeError when not its own."""
        wanted = self.options_type()
        if not isinstance(options, wanted):
            raise TypeError(f"channel {self.name} takes {wanted.__name__}, not {type(options).__name__}")
        return cast(Publisher[Any], getattr(import_module(self.module), self.publisher)(options))


_ALL = (
    Channel("email", "email", False, "publishers.smtp.channel", "SmtpOptions", "Smtp"),
    Channel("sms", "sms", False, "publishers.sms.channel", "SmsOptions", "Sms"),
    Channel("facebook", "social", True, "publishers.facebook.channel", "FacebookOptions", "Facebook"),
    Channel("x", "social", True, "publishers.x.channel", "XOptions", "X"),
    Channel("mastodon", "social", True, "publishers.mastodon.channel", "MastodonOptions", "Mastodon"),
    Channel("bluesky", "social", True, "publishers.bluesky.channel", "BlueskyOptions", "Bluesky"),
    Channel("telegram", "social", True, "publishers.telegram.channel", "TelegramOptions", "Telegram"),
    Channel("apprise", "social", True, "publishers.apprise.channel", "AppriseOptions", "AppriseUrls"),
    Channel("webhook", "webhook", True, "publishers.webhook.channel", "WebhookOptions", "Webhook"),
)

CHANNELS: Mapping[str, Channel] = MappingProxyType({channel.name: channel for channel in _ALL})
"""Every channel by its name, as rules, settings and tables write it."""


def channel(name: str) -> Channel:
    """The channel of that name. Raises UnknownChannel."""
    try:
        return CHANNELS[name]
    except KeyError:
        raise UnknownChannel(f"no channel {name!r}; there are {', '.join(CHANNELS)}") from None


def open_publisher(name: str, options: BaseModel) -> Publisher[Any]:
    """The publisher of that channel. Raises UnknownChannel, or TypeError for another channel's options."""
    return channel(name).open(options)
