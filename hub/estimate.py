"""What an announcement's SMS cost, counted before they are sent: segments, recipients, money, and what is spelled
plainly to make them cheaper.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hub.composing import TOKEN_LENGTH
from hub.rendering import Renderer
from publishers.sms.text import Proposal, Segments, proposal
from schemas.announcements import Content
from store.authorities import Authority


@dataclass(frozen=True, slots=True)
class Tariff:
    """What one segment costs, in a currency (ISO 4217)."""

    price: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class SmsText:
    """The SMS in one language, and how many get it. ``spelled`` says what was written plainly, and what it saves."""

    language: str
    recipients: int
    spelled: Proposal

    @property
    def text(self) -> str:
        """As it is sent; where each recipient's link to leave stands, one of the same length."""
        return self.spelled.text

    @property
    def size(self) -> Segments:
        """What each recipient costs."""
        return self.spelled.after


@dataclass(frozen=True, slots=True)
class SmsEstimate:
    """What matches now; whoever got an earlier version hears of it besides."""

    texts: tuple[SmsText, ...]
    tariff: Tariff | None = None

    @property
    def recipients(self) -> int:
        """In all languages."""
        return sum(one.recipients for one in self.texts)

    @property
    def segments(self) -> int:
        """All that is billed."""
        return sum(one.recipients * one.size.segments for one in self.texts)

    @property
    def cost(self) -> Decimal | None:
        """In the tariff's currency; None where no gateway has a price."""
        return None if self.tariff is None else self.segments * self.tariff.price


def tariff_of(options: Any) -> Tariff | None:
    """The dearest price among the gateways that get a share (publishers.sms.channel.SmsOptions): an upper limit.

    None when one of them has no price, or they have several currencies.
    """
    if options is None:
        return None
    shares = [one for one in options.gateways.values() if getattr(one, "weight", 1) > 0]
    prices = [getattr(one, "price_per_segment", None) for one in shares]
    currencies = {getattr(one, "currency", "EUR") for one in shares}
    known = [price for price in prices if price is not None]
    if not known or len(known) < len(prices) or len(currencies) > 1:
        return None
    return Tariff(max(known), currencies.pop())


def sms(
    content: Content,
    authority: Authority,
    people: Mapping[str, int],
    *,
    tariff: Tariff | None = None,
    public_url: str | None = None,
    renderer: Renderer | None = None,
) -> SmsEstimate:
    """The estimate for ``people``, the recipients by their language. Raises TemplateError.

    ``public_url`` is where the links to leave begin, for those texts that need one.
    """
    renderer = renderer or Renderer()
    leave = f"{public_url.rstrip('/')}/u/{'x' * TOKEN_LENGTH}" if public_url else None
    spoken = [one if one in content.languages else content.languages[0] for one in people]
    counts = dict.fromkeys(content.languages, 0)
    for language, count in zip(spoken, people.values(), strict=True):
        counts[language] += count
    texts = []
    for language, count in counts.items():
        written = renderer.unspelled_text(content, authority.identity, language, leave=leave, zone=authority.time_zone)
        texts.append(SmsText(language, count, proposal(written)))
    return SmsEstimate(tuple(texts), tariff)
