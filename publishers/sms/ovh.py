"""SMS by OVHcloud's API (kind "ovh"; api.ovh.com/console, section /sms, and docs.ovhcloud.com, "API SMS Cookbook").

``POST /sms/{serviceName}/jobs`` answers ``{"ids", "validReceivers", "invalidReceivers", "totalCreditsRemoved"}``; a
refusal is ``{"message", "class" or "errorCode", "httpCode"}``. Every call is signed with three keys and OVHcloud's
own time, which is asked for once an hour. ``tag`` carries our key: the history of what was sent can be asked by it.
Receipts come later to the callback address of the account: see ovh_receipts.py.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, Field, HttpUrl, SecretStr, TypeAdapter, ValidationError, field_validator

from publishers.base import Finding, Limits, PublishError, Receipt, Transient, Unclear, Unknown, Untried
from publishers.http_exchange import Exchange, Wire
from publishers.sms.gateway import GatewayOptions, of_message, pause_of
from publishers.sms.ovh_errors import CODES, refusal
from publishers.sms.text import encoding_of
from schemas.messages import Text

_CLOCK_KEPT = 3600.0  # seconds after which OVHcloud's time is asked for again
_LONGEST_TAG = 64
_LONGEST_VALIDITY = 2880  # minutes: two days, OVHcloud's own default
_PENDING_READ = 20  # jobs still waiting that a look-up reads, one call each


class OvhGateway(GatewayOptions):
    """Settings of a gateway of kind "ovh".

    The three keys are made at auth.eu.ovhcloud.com/api/createToken with the rights GET and POST on
    ``/sms/SERVICE_NAME*``. ``receipt_token`` is the secret last part of the callback address that you enter at
    OVHcloud. ``short_code``: send from a random short code that people can answer for 48 hours, whatever the
    authority's sender. ``stop_clause``: let OVHcloud add "STOP 36111"; it then holds messages back at night and on
    weekends, as the law asks of advertising.
    """

    kind: Literal["ovh"]
    url: HttpUrl = HttpUrl("https://eu.api.ovh.com/1.0")
    service_name: str = Field(pattern=r"^[A-Za-z0-9-]{3,64}$")
    application_key: str = Field(min_length=8, max_length=64)
    application_secret: SecretStr = Field(min_length=8)
    consumer_key: SecretStr = Field(min_length=8)
    receipt_token: SecretStr
    priority: Literal["high", "medium", "low", "veryLow"] = "high"
    short_code: bool = False
    stop_clause: bool = False

    @field_validator("receipt_token")
    @classmethod
    def _unguessable(cls, value: SecretStr) -> SecretStr:
        token = value.get_secret_value()
        if len(token) < 24 or quote(token, safe="") != token:
            raise ValueError("must be at least 24 letters, digits, '-' or '_': it is a part of an address")
        return value


class _Report(BaseModel):
    ids: list[int]
    invalidReceivers: list[str] = []


class _Sent(BaseModel):
    id: int
    receiver: str
    tag: str | None = None


class _Job(BaseModel):
    receiver: str


class _Account(BaseModel):
    creditsLeft: float
    status: str


_IDS = TypeAdapter(list[int])
M = TypeVar("M", bound=BaseModel)


class SmsOvh:
    """One SMS account at OVHcloud."""

    channel = "sms"
    unclear = Unclear.WAIT
    of_message = of_message(CODES)

    def __init__(self, options: OvhGateway) -> None:
        self.limits = Limits(window=100, concurrency=options.concurrency)
        self._options = options
        self._wire = Wire(
            str(options.url), {"X-Ovh-Application": options.application_key}, options.concurrency, options.timeout
        )
        self._ahead: int | None = None  # seconds that OVHcloud's clock is ahead of ours
        self._read_at = 0.0
        self._reading = asyncio.Lock()

    async def publish(self, message: Text) -> Receipt:
        """Hand one text over; the receipt's reference is the id in OVHcloud's history. See ``Publisher.publish``."""
        return await self.send(message, Exchange())

    async def send(self, message: Text, exchange: Exchange) -> Receipt:
        """Like ``publish``; whether a byte of the message left is noted in ``exchange``."""
        body = job(message, self._options, datetime.now(UTC))
        response = await self._call("POST", "jobs", exchange, body=body)
        if not response.is_success:
            raise self._refusal(response)
        try:
            report = _Report.model_validate_json(response.content)
        except ValidationError as error:
            raise Unknown(f"answer {response.status_code} that can't be read") from error
        if report.ids:
            return Receipt(reference=str(report.ids[0]))
        if report.invalidReceivers:
            raise CODES["invalidReceivers"].error_of("invalidReceivers", None)
        raise Unknown("an answer that names neither the message nor a refused number")

    async def look_up(self, key: str, address: str) -> Receipt | None:
        """What OVHcloud's history has under this tag. See ``LooksUp.look_up``.

        A message just taken waits among the jobs, where no tag is shown: while one for this number does, nobody can
        say (Transient).
        """
        for found in await self._ids("outgoing", tag=key):
            sent = _read(_Sent, await self._get(f"outgoing/{found}"))
            if sent.tag == key and _number(sent.receiver) == address:
                return Receipt(reference=str(sent.id))
        pending = await self._ids("jobs")
        if len(pending) > _PENDING_READ:
            raise Transient("too many messages wait at OVHcloud to know whether this one does")
        for waiting in pending:
            response = await self._get(f"jobs/{waiting}", may_be_gone=True)
            if response is None or _number(_read(_Job, response).receiver) == address:
                raise Transient("a message for this number is just being sent at OVHcloud")
        return None

    async def check(self) -> Sequence[Finding]:
        """Ask for the account: proves the keys and tells the credits, sends nothing. See ``Checks``."""
        name = self._options.service_name
        try:
            response = await self._call("GET", "", Exchange())
        except PublishError as error:
            return [
                Finding(
                    name, ok=False, says=f"no answer ({error.reason})", mend="Check whether this machine may reach it."
                )
            ]
        if not response.is_success:
            return [
                Finding(
                    name, ok=False, says=self._refusal(response).reason, mend="Make new keys, with the rights on /sms."
                )
            ]
        try:
            account = _Account.model_validate_json(response.content)
        except ValidationError:
            return [Finding(name, ok=False, says="an answer that can't be read", mend="Check url.")]
        says = f"the account is {account.status}d, {account.creditsLeft:g} credits left"
        if account.status != "enable" or account.creditsLeft <= 0:
            return [Finding(name, ok=False, says=says, mend="Buy credits, or enable the account, at OVHcloud.")]
        return [Finding(name, ok=True, says=says)]

    async def aclose(self) -> None:
        """Close the connections; a send under way ends Unknown, a later one Untried."""
        await self._wire.aclose()

    async def _ids(self, path: str, **query: str) -> list[int]:
        response = await self._get(path, query=query)
        try:
            return _IDS.validate_json(response.content if response else b"")
        except ValidationError as error:
            raise Transient("OVHcloud's answer can't be read") from error

    async def _get(
        self, path: str, *, query: Mapping[str, str] | None = None, may_be_gone: bool = False
    ) -> httpx.Response | None:
        """The answer to a question; None for what is gone meanwhile. Raises Transient for anything else."""
        try:
            response = await self._call("GET", path, Exchange(), query=query)
        except Unknown as error:
            raise Transient(error.reason) from error
        if response.status_code == 404 and may_be_gone:
            return None
        if not response.is_success:
            raise Transient(f"OVHcloud answered {response.status_code}", retry_after=pause_of(response))
        return response

    async def _call(
        self,
        method: str,
        path: str,
        exchange: Exchange,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        place = f"/sms/{self._options.service_name}/{path}".rstrip("/")
        request = self._wire.request(method, place, content=content, params=query or None)
        if content:
            request.headers["Content-Type"] = "application/json; charset=utf-8"
        moment = int(time.time()) + await self._clock()
        options = self._options
        request.headers.update(
            {
                "X-Ovh-Consumer": options.consumer_key.get_secret_value(),
                "X-Ovh-Timestamp": str(moment),
                "X-Ovh-Signature": signature(options, method, str(request.url), content, moment),
            }
        )
        return await self._wire.send(request, exchange)

    async def _clock(self) -> int:
        """Seconds that OVHcloud's clock is ahead of ours. Raises Untried when it can't be known."""
        async with self._reading:
            if self._ahead is None or time.monotonic() - self._read_at > _CLOCK_KEPT:
                try:
                    response = await self._wire.send(self._wire.request("GET", "/auth/time"), Exchange())
                    self._ahead = int(response.content) - int(time.time())
                except (PublishError, ValueError) as error:
                    raise Untried(f"OVHcloud's clock can't be read: {error}") from error
                self._read_at = time.monotonic()
            return self._ahead

    def _refusal(self, response: httpx.Response) -> PublishError:
        error = refusal(response)
        if error.code in ("QUERY_TIME_OUT", "INVALID_SIGNATURE"):
            self._ahead = None
        return error


def signature(options: OvhGateway, method: str, url: str, body: bytes, moment: int) -> str:
    """X-Ovh-Signature of a call (OVHcloud, "First steps with the API")."""
    keys = (options.application_secret.get_secret_value(), options.consumer_key.get_secret_value())
    signed = "+".join((*keys, method, url)).encode() + b"+" + body + f"+{moment}".encode()
    return "$1$" + hashlib.sha1(signed).hexdigest()


def job(message: Text, options: OvhGateway, now: datetime) -> dict[str, Any]:
    """The body that sends a message. Raises Untried for one that has expired."""
    minutes = _LONGEST_VALIDITY
    if message.expires is not None:
        left = (message.expires - now).total_seconds()
        if left < 1:
            raise Untried("expired before it was handed over", code="expired")
        minutes = min(_LONGEST_VALIDITY, max(1, int(left / 60)))
    sender = {"senderForResponse": True} if options.short_code else {"sender": message.sender}
    return {
        "receivers": [message.recipient],
        "message": message.text,
        **sender,
        "charset": "UTF-8",
        "coding": "7bit" if encoding_of(message.text) == "GSM-7" else "8bit",
        "noStopClause": not options.stop_clause,
        "priority": options.priority,
        "tag": message.key[:_LONGEST_TAG],
        "validityPeriod": minutes,
    }


def _read(model: type[M], response: httpx.Response | None) -> M:
    try:
        return model.model_validate_json(response.content if response else b"")
    except ValidationError as error:
        raise Transient("OVHcloud's answer can't be read") from error


def _number(written: str) -> str:
    """E.164 of a number as OVHcloud may write it: "0033…" is an older form of "+33…"."""
    return f"+{written[2:]}" if written.startswith("00") else written
