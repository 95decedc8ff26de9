"""The SMS channel: one or more gateways, each with its share, and each taking over when another fails.

A message goes to the gateway that its key prefers among the healthy ones (publishers.sms.route). It goes on to the
next only when it was surely not taken: nothing of it left, or the gateway itself said so. After an unclear outcome
never; then the gateways are asked (``look_up`` by our key, ``find`` by number and words where a gateway keeps no
key of ours).

A reference is "<gateway>:<the gateway's id>", so that two gateways' ids can't be taken for each other.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from importlib import import_module
from types import MappingProxyType
from typing import Annotated, Any, cast

import structlog
from pydantic import BaseModel, Field, PlainValidator, StringConstraints

from publishers.accounts import Grant, rates_of
from publishers.base import (
    CANNOT_SAY,
    Checks,
    Finding,
    Finds,
    Incoming,
    Keep,
    Limits,
    LooksUp,
    NotYet,
    Permanent,
    Publisher,
    PublishError,
    Receipt,
    Receives,
    Report,
    Transient,
    Unclear,
    Unknown,
    Untried,
)
from publishers.http_exchange import Exchange
from publishers.latest import Latest
from publishers.rest import Rest
from publishers.settings import Options
from publishers.sms.gateway import GatewayOptions, Sends
from publishers.sms.route import LONGEST_ASKED, Health, order
from publishers.sms.window import hand_over
from schemas.messages import Message, Text

log = structlog.get_logger(__name__)

_REMEMBERED = 10_000  # unclear outcomes whose gateway is known without asking all

KINDS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "http": ("publishers.sms.json_gateway", "HttpGateway", "SmsHttp"),
        "ovh": ("publishers.sms.ovh", "OvhGateway", "SmsOvh"),
        "twilio": ("publishers.sms.twilio", "TwilioGateway", "SmsTwilio"),
        "smpp": ("publishers.smpp.gateway", "SmppOptions", "Smpp"),
    }
)
"""The kinds of gateway: file, options, class. A file is loaded when a gateway of its kind is configured."""

GatewayName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


def options_of(kind: str) -> type[BaseModel]:
    """The settings of a kind of gateway. Raises ValueError for a kind that there isn't."""
    if kind not in KINDS:
        raise ValueError(f"there is no kind {kind!r} of gateway; there are {', '.join(KINDS)}")
    module, options, _ = KINDS[kind]
    return cast(type[BaseModel], getattr(import_module(module), options))


def _gateway(given: Any) -> BaseModel:
    if isinstance(given, BaseModel):
        return given
    if not isinstance(given, dict):
        raise ValueError("must be a table")
    return options_of(str(given.get("kind", "http"))).model_validate(given)


class SmsOptions(Options):
    """Settings of the channel: its gateways by name, each of the options that its ``kind`` has ("http" if none)."""

    gateways: dict[GatewayName, Annotated[BaseModel, PlainValidator(_gateway)]] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class _Way:
    name: str
    gateway: Publisher[Text]
    of_message: frozenset[str]
    says_when: bool
    """Whether pauses are the gateway's own word. SMPP has none for that: those are ours, between two connections."""
    health: Health = field(default_factory=Health)

    def ours(self, receipt: Receipt) -> Receipt:
        return replace(receipt, reference=_prefixed(self.name, receipt.reference))


class Sms:
    """The SMS channel. ``clock`` counts seconds, for the gateways' pauses."""

    channel = "sms"
    unclear = Unclear.WAIT
    """A gateway may hold a message for long before it tells; see ``look_up``."""
    key_kept = timedelta(0)
    """No gateway deduplicates."""

    def __init__(self, options: SmsOptions, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ways = {name: _open(name, given) for name, given in options.gateways.items()}
        self._weights = {name: int(getattr(given, "weight", 1)) for name, given in options.gateways.items()}
        self._handed: Latest[str, str] = Latest(_REMEMBERED)
        self.rates = rates_of(cast(Mapping[str, GatewayOptions], options.gateways))
        self.rest = Rest(clock)
        self.limits = Limits(window=100, concurrency=sum(one.gateway.limits.concurrency for one in self._each()))

    async def publish(self, message: Text) -> Receipt:
        """Hand one text to a gateway; the receipt's reference begins with its name. See ``Publisher.publish``."""
        return await self._send(message, Exchange())

    async def publish_many(self, messages: Sequence[Message], report: Report) -> None:
        """Hand texts over, as many at a time as all gateways take. See ``PublishesMany.publish_many``."""
        await self.publish_within(messages, report)

    def weights(self) -> Mapping[str, int]:
        """The gateways that would be given messages now. See ``Rationed.weights``."""
        now = self._clock()
        able = [way.name for way in self._each() if way.health.takes(now) and not self.rest.left(way.name)]
        return {name: self._weights[name] for name in able if self._weights[name]} or dict.fromkeys(able, 1)

    def shut(self) -> Mapping[str, bool]:
        """Which gateways get nothing at present. See ``Shuts.shut``."""
        now = self._clock()
        return {way.name: now < way.health.opens_at or self.rest.left(way.name) > 0 for way in self._each()}

    async def publish_within(self, messages: Sequence[Message], report: Report, grant: Grant | None = None, /) -> None:
        """Like ``publish_many``, and no gateway takes more than it was granted. See ``Rationed.publish_within``."""

        async def send(message: Text, exchange: Exchange) -> Receipt:
            return await self._send(message, exchange, grant)

        await hand_over(messages, self.limits.concurrency, send, report)

    async def look_up(self, key: str, address: str) -> Receipt | None:
        """What the gateways know under this key. See ``LooksUp.look_up``.

        Only the one that it was handed to is asked, when that is known: in the process that did it. Gateways which
        keep no key of ours are not asked here, but by ``find``.
        """
        return await self._ask(key, lambda way: isinstance(way.gateway, LooksUp), key, address)

    async def find(self, message: Text, since: datetime) -> Receipt | None:
        """The very same text at a gateway that keeps no key of ours. See ``Finds.find``."""
        return await self._ask(message.key, _only_finds, message, since)

    async def receive(self, keep: Keep) -> None:
        """Listen at every gateway whose receipts come over a connection of ours; see ``Receives.receive``."""
        async with asyncio.TaskGroup() as listening:
            for way in self._each():
                if isinstance(way.gateway, Receives):
                    listening.create_task(way.gateway.receive(_keeping(way.name, keep)))
            listening.create_task(asyncio.Event().wait())  # until cancelled, when there is nobody to listen to

    async def check(self) -> Sequence[Finding]:
        """One finding for each gateway, under its name. See ``Checks.check``."""
        return [replace(found, name=way.name) for way in self._each() for found in await _checked(way)]

    async def aclose(self) -> None:
        """Close every gateway. See ``Publisher.aclose``."""
        for way in self._each():
            await way.gateway.aclose()

    def _each(self) -> Iterator[_Way]:
        return iter(self._ways.values())

    async def _send(self, message: Text, exchange: Exchange, grant: Grant | None = None) -> Receipt:
        errors: list[PublishError] = []
        for way in self._candidates(message.key):
            if grant is not None and not grant.use(way.name):
                continue
            exchange.begun = False  # an earlier gateway surely has nothing of it
            try:
                return way.ours(await self._through(way, message, exchange))
            except Transient as error:
                errors.append(error)
                if grant is not None and isinstance(error, Untried):
                    grant.back(way.name)
                if error.code == "expired":
                    break
            except (Unknown, asyncio.CancelledError):
                if exchange.begun:
                    self._handed[message.key] = way.name
                raise
        if not errors:
            raise Untried("no gateway that works may take more at this moment")
        # one that counts as a try says more than one that doesn't
        raise next((error for error in errors if not isinstance(error, Untried)), errors[0])

    def _candidates(self, key: str) -> Iterator[_Way]:
        """Healthy gateways as the key prefers them, each asked when its turn comes; if none is, the next to be.

        One that asked for a pause is never asked before its end. Raises NotYet when all did.
        """
        tried = False
        preferred = [name for name in order(key, self._weights) if not self.rest.left(name)]
        if not preferred:
            left = min(self.rest.left(name) for name in self._ways)
            raise NotYet("every gateway has asked for a pause", code="pause", retry_after=max(left, 0.1))
        for name in preferred:
            if self._ways[name].health.takes(self._clock()) and not self.rest.left(name):
                tried = True
                yield self._ways[name]
        if not tried:
            yield min((self._ways[name] for name in preferred), key=lambda way: way.health.opens_at)

    async def _through(self, way: _Way, message: Text, exchange: Exchange) -> Receipt:
        way.health.begin()
        try:
            if isinstance(way.gateway, Sends):
                receipt = await way.gateway.send(message, exchange)
            else:
                exchange.begun = True  # it does not tell: whoever is cancelled here may have sent it
                receipt = await way.gateway.publish(message)
        except PublishError as error:
            self._judge(way, error)
            raise
        finally:
            way.health.end()
        self._judge(way, None)
        return receipt

    def _judge(self, way: _Way, error: PublishError | None) -> None:
        if error is not None and (error.code == "expired" or error.code in way.of_message):
            return
        if error is None or isinstance(error, Permanent):
            if way.health.good():
                log.info("sms.gateway_back", gateway=way.name)
            return
        asked = error.retry_after if isinstance(error, Transient) else None
        if asked and way.says_when:
            self.rest.ask(way.name, min(asked, LONGEST_ASKED), error.reason)
        if way.health.bad(self._clock(), asked):
            log.warning("sms.gateway_shut", gateway=way.name, seconds=way.health.pause, reason=error.reason)

    async def _ask(self, key: str, can: Callable[[_Way], bool], *question: Any) -> Receipt | None:
        """The first that knows it; None when all who can be asked don't. Raises when one can't say."""
        handed = self._handed.get(key)
        whom = [handed] if handed else order(key, self._weights)
        silent: list[PublishError] = []
        for way in (self._ways[name] for name in whom):
            if not can(way):
                continue
            ask: Any = way.gateway.look_up if isinstance(way.gateway, LooksUp) else cast(Finds, way.gateway).find
            try:
                found = await ask(*question)
            except PublishError as error:
                kind = Permanent if isinstance(error, Permanent) else Transient
                silent.append(kind(f"{way.name}: {error.reason}", code=error.code))
            else:
                if found is not None:
                    return way.ours(found)
        if silent:
            raise min(silent, key=_hopeless)
        return None


def _open(name: str, options: BaseModel) -> _Way:
    kind = str(getattr(options, "kind", "http"))
    module, _, publisher = KINDS[kind]
    gateway = cast(Publisher[Text], getattr(import_module(module), publisher)(options))
    return _Way(name, gateway, getattr(gateway, "of_message", frozenset()), kind != "smpp")


def _only_finds(way: _Way) -> bool:
    return isinstance(way.gateway, Finds) and not isinstance(way.gateway, LooksUp)


def _hopeless(error: PublishError) -> int:
    """How little it helps to ask again: one that may answer yet is worth waiting for, whatever the others say."""
    return 2 if isinstance(error, Permanent) else int(error.code == CANNOT_SAY)


async def _checked(way: _Way) -> Sequence[Finding]:
    if isinstance(way.gateway, Checks):
        return await way.gateway.check()
    return []


def _keeping(name: str, keep: Keep) -> Keep:
    async def kept(incoming: Incoming) -> None:
        arrival = f"{name}:{incoming.arrival}"
        await keep(replace(incoming, reference=_prefixed(name, incoming.reference), arrival=arrival))

    return kept


def _prefixed(name: str, reference: str | None) -> str | None:
    return None if reference is None else f"{name}:{reference}"
