"""SMS by a JSON gateway over HTTP (kind "http"). Its interface, which most aggregators' own can be put behind in
a page of code:

- ``POST {url}/sms/messages``, bearer token, body ``{"to", "from", "text", "client_reference",
  "validity_seconds", "receipt": true}``; answers 202 ``{"id", "segments", "encoding"}`` once it has taken the
  message, else ``{"error": {"code", "message"}}``, with ``Retry-After`` where that helps. Only an answer of this
  form is the gateway's own word that it has not taken it; a bare 500 or 502 may be a proxy's, and proves nothing.
- ``GET {url}/sms/messages?client_reference=KEY`` answers ``{"messages": [{"id", "client_reference", "to",
  "status"}]}``, an empty list when it knows none.
- Receipts and replies come later by signed webhook: see schemas/webhooks.py.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, Literal

import httpx
from pydantic import BaseModel, Field, HttpUrl, SecretStr, ValidationError

from publishers.base import (
    Finding,
    Limits,
    Permanent,
    PublishError,
    Receipt,
    Report,
    Transient,
    Unclear,
    Unknown,
    Untried,
)
from publishers.http_exchange import Exchange, Wire, bearer
from publishers.settings import WebhookSecret, each
from publishers.sms.gateway import UNREACHED, GatewayOptions, of_message, pause_of, told, unreadable
from publishers.sms.window import hand_over
from publishers.verdicts import Verdict, settings
from schemas.messages import Message, Text

_MESSAGES = "/sms/messages"


class HttpGateway(GatewayOptions):
    """Settings of a gateway of kind "http", the default. ``webhook_secret`` signs what it tells later."""

    kind: Literal["http"] = "http"
    url: HttpUrl
    token: SecretStr = Field(min_length=1)
    webhook_secret: WebhookSecret

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """Every secret that a webhook may be signed with at present."""
        return each(self.webhook_secret)


_CREDIT = settings("the account has no credit left")
_TOKEN = settings("the gateway refuses our token")
_SENDER = settings("the gateway does not allow the sender's name")
_DEFECT = Verdict(Permanent, "the gateway can't read the request", settings_fault=True)
_BROKEN = Verdict(Transient, "the gateway takes nothing at present")

CODES: Mapping[str, Verdict] = MappingProxyType(
    {
        # Numbers reach us normalised (E.164): what the gateway can't route exists nowhere.
        "invalid_number": Verdict(Permanent, "the gateway says that no such number exists", address_dead=True),
        # This message to this number: on the operators' own list of refusals, or premium. The number lives.
        "forbidden": Verdict(Permanent, "the gateway may not send this to that number"),
        # The text is the same at every try.
        "too_long": Verdict(Permanent, "the text is longer than the gateway takes"),
        "invalid_text": Verdict(Permanent, "the gateway can't send this text"),
        # Our request is wrong and will be at every try: a defect, to be seen rather than repeated.
        "invalid_request": _DEFECT,
        "invalid_json": _DEFECT,
        # Nothing is wrong with the message or the number: somebody must top up, renew a token, or declare the
        # sender with the operators. Until then messages wait, and expire when their time is over.
        "no_credit": _CREDIT,
        "insufficient_credit": _CREDIT,
        "missing_token": _TOKEN,
        "invalid_token": _TOKEN,
        "expired_token": _TOKEN,
        "invalid_sender": _SENDER,
        "forbidden_sender": _SENDER,
        # Not taken, the gateway itself says so: worth another try, when it says or as we do.
        "throttled": Verdict(Transient, "the gateway asks to slow down"),
        "unavailable": _BROKEN,
        "unwritten": _BROKEN,
        "internal_error": _BROKEN,
    }
)
"""The gateway's error codes. One that is not here is judged by its HTTP status, and logged as new."""


class _Accepted(BaseModel):
    id: Annotated[str, Field(min_length=1)]


class _Known(_Accepted):
    client_reference: str
    to: str


class _Found(BaseModel):
    messages: list[_Known]


class _Error(BaseModel):
    code: str
    message: str = ""


class _Refused(BaseModel):
    error: _Error


class SmsHttp:
    """One gateway: one HTTP client, as wide as the gateway's concurrency."""

    channel = "sms"
    unclear = Unclear.WAIT
    """The gateway may hold a message for long before it tells; ``look_up`` may answer earlier. That it knows
    nothing yet is no proof that it never will, so finding nothing alone must not send again."""
    of_message = of_message(CODES)

    def __init__(self, options: HttpGateway) -> None:
        self.limits = Limits(window=100, concurrency=options.concurrency)
        token = bearer(options.token.get_secret_value())
        self._host = options.url.host or ""
        self._wire = Wire(str(options.url), token, options.concurrency, options.timeout)

    async def publish(self, message: Text) -> Receipt:
        """Hand one text over; the receipt's reference is the gateway's id. See ``Publisher.publish``."""
        return await self.send(message, Exchange())

    async def publish_many(self, messages: Sequence[Message], report: Report) -> None:
        """Hand texts over, ``limits.concurrency`` at a time. See ``PublishesMany.publish_many``."""
        await hand_over(messages, self.limits.concurrency, self.send, report)

    async def send(self, message: Text, exchange: Exchange) -> Receipt:
        """Like ``publish``; whether a byte of the message left is noted in ``exchange``."""
        request = self._wire.request("POST", _MESSAGES, json=_body(message, datetime.now(UTC)))
        response = await self._wire.send(request, exchange)
        if not response.is_success:
            raise refusal(response)
        try:
            return Receipt(reference=_Accepted.model_validate_json(response.content).id)
        except ValidationError as error:
            raise Unknown(f"answer {response.status_code} without the message's id") from error

    async def look_up(self, key: str, address: str) -> Receipt | None:
        """What the gateway knows under this key. See ``LooksUp.look_up`` and ``unclear``."""
        response = await self._ask(key)
        if response.status_code != 200:
            raise Transient(f"the gateway answered {response.status_code}", retry_after=pause_of(response))
        try:
            found = _Found.model_validate_json(response.content).messages
        except ValidationError as error:
            raise Transient("the gateway's answer can't be read") from error
        ids = [known.id for known in found if known.client_reference == key and known.to == address]
        return Receipt(reference=ids[0]) if ids else None

    async def check(self) -> Sequence[Finding]:
        """Ask for a message that does not exist: proves address and token, sends nothing. See ``Checks``."""
        try:
            response = await self._ask("tambour-check")
        except Transient as error:
            return [Finding(self._host, ok=False, says=f"no answer ({error.reason})", mend=UNREACHED)]
        if response.status_code == 200:
            return [Finding(self._host, ok=True, says="the gateway knows our token")]
        mend = "Check url and token with the gateway's owner."
        return [Finding(self._host, ok=False, says=refusal(response).reason, mend=mend)]

    async def aclose(self) -> None:
        """Close the connections; a send under way ends Unknown, a later one Untried."""
        await self._wire.aclose()

    async def _ask(self, key: str) -> httpx.Response:
        """What the gateway answers to a question about a key. Raises Transient."""
        request = self._wire.request("GET", _MESSAGES, params={"client_reference": key})
        try:
            return await self._wire.send(request, Exchange())
        except Unknown as error:
            raise Transient(error.reason) from error


def _body(message: Text, now: datetime) -> dict[str, Any]:
    body = {
        "to": message.recipient,
        "from": message.sender,
        "text": message.text,
        "client_reference": message.key,
        "receipt": True,
    }
    if message.expires is None:
        return body
    left = int((message.expires - now).total_seconds())
    if left < 1:
        # Untried, not Permanent: the hub then finds it expired by its own clock, and says so in its own words
        raise Untried("expired before it was handed over", code="expired")
    return body | {"validity_seconds": left}


def refusal(response: httpx.Response) -> PublishError:
    """The error that a reply other than a success means: by the gateway's code, else by its HTTP status."""
    try:
        error = _Refused.model_validate_json(response.content).error
    except ValidationError:
        return unreadable(response, "the gateway")
    return told(CODES, error.code, error.message, response)
