"""What the gateways of the SMS channel have in common: their settings, and how an error code of theirs is told."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol, runtime_checkable

import httpx
import structlog
from pydantic import Field

from publishers.accounts import SpeedOptions
from publishers.base import PublishError, Receipt
from publishers.http_errors import by_status, is_settings_fault, retry_after
from publishers.http_exchange import Exchange
from publishers.verdicts import Verdict
from schemas.messages import Text

log = structlog.get_logger(__name__)

UNREACHED = "Check url, and whether this machine may reach it."
"""What to do about a gateway that gives a check no answer."""


class GatewayOptions(SpeedOptions):
    """Settings of every kind of gateway.

    ``weight`` is its share of the messages against the other gateways'; one of weight 0 gets only what the others
    can't take. ``price_per_segment`` is what one segment to the country of most recipients costs, in ``currency``
    (ISO 4217), for the estimate before sending. ``timeout`` is of a whole exchange, in seconds, below the hub's
    deadline of 5 s; ``concurrency`` the requests at once, of each delivery worker. ``per_second`` and ``burst``
    count texts, whatever their length.
    """

    weight: int = Field(default=1, ge=0, le=100)
    price_per_segment: Decimal | None = Field(default=None, ge=0)
    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$")
    timeout: float = Field(default=4.0, gt=0, le=60)
    concurrency: int = Field(default=10, ge=1, le=500)


def told(codes: Mapping[str, Verdict], code: str, message: str, response: httpx.Response) -> PublishError:
    """The error that a code means by its table; one that is not there by the status of the answer, logged as new.

    A settings fault is logged, with the gateway's own words, for those who can mend it.
    """
    status, pause = response.status_code, pause_of(response)
    verdict = codes.get(code)
    if verdict is None:
        log.error("sms.new_error_code", code=code, status=status, message=message)
    if is_settings_fault(status) if verdict is None else verdict.settings_fault:
        log.error("sms.settings_fault", code=code, message=message)
    if verdict is None:
        return by_status(status, message or code, code=code, retry_after=pause)
    return verdict.error_of(code, pause)


def unreadable(response: httpx.Response, who: str) -> PublishError:
    """The error of an answer that is not in the gateway's own form: a proxy's, perhaps, so it proves little."""
    status = response.status_code
    log.error("sms.unreadable_error", status=status)
    return by_status(status, f"{who} answered {status}", retry_after=pause_of(response))


def pause_of(response: httpx.Response) -> float | None:
    """Seconds that an answer asks to wait, None when it doesn't."""
    return retry_after(response.headers, datetime.now(UTC))


def of_message(codes: Mapping[str, Verdict]) -> frozenset[str]:
    """The codes of a table that say nothing of the gateway's health."""
    return frozenset(code for code, verdict in codes.items() if verdict.of_message)


@runtime_checkable
class Sends(Protocol):
    """A gateway whose exchange can be watched: whether a byte of the message left (``exchange.begun``)."""

    async def send(self, message: Text, exchange: Exchange, /) -> Receipt:
        """Like ``Publisher.publish``."""
        ...
