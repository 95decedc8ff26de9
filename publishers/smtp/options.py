"""Settings of the e-mail channel: the relays that take our mail, limits of domains, keys for signatures."""

import contextlib
import ipaddress
import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from publishers.accounts import Rate, SpeedOptions
from publishers.settings import Options

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_DOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+")


class Relay(SpeedOptions):
    """A mail server that takes our mail: a relay or a submission server. ``per_second`` counts mails."""

    host: str = Field(min_length=1, pattern=r"^\S+$")
    port: int = Field(default=587, ge=1, le=65535)
    tls: Literal["none", "starttls", "tls"] = "starttls"
    """``starttls`` insists on it: a server that does not offer it is a fault, never a fall back to plain text."""
    verify: bool = True
    """Whether the server's certificate must be valid for ``host``."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's, as PEM."""
    username: str | None = None
    password: SecretStr | None = None
    weight: int = Field(default=1, ge=0, le=1000)
    """Its share of the mails, beside the other relays' weights; 0 is a spare, used while no other can be."""
    connections: int = Field(default=10, ge=1, le=200)
    """At most so many at once, over everything that this process sends through it; fewer when it asks for it."""
    signs: bool = False
    """Whether it signs mails itself (DKIM): ours are then left out."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if self.password is not None and self.tls == "none" and not _is_this_machine(self.host):
            raise ValueError("with tls = none the password would cross the network in clear: use starttls or tls")
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ValueError(f"ca_file: no such file: {self.ca_file}")
        return self


class DomainLimit(Options):
    """What is sent at most to one domain of recipients, over all relays."""

    connections: int | None = Field(default=None, ge=1, le=200)
    """Mails of this process on their way to a relay at a time."""
    per_minute: int | None = Field(default=None, ge=1)
    """Mails a minute of all workers together, at most ten seconds' worth of them at once. The hub keeps it."""

    @property
    def pace(self) -> Rate | None:
        """The rate, where one is set."""
        return None if self.per_minute is None else Rate.of(self.per_minute / 60, None, 10)


class DkimKey(Options):
    """A key that signs mails whose From is of ``domain`` (RFC 6376); checked when the settings are read."""

    domain: str
    selector: str = Field(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$")
    """The public key stands in DNS at ``<selector>._domainkey.<domain>``."""
    key_file: Path
    """The private key as PEM: RSA of 2048 bits or more, or Ed25519."""

    @field_validator("domain")
    @classmethod
    def _a_domain(cls, value: str) -> str:
        if not _DOMAIN.fullmatch(value):
            raise ValueError("must be a domain in small ASCII letters (an international one as xn--…)")
        return value

    @model_validator(mode="after")
    def _usable(self) -> Self:
        from publishers.smtp.dkim import load_key  # cryptography is loaded by those alone who sign

        load_key(self.key_file)
        return self


class SmtpOptions(Options):
    """Settings of the channel. ``relays``, ``dkim`` by names of one's own, ``domains`` by domain ("gmail.com")."""

    relays: dict[str, Relay] = Field(min_length=1)
    domains: dict[str, DomainLimit] = Field(default_factory=dict)
    dkim: dict[str, DkimKey] = Field(default_factory=dict)
    connect_timeout: float = Field(default=10, gt=0)
    """Seconds to reach a relay, and for each step of greeting, encryption and login."""
    reply_timeout: float = Field(default=30, gt=0)
    """Seconds without a reply after which a connection is given up."""
    idle_timeout: float = Field(default=20, gt=0)
    """Seconds after which an unused connection is closed; servers close theirs after 10 s to 5 min."""
    local_hostname: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.:\[\]_-]+$")
    """The name we greet with; the machine's own if not given. It should resolve to our address."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in (*self.relays, *self.dkim):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name for a relay or a key: small letters, digits, - and _")
        if not any(relay.weight for relay in self.relays.values()):
            raise ValueError("every relay has weight 0: one at least must be more than a spare")
        for domain in self.domains:
            if not _DOMAIN.fullmatch(domain):
                raise ValueError(f"domains: {domain!r} must be a domain in small ASCII letters, as in gmail.com")
        return self


def _is_this_machine(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
