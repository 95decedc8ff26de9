"""Webhooks: an announcement's news, told to another system (standardwebhooks.com).

``POST`` of a JSON document, signed; ``webhook-id`` is ``Call.key``, the same at every try, so that the receiver
takes each once. Any 2xx is its acknowledgement, whatever the body says. Redirects are not followed, and nothing
is sent into networks that the operator has not named (publishers.webhook.ssrf).
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import structlog
from pydantic import Field, HttpUrl, field_validator, model_validator

from publishers.base import Finding, Limits, Permanent, PublishError, Receipt, Transient, Unclear, Untried
from publishers.http_errors import by_status, is_settings_fault, retry_after
from publishers.http_exchange import Exchange, Wire
from publishers.rest import Rest
from publishers.settings import Options, WebhookSecret, each, named
from publishers.webhook.ssrf import Forbidden, Guard, Resolve, system
from schemas.messages import Call
from schemas.webhooks import sign

log = structlog.get_logger(__name__)

_ANSWER_OCTETS = 16_384
"""What is read of an answer: enough to use the connection again, and no more than a hostile one deserves."""


class Endpoint(Options):
    """One receiver.

    ``networks``: private networks where it may be ("10.1.0.0/16"; several in a list, or, as in a variable, separated
    by spaces). ``allow_plain``: http instead of https. ``ca_file``: what its certificate is issued by (PEM), where
    that is nobody whom everybody trusts.
    """

    url: HttpUrl
    secret: WebhookSecret
    networks: tuple[IPv4Network | IPv6Network, ...] | None = None
    allow_plain: bool = False
    ca_file: Path | None = None

    @field_validator("networks", mode="before")
    @classmethod
    def _separated(cls, value: Any) -> Any:
        return value.split() if isinstance(value, str) else value

    @field_validator("url")
    @classmethod
    def _plain_address(cls, value: HttpUrl) -> HttpUrl:
        if value.username or value.password:
            raise ValueError("an address with a name or password in it: the signature is what proves us")
        if value.fragment:
            raise ValueError("an address with a # can't be called")
        return value

    @field_validator("ca_file")
    @classmethod
    def _certificates(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                ssl.create_default_context(cafile=value)
            except (OSError, ssl.SSLError) as error:
                raise ValueError(f"no certificates can be read from {value}: {error}") from None
        return value

    @model_validator(mode="after")
    def _secret_on_the_way(self) -> "Endpoint":
        if self.url.scheme != "https" and not self.allow_plain:
            raise ValueError("an address with http: everybody on the way could read it; use https, or set allow_plain")
        return self


class WebhookOptions(Options):
    """Settings of the channel. ``accounts``: receivers by the name that authorities use; ``timeout`` in seconds."""

    accounts: dict[str, Endpoint] = Field(min_length=1)
    timeout: float = Field(default=4.0, gt=0, le=60)


GONE = httpx.codes.GONE

SETTINGS_FAULTS: Mapping[int, str] = MappingProxyType(
    {
        # The receiver is there and would take the call once somebody has mended something: it waits.
        401: "the receiver does not accept our signature: its secret and ours differ, or its clock is wrong",
        402: "the receiver wants to be paid first",
        403: "the receiver does not let us in",
        404: "there is no receiver at this address",
        405: "what is at this address takes no POST: it is no receiver",
        407: "a proxy on the way wants to know who we are",
        # The specification's word for "stop": nothing more is to be sent, so nothing waits for it either.
        410: "the receiver wants no more webhooks: take it out of the settings",
        501: "what is at this address takes no POST: it is no receiver",
        505: "what is at this address does not speak HTTP/1.1",
    }
)
"""Answers that blame the settings, not the call. Others go by their class: 408, 425, 429 and 503 are Transient,
other 4xx Permanent (409 too: the id is ours alone, so it is no word about an earlier try), other 5xx Unknown,
which the same id makes harmless."""


class _Way:
    """One receiver: its guard, its certificates, and where it is."""

    def __init__(self, endpoint: Endpoint, resolve: Resolve, width: int, seconds: float) -> None:
        url = httpx.URL(str(endpoint.url))
        self.url = url
        self.host = url.raw_host.decode()
        self.port = url.port or (443 if url.scheme == "https" else 80)
        self.secrets = each(endpoint.secret)
        self.guard = Guard(endpoint.networks or (), resolve)
        ca_file = endpoint.ca_file
        self.trust = ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context()
        self._seconds = seconds
        headers = {"Content-Type": "application/json", "User-Agent": "Tambour-Webhook/1"}
        self.wire = Wire(f"{url.scheme}://{url.netloc.decode()}", headers, width, seconds, verify=self.trust)

    async def send(self, headers: Mapping[str, str], body: bytes, exchange: Exchange) -> httpx.Response:
        """The answer. Raises like Wire.send, or Forbidden, OSError, UnicodeError, TimeoutError before anything left."""
        ends = asyncio.get_running_loop().time() + self._seconds
        async with asyncio.timeout(self._seconds):
            address = await self.guard.address(self.host, self.port)
        path = self.url.raw_path.decode()
        request = self.wire.request("POST", path, content=body, headers=dict(headers))
        # The judged address and no other; Host stays, and the certificate must be that of the name
        request.url = request.url.copy_with(host=address)
        request.extensions = {**request.extensions, "sni_hostname": self.host}
        within = ends - asyncio.get_running_loop().time()
        return await self.wire.send(request, exchange, within, at_most=_ANSWER_OCTETS)

    async def greet(self) -> str:
        """Connect as ``send`` would, and say nothing. Returns the address. Raises Forbidden, OSError, TimeoutError."""
        async with asyncio.timeout(self._seconds):
            address = await self.guard.address(self.host, self.port)
            secure = self.url.scheme == "https"
            _, writer = await asyncio.open_connection(
                address, self.port, ssl=self.trust if secure else None, server_hostname=self.host if secure else None
            )
            writer.close()
        return address


class Webhook:
    """The webhook channel; one HTTP client for each receiver."""

    channel = "webhook"
    unclear = Unclear.SEND_AGAIN
    """Under the same id: a receiver that keeps the specification takes it once."""

    def __init__(self, options: WebhookOptions, *, resolve: Resolve = system) -> None:
        self.limits = Limits(window=50, concurrency=8)
        self.rest = Rest()
        self._ways = {
            name: _Way(endpoint, resolve, self.limits.concurrency, options.timeout)
            for name, endpoint in options.accounts.items()
        }

    async def publish(self, message: Call) -> Receipt:
        """Tell it; the receipt's reference is the webhook's id. See ``Publisher.publish``."""
        way = named(self.channel, self._ways, message.account)
        self.rest.check(message.account)
        exchange = Exchange()
        headers = sign(message.key, datetime.now(UTC), message.body, way.secrets)
        try:
            response = await way.send(headers, message.body, exchange)
        except Forbidden as error:
            raise self._fault(message.account, "forbidden_address", str(error)) from error
        except Untried as error:
            if "CERTIFICATE_VERIFY_FAILED" in error.reason:
                reason = f"the receiver's certificate is not to be trusted: {error.reason}"
                raise self._fault(message.account, "certificate", reason) from error
            raise
        except (OSError, UnicodeError, TimeoutError) as error:
            raise Untried(f"the receiver's name can't be resolved: {error or 'no answer in time'}") from error
        if not response.is_success:
            refused = self._refusal(response, message.account)
            if isinstance(refused, Transient) and response.status_code == httpx.codes.TOO_MANY_REQUESTS:
                self.rest.ask(message.account, refused.retry_after, refused.reason)
            raise refused
        return Receipt(reference=message.key, code=str(response.status_code))

    async def check(self) -> Sequence[Finding]:
        """Whether each receiver can be reached, and its certificate trusted.

        Nothing is asked of it: no request is harmless for every receiver, so its secret is not proven by this.
        """
        return await asyncio.gather(*(self._checked(name, way) for name, way in self._ways.items()))

    async def aclose(self) -> None:
        """Close the connections; a call under way ends Unknown, a later one Untried."""
        for way in self._ways.values():
            await way.wire.aclose()

    async def _checked(self, name: str, way: _Way) -> Finding:
        try:
            address = await way.greet()
        except Forbidden as error:
            return Finding(name, ok=False, says=str(error), mend=f"Set networks of channels.webhook.accounts.{name}.")
        except ssl.SSLCertVerificationError as error:
            mend = "Have the receiver renew its certificate, or name its issuer's in ca_file."
            return Finding(name, ok=False, says=error.verify_message, mend=mend)
        except (OSError, UnicodeError, TimeoutError) as error:
            says = str(error) or "no answer in time"
            return Finding(name, ok=False, says=says, mend="Check the address, and that a firewall lets us out.")
        return Finding(name, ok=True, says=f"{way.host} answers at {address}")

    def _refusal(self, response: httpx.Response, account: str) -> PublishError:
        status = response.status_code
        reason = SETTINGS_FAULTS.get(status, f"the receiver answered {status}")
        if 300 <= status < 400:
            reason = f"the receiver has moved ({status}): put its new address into the settings"
        if status in SETTINGS_FAULTS or is_settings_fault(status):
            log.error("webhook.settings_fault", account=account, code=str(status), message=reason)
        if status in (GONE, httpx.codes.CONFLICT):
            return Permanent(reason, code=str(status))
        pause = retry_after(response.headers, datetime.now(UTC))
        return by_status(status, reason, code=str(status), retry_after=pause)

    def _fault(self, account: str, code: str, reason: str) -> Transient:
        """Waits while somebody mends the settings."""
        log.error("webhook.settings_fault", account=account, code=code, message=reason)
        return Transient(reason, code=code)
