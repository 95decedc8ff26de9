"""SMS by Twilio's Messages API (kind "twilio"; www.twilio.com/docs/messaging/api/message-resource).

``POST /2010-04-01/Accounts/{AccountSid}/Messages.json``, a form, basic authentication with an API key; answers 201
``{"sid", "status", …}``, a refusal is ``{"code", "message", "more_info", "status"}``. Receipts and people's answers
come to ``status_callback``: see twilio_receipts.py. Our key goes along in the query of that address, so that a
receipt finds its delivery even when the answer to the POST was lost.
"""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, HttpUrl, SecretStr, ValidationError, field_validator

from publishers.base import Finding, Limits, PublishError, Receipt, Transient, Unclear, Unknown, Untried
from publishers.http_exchange import Exchange, Wire
from publishers.sms.gateway import GatewayOptions, of_message, pause_of
from publishers.sms.twilio_errors import CODES, refusal
from schemas.messages import Text

_LONGEST_VALIDITY = 36_000  # seconds: what Twilio takes, and its default
_LISTED = 50  # messages to one number that a search reads, the latest first
_CLOCKS_APART = timedelta(minutes=2)


class TwilioGateway(GatewayOptions):
    """Settings of a gateway of kind "twilio".

    ``api_key`` and ``api_secret`` send; ``auth_token`` is the account's own, with which Twilio signs what it tells
    us. ``status_callback`` is the public address of our door, ``https://…/webhooks/sms/NAME``: enter the very same
    one at Twilio for incoming messages. ``messaging_service_sid``: let that service choose the sender; then an
    authority's two senders are not told apart.
    """

    kind: Literal["twilio"]
    url: HttpUrl = HttpUrl("https://api.twilio.com")
    account_sid: str = Field(pattern=r"^AC[0-9a-fA-F]{32}$")
    api_key: str = Field(pattern=r"^SK[0-9a-fA-F]{32}$")
    api_secret: SecretStr = Field(min_length=8)
    auth_token: SecretStr = Field(min_length=16)
    messaging_service_sid: str | None = Field(default=None, pattern=r"^MG[0-9a-fA-F]{32}$")
    status_callback: HttpUrl

    @field_validator("status_callback")
    @classmethod
    def _bare(cls, value: HttpUrl) -> HttpUrl:
        if value.query is not None or value.fragment is not None:
            raise ValueError("must be an address without a query")
        return value


Rfc2822 = Annotated[datetime, BeforeValidator(lambda text: parsedate_to_datetime(text))]


class _Accepted(BaseModel):
    sid: Annotated[str, Field(min_length=1)]


class _Listed(_Accepted):
    body: str
    to: str
    sender: str | None = Field(default=None, alias="from")
    direction: str = ""
    date_created: Rfc2822


class _Page(BaseModel):
    messages: list[_Listed]


class _Account(BaseModel):
    status: str
    friendly_name: str = ""


class SmsTwilio:
    """One account at Twilio."""

    channel = "sms"
    unclear = Unclear.LOOK_UP
    key_kept = timedelta(0)
    """Twilio deduplicates nothing."""
    of_message = of_message(CODES)

    def __init__(self, options: TwilioGateway) -> None:
        self.limits = Limits(window=100, concurrency=options.concurrency, max_characters=1600)
        self._options = options
        keys = f"{options.api_key}:{options.api_secret.get_secret_value()}"
        basic = {"Authorization": f"Basic {base64.b64encode(keys.encode()).decode()}"}
        self._wire = Wire(str(options.url), basic, options.concurrency, options.timeout)
        self._place = f"/2010-04-01/Accounts/{options.account_sid}"

    async def publish(self, message: Text) -> Receipt:
        """Hand one text over; the receipt's reference is the message's sid. See ``Publisher.publish``."""
        return await self.send(message, Exchange())

    async def send(self, message: Text, exchange: Exchange) -> Receipt:
        """Like ``publish``; whether a byte of the message left is noted in ``exchange``."""
        form = form_of(message, self._options, datetime.now(UTC))
        request = self._wire.request("POST", f"{self._place}/Messages.json", data=form)
        response = await self._wire.send(request, exchange)
        if not response.is_success:
            raise refusal(response)
        try:
            return Receipt(reference=_Accepted.model_validate_json(response.content).sid)
        except ValidationError as error:
            raise Unknown(f"answer {response.status_code} without the message's sid") from error

    async def find(self, message: Text, since: datetime) -> Receipt | None:
        """A message of the same words to the same number, made at ``since`` or later. See ``Finds.find``.

        What this proves: a message found is one that Twilio has; of two deliveries with the very same words to one
        number at that time, nobody can say which. Nothing found, and Twilio has none, for the list holds a message
        as soon as it has its sid. It is asked for by number and not by DateSent, which what still waits lacks.
        """
        request = self._wire.request(
            "GET", f"{self._place}/Messages.json", params={"To": message.recipient, "PageSize": str(_LISTED)}
        )
        try:
            response = await self._wire.send(request, Exchange())
        except Unknown as error:
            raise Transient(error.reason) from error
        if not response.is_success:
            raise Transient(f"Twilio answered {response.status_code}", retry_after=pause_of(response))
        try:
            listed = _Page.model_validate_json(response.content).messages
        except ValidationError as error:
            raise Transient("Twilio's answer can't be read") from error
        late = [one for one in listed if one.date_created >= since - _CLOCKS_APART]
        for one in late:
            ours = self._options.messaging_service_sid is not None or one.sender == message.sender
            if ours and one.to == message.recipient and one.body.strip() == message.text.strip():
                return Receipt(reference=one.sid)
        if len(late) == _LISTED:
            raise Transient("too many messages to this number to find one among them")
        return None

    async def check(self) -> Sequence[Finding]:
        """Ask for the account: proves the keys, sends nothing. See ``Checks``."""
        name = self._options.account_sid
        try:
            response = await self._wire.send(self._wire.request("GET", f"{self._place}.json"), Exchange())
        except PublishError as error:
            return [
                Finding(
                    name, ok=False, says=f"no answer ({error.reason})", mend="Check whether this machine may reach it."
                )
            ]
        if not response.is_success:
            mend = "Check account_sid, api_key and api_secret in Twilio's console."
            return [Finding(name, ok=False, says=refusal(response).reason, mend=mend)]
        try:
            account = _Account.model_validate_json(response.content)
        except ValidationError:
            return [Finding(name, ok=False, says="an answer that can't be read", mend="Check url.")]
        if account.status != "active":
            return [
                Finding(name, ok=False, says=f"the account is {account.status}", mend="Ask Twilio to open it again.")
            ]
        return [Finding(name, ok=True, says=f"the account {account.friendly_name!r} is active")]

    async def aclose(self) -> None:
        """Close the connections; a send under way ends Unknown, a later one Untried."""
        await self._wire.aclose()


def form_of(message: Text, options: TwilioGateway, now: datetime) -> dict[str, str]:
    """The form that sends a message. Raises Untried for one that has expired."""
    seconds = _LONGEST_VALIDITY
    if message.expires is not None:
        seconds = min(seconds, int((message.expires - now).total_seconds()))
        if seconds < 1:
            raise Untried("expired before it was handed over", code="expired")
    service = options.messaging_service_sid
    return {
        "To": message.recipient,
        **({"MessagingServiceSid": service} if service else {"From": message.sender}),
        "Body": message.text,
        "ValidityPeriod": str(seconds),
        "StatusCallback": f"{options.status_callback}?key={message.key}",
    }
