"""Apprise: whatever else a town has (Matrix, Rocket.Chat, Teams, Gotify, ntfy…), by the library's one hundred services.

One Apprise URL an account (appriseit.com/services). It is the catch-all, and its outcome is no better than what
Apprise tells, which is yes or no. "Yes" is a receipt, without a reference. "No" is an unclear outcome: the library
says it alike of a refusal, of a broken connection and of an answer that got lost, and a service with several
targets may have reached some of them. So nothing is sent again by itself (``Unclear.WAIT``): no service tells
later either, and an officer looks. What Apprise could not even begin never gets here: a URL that it can't read is
a fault of the settings, told when they are loaded.

Nothing can be looked up, edited, taken back or proven beforehand, and pictures are not sent. The guard against
inner addresses (publishers.webhook.ssrf) does not apply: the URL is the operator's own setting, and many such services
are on the town's own network.
"""

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import apprise
import structlog
from apprise.plugins.base import NotifyBase
from apprise.result import AppriseResult, AppriseResultStatus
from pydantic import Field, SecretStr, field_validator

from publishers.accounts import PaceOptions, rates_of
from publishers.base import (
    Finding,
    Limits,
    Permanent,
    PostForm,
    Receipt,
    Transient,
    Unclear,
    Unknown,
    Untried,
)
from publishers.settings import Options, named
from schemas.messages import Post

log = structlog.get_logger(__name__)

_LOGGERS = ("apprise", "urllib3", "requests", "requests_oauthlib")
"""They write addresses, and with them tokens, into the process's log."""

_STATUS = re.compile(r"\berror=([1-5]\d\d)\b")  # how nearly every service words an HTTP status
_SETTINGS = frozenset({"401", "403", "404"})

_ASSET = apprise.AppriseAsset(
    app_id="Tambour",
    app_desc="Tambour",
    async_mode=True,
    storage_mode="memory",  # tokens are not to be kept on disk
    allow_templates=False,  # an officer's {{braces}} are words
    service_timeout=0,
)


class Service(PaceOptions):
    """One account. ``url`` as Apprise writes it; ``title``: the text's first line is given as a title, where the
    service has titles."""

    url: SecretStr
    title: bool = False

    @field_validator("url")
    @classmethod
    def _readable(cls, value: SecretStr) -> SecretStr:
        _quiet()
        plugin = _plugin(value)
        if plugin is None:
            raise ValueError("Apprise can't read this URL: no such service, or a part is missing")
        if plugin.retry:
            raise ValueError("retry= is not for us: a message whose answer got lost would be sent again")
        if plugin.optional:
            raise ValueError("optional= is not for us: it calls a failure a success")
        return value


class AppriseOptions(Options):
    """Settings of the channel. ``accounts`` by the name that authorities use; ``timeout`` in seconds, of a message."""

    accounts: dict[str, Service] = Field(min_length=1)
    timeout: float = Field(default=4.0, gt=0, le=60)


@dataclass(slots=True)
class _Account:
    service: apprise.Apprise
    plugin: NotifyBase
    title: bool
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    free_at: float = 0.0


class AppriseUrls:
    """The Apprise channel; one message at a time for each account, in a thread of Apprise's own."""

    channel = "apprise"
    unclear = Unclear.WAIT

    def __init__(self, options: AppriseOptions) -> None:
        _quiet()
        self.limits = Limits(window=5, concurrency=4)
        self._timeout = options.timeout
        self.rates = rates_of(options.accounts)
        self._closed = asyncio.Event()
        self._accounts = {name: _account(service) for name, service in options.accounts.items()}

    async def publish(self, message: Post) -> Receipt:
        """Have Apprise send it; the receipt has no reference. See ``Publisher.publish`` and this file's head."""
        account = self._account(message.account)
        if not message.text.strip():
            raise Permanent("a message without text", code="empty")
        if len(message.text) > _longest(account.plugin):
            raise Permanent(f"longer than {account.plugin.service_name} takes", code="too_long")
        clock = asyncio.get_running_loop().time
        ends = clock() + self._timeout
        try:
            async with asyncio.timeout(self._timeout):
                await account.turn.acquire()
        except TimeoutError:
            raise Untried("another message to the same account is still under way") from None
        try:
            if self._closed.is_set():
                raise Untried("the channel was closed")
            if (rest := account.free_at - clock()) > 0:
                # Apprise itself would sleep in its thread, beyond our deadline, and send afterwards
                raise Transient("the service wants a pause between two messages", code="pause", retry_after=rest)
            account.free_at = clock() + account.plugin.request_rate_per_sec
            return _told(await self._notified(account, message, ends - clock()), message.account)
        finally:
            account.turn.release()

    async def form(self, account: str, /) -> PostForm:
        """What the service takes by Apprise's own table. See ``Publishes.form``."""
        return PostForm(characters=_longest(self._account(account).plugin))

    async def check(self) -> Sequence[Finding]:
        """Which service each account is. Nothing more can be known without sending: send a test."""
        return [
            Finding(name, ok=True, says=f"{account.plugin.service_name}, not tried: Apprise can only send")
            for name, account in self._accounts.items()
        ]

    async def aclose(self) -> None:
        """A message under way ends Unknown, as its thread goes on; a later one Untried."""
        self._closed.set()

    def _account(self, name: str) -> _Account:
        return named(self.channel, self._accounts, name)

    async def _notified(self, account: _Account, message: Post, seconds: float) -> AppriseResult:
        title, body = _split(message.text, account)
        sending = asyncio.create_task(
            account.service.async_notify(
                body=body,
                title=title,
                body_format=apprise.NotifyFormat.TEXT,
                log_level=logging.WARNING,
                timeout=seconds,
            )
        )
        closing = asyncio.create_task(self._closed.wait())
        try:
            await asyncio.wait((sending, closing), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                return sending.result()
            raise Unknown("the channel was closed" if closing.done() else f"no answer within {seconds:.3g} s")
        finally:
            sending.cancel()
            closing.cancel()


def _told(result: AppriseResult, account: str) -> Receipt:
    """What Apprise's word means; see this file's head."""
    if result.status is AppriseResultStatus.SUCCESS:
        return Receipt()
    if result.status is AppriseResultStatus.NOMATCH:  # nothing was attempted
        raise Transient("Apprise found no service to send to", code="no_service")
    words = " ".join(entry.message for one in result.results for attempt in one.attempts for entry in attempt.logs)
    found = _STATUS.search(words)
    code = found[1] if found else result.status.name.lower()
    if code in _SETTINGS:
        log.error("apprise.settings_fault", account=account, code=code, message="the service refuses the account's URL")
    raise Unknown(f"Apprise could not confirm that it was sent ({code})", code=code)


def _split(text: str, account: _Account) -> tuple[str, str]:
    """Title and body."""
    first, _, rest = text.partition("\n")
    if account.title and rest.strip() and len(first) <= account.plugin.title_maxlen:
        return first.strip(), rest.strip()
    return "", text


def _longest(plugin: NotifyBase) -> int:
    return plugin.body_maxlen if plugin.body_maxlen > 0 else NotifyBase.body_maxlen


def _account(service: Service) -> _Account:
    plugin = _plugin(service.url)
    if plugin is None:
        raise ValueError("Apprise can't read this URL")
    sender = apprise.Apprise(asset=_ASSET)
    sender.add(plugin)
    return _Account(sender, plugin, service.title)


def _plugin(url: SecretStr) -> NotifyBase | None:
    return apprise.Apprise.instantiate(url.get_secret_value(), asset=_ASSET)


def _quiet() -> None:
    """Keep addresses out of the log: what matters of Apprise's own words is read from its results."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
