"""DNS as the doctor asks it: few kinds of records, each question once, none for longer than a few seconds."""

import ipaddress
import re
from pathlib import Path
from typing import Any, Protocol

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver

from launcher.faults import Fault

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PATIENCE_S = 3.0
_RESERVED = (
    "example",
    "invalid",
    "test",
    "localhost",
    "local",
    "internal",
    "example.com",
    "example.net",
    "example.org",
)
_RESOLV_CONF = Path("/etc/resolv.conf")


class Unanswered(Exception):
    """Nobody could say whether there is such a record: no resolver, no answer in time, or a server's own trouble."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name
        self.why = why


class Zone(Protocol):
    """What can be asked. A name that does not exist has no records; both are ()."""

    async def texts(self, name: str, /) -> tuple[str, ...]:
        """TXT records, their strings joined (RFC 7208 §3.3). Raises Unanswered."""
        ...

    async def addresses(self, name: str, /) -> tuple[Address, ...]:
        """A and AAAA records. Raises Unanswered."""
        ...

    async def exchangers(self, name: str, /) -> tuple[tuple[int, str], ...]:
        """MX records: preference and host ("" is the null MX of RFC 7505), best first. Raises Unanswered."""
        ...


class Resolver:
    """A Zone that asks the machine's resolver, or ``server`` ("192.0.2.53", "192.0.2.53:5353", "[2001:db8::53]:53").

    Raises Fault for a server that is no address; Unanswered where the machine names no resolver.
    """

    def __init__(self, server: str | None = None, *, patience_s: float = _PATIENCE_S) -> None:
        self.answered = False
        """Whether anybody answered anything yet."""
        self._patience_s = patience_s
        self._known: dict[tuple[str, str], tuple[Any, ...] | Unanswered] = {}
        if server is not None:
            host, port = _server(server)
            self._resolver = dns.asyncresolver.Resolver(configure=False)
            self._resolver.nameservers = [host]
            self._resolver.port = port
            return
        try:
            self._resolver = dns.asyncresolver.Resolver(str(_RESOLV_CONF))
        except (dns.resolver.NoResolverConfiguration, OSError) as error:
            raise Unanswered("DNS", f"this machine has no resolver ({_RESOLV_CONF})") from error

    async def texts(self, name: str) -> tuple[str, ...]:
        """TXT records of a name."""
        return tuple(b"".join(one.strings).decode("latin-1") for one in await self._ask(name, "TXT"))

    async def addresses(self, name: str) -> tuple[Address, ...]:
        """Addresses of a name, of both kinds."""
        found = [*await self._ask(name, "A"), *await self._ask(name, "AAAA")]
        return tuple(ipaddress.ip_address(one.address) for one in found)

    async def exchangers(self, name: str) -> tuple[tuple[int, str], ...]:
        """MX records of a name, best first."""
        found = [(one.preference, one.exchange.to_text(omit_final_dot=True)) for one in await self._ask(name, "MX")]
        return tuple(sorted((preference, "" if host in (".", "@") else host) for preference, host in found))

    async def is_public(self) -> bool:
        """Whether whoever answers knows the public DNS at all. Cut off from it, some say of every name that there is
        no such name, which would look as if everything were missing. Raises Unanswered."""
        return bool(await self._ask(".", "NS"))

    async def _ask(self, name: str, kind: str) -> tuple[Any, ...]:
        place = (name.lower(), kind)
        if place not in self._known:
            self._known[place] = await self._asked(name, kind)
        found = self._known[place]
        if isinstance(found, Unanswered):
            raise found
        return found

    async def _asked(self, name: str, kind: str) -> tuple[Any, ...] | Unanswered:
        try:
            answer = await self._resolver.resolve(
                name, kind, raise_on_no_answer=False, search=False, lifetime=self._patience_s
            )
        except dns.resolver.NXDOMAIN:
            self.answered = True
            return ()
        except (dns.name.LabelTooLong, dns.name.EmptyLabel, dns.name.NameTooLong, UnicodeError):
            return Unanswered(name, "is no name that DNS could have")
        except dns.resolver.NoNameservers as error:
            said = [one[4].rcode() for one in error.kwargs.get("errors", ()) if one[4] is not None]
            self.answered = self.answered or bool(said)
            return Unanswered(name, f"its servers fail ({kind})" if said else "no resolver answers")
        except dns.exception.Timeout:
            return Unanswered(name, f"no answer within {self._patience_s:g} s ({kind})")
        except (dns.exception.DNSException, OSError) as error:
            return Unanswered(name, f"{type(error).__name__} ({kind})")
        self.answered = True
        return tuple(answer.rrset or ())


def is_reserved(domain: str) -> bool:
    """Whether a domain is kept for examples and private use (RFC 2606, 6761, 6762): no public DNS knows it."""
    domain = domain.lower().rstrip(".")
    return any(domain == one or domain.endswith(f".{one}") for one in _RESERVED)


def _server(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"\[(.+)\](?::(\d+))?", text) or re.fullmatch(r"([^:]+):(\d+)", text)
    host, port = found.groups("53") if found else (text, "53")
    try:
        return str(ipaddress.ip_address(host)), int(port)
    except ValueError:
        raise Fault(f"{text!r} is no DNS server.", "Give its address, as in 192.0.2.53 or 192.0.2.53:5353.") from None
