"""Webhooks of the SMS gateway: their signature (Standard Webhooks, standardwebhooks.com) and what they say.

A webhook is signed over ``id.timestamp.body``, so the body must be the bytes as received. The headers are
``webhook-id`` (the same at every attempt: deduplicate on it), ``webhook-timestamp`` (epoch seconds) and
``webhook-signature`` ("v1,BASE64", several separated by spaces while the sender replaces its secret).
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from schemas.deliveries import State

TOLERANCE = timedelta(minutes=5)
"""How far a webhook's time may be from ours, either way: the window in which a stolen one could be replayed."""

_PREFIX = "whsec_"
_SHORTEST_KEY = 24  # bytes, as the specification asks
_LONGEST_HEADER = 4096


class BadSignature(Exception):
    """The webhook is not from the gateway, or too old. The message says which, and holds no secret."""


class BadWebhook(ValueError):
    """A signed webhook that isn't one of ours; the message says what is wrong where."""


def secret_key(secret: str) -> bytes:
    """The HMAC key behind "whsec_BASE64"; a secret without that prefix is its own key, in UTF-8.

    Raises ValueError, without the secret, when it isn't base64 or is shorter than 24 bytes.
    """
    key = secret.encode()
    if secret.startswith(_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("what follows whsec_ is not base64") from None
    if len(key) < _SHORTEST_KEY:
        raise ValueError(f"a webhook secret has at least {_SHORTEST_KEY} bytes")
    return key


def sign(webhook_id: str, at: datetime, body: bytes, secrets: Iterable[str]) -> dict[str, str]:
    """The three headers of a webhook, with one signature for each secret."""
    timestamp = str(int(at.timestamp()))
    signatures = (_signature(webhook_id, timestamp, body, secret) for secret in secrets)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def verify(headers: Mapping[str, str], body: bytes, secrets: Iterable[str], now: datetime) -> str:
    """The webhook's id, once any of its signatures was made with any of our secrets within ``TOLERANCE``.

    Raises BadSignature. Header names may be in any case.
    """
    given = {name.lower(): value for name, value in headers.items() if name.lower().startswith("webhook-")}
    try:
        webhook_id, timestamp = given["webhook-id"], given["webhook-timestamp"]
        signatures = given["webhook-signature"]
    except KeyError as missing:
        raise BadSignature(f"no header {missing.args[0]}") from None
    if not webhook_id or max(len(webhook_id), len(timestamp), len(signatures)) > _LONGEST_HEADER:
        raise BadSignature("an empty id or an overlong header")
    _check_time(timestamp, now)
    theirs = [value.encode() for version, _, value in _versions(signatures) if version == "v1"]
    ours = [_signature(webhook_id, timestamp, body, secret).encode() for secret in secrets]
    # every pair is compared, so that the time taken tells nothing about which one matched
    if not any([hmac.compare_digest(one, other) for one in ours for other in theirs]):
        raise BadSignature("no signature matches")
    return webhook_id


def _versions(signatures: str) -> Iterable[tuple[str, str, str]]:
    return (signature.partition(",") for signature in signatures.split(" "))


def _check_time(timestamp: str, now: datetime) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 11):
        raise BadSignature("webhook-timestamp is not a number of seconds")
    away = now - datetime.fromtimestamp(int(timestamp), UTC)
    if abs(away) > TOLERANCE:
        raise BadSignature(f"signed {abs(away).total_seconds():.0f} s {'ago' if away > TOLERANCE else 'ahead'}")


def _signature(webhook_id: str, timestamp: str, body: bytes, secret: str) -> str:
    signed = b".".join((webhook_id.encode(), timestamp.encode(), body))
    return base64.b64encode(hmac.digest(secret_key(secret), signed, hashlib.sha256)).decode()


class _Webhook(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class SmsReceipt(_Webhook):
    """What became of a message at the handset. ``id`` is the gateway's, ``client_reference`` our key.

    ``error`` is the gateway's code, ``reason`` what it means in plain words, when the gateway or we know it;
    ``address_dead``: that surely no such number exists.
    """

    type: Literal["receipt"] = "receipt"
    id: str = Field(min_length=1)
    client_reference: str | None = None
    status: str = Field(min_length=1)
    error: str | None = None
    reason: str | None = None
    address_dead: bool = False
    at: AwareDatetime | None = None

    @property
    def state(self) -> State | None:
        """The state this receipt proves; None for a word we don't know, which is kept but proves nothing."""
        return STATES.get(self.status.lower())


STATES: Mapping[str, State] = MappingProxyType(
    {
        "delivered": State.DELIVERED,  # the handset confirmed
        "undelivered": State.FAILED,  # the operator gave up: no such subscriber, blocked, full
        "failed": State.FAILED,
        "rejected": State.FAILED,  # refused on the way, after the gateway had taken it
        "expired": State.FAILED,  # the handset stayed off beyond the validity that we asked for
        "accepted": State.SENT,  # still on its way: these only confirm what we know
        "sent": State.SENT,
        "buffered": State.SENT,
    }
)
"""The gateway's words. "Expired" fails here: ``State.EXPIRED`` is for what was never handed over."""


class SmsInbound(_Webhook):
    """A text that somebody sent us: ``sender`` (E.164) wrote ``text`` to our number."""

    type: Literal["inbound"] = "inbound"
    id: str | None = None
    sender: str = Field(alias="from", min_length=1)
    to: str = Field(min_length=1)
    text: str
    at: AwareDatetime | None = None


SmsWebhook = Annotated[SmsReceipt | SmsInbound, Field(discriminator="type")]

_ADAPTER: TypeAdapter[SmsReceipt | SmsInbound] = TypeAdapter(SmsWebhook)


def dump(said: SmsReceipt | SmsInbound) -> bytes:
    """The common form, in which what any gateway told is kept."""
    return said.model_dump_json(by_alias=True, exclude_none=True).encode()


def parse(body: bytes) -> SmsReceipt | SmsInbound:
    """What a webhook says. Verify it first. Raises BadWebhook."""
    try:
        return _ADAPTER.validate_json(body)
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in error.errors())
        raise BadWebhook("; ".join(faults)) from None
