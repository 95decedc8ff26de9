"""Where a request to an address that somebody else chose may go: to the public Internet, and to networks that the
operator has named; never to what only this machine, this network or this cloud can reach (CWE-918).

The name is resolved here, every address it has is judged, and the connection is made to one of those very
addresses: a name that says another one a moment later (DNS rebinding) gains nothing. Judged are addresses only,
never the spelling of a host: "0177.0.0.1", "2130706433" and a name that leads to 127.0.0.1 are all the same here.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from types import MappingProxyType

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Every address of a host (a name or an address), in the order of preference. Raises OSError when there is none."""


class Forbidden(Exception):
    """The host leads where nothing may be sent. The message says why, in words for the operator."""


def _table(rows: Iterable[tuple[str, str]]) -> Mapping[Network, str]:
    return MappingProxyType({ip_network(network): why for network, why in rows})


SPECIAL = _table(
    (
        # IANA IPv4 Special-Purpose Address Registry, and multicast
        ("0.0.0.0/8", "this machine itself"),
        ("10.0.0.0/8", "a private network"),
        ("100.64.0.0/10", "a provider's inner network (CGNAT)"),
        ("127.0.0.0/8", "this machine itself"),
        ("169.254.0.0/16", "the local link, where clouds keep their metadata"),
        ("172.16.0.0/12", "a private network"),
        ("192.0.0.0/24", "an address for protocols"),
        ("192.0.2.0/24", "an address for documentation"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "a private network"),
        ("198.18.0.0/15", "a network for benchmarks"),
        ("198.51.100.0/24", "an address for documentation"),
        ("203.0.113.0/24", "an address for documentation"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
        # IANA IPv6 Special-Purpose Address Registry: the parts of 2000::/3, beside which nothing is public
        ("2001::/23", "an address for protocols (Teredo, ORCHID)"),
        ("2001:db8::/32", "an address for documentation"),
        ("2002::/16", "an IPv4 address inside an IPv6 one (6to4)"),
        ("3fff::/20", "an address for documentation"),
        # Named, so that the operator is told more than "not public"
        ("::/128", "this machine itself"),
        ("::1/128", "this machine itself"),
        ("::ffff:0:0/96", "an IPv4 address inside an IPv6 one"),
        ("fc00::/7", "a private network"),
        ("fe80::/10", "the local link"),
        ("ff00::/8", "a multicast address"),
    )
)

METADATA = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",  # AWS, Azure, Google, OpenStack, OVHcloud, Scaleway
            "169.254.170.2",  # AWS: credentials of containers
            "169.254.42.42",  # Scaleway
            "fd00:ec2::254",  # AWS
            "fd00:42::42",  # Scaleway
            "100.100.100.200",  # Alibaba
            "192.0.0.192",  # Oracle
            "168.63.129.16",  # Azure, though the address is a public one
        ),
    )
)
"""Where clouds hand out a machine's credentials: no network that an operator names opens these."""

_PUBLIC_6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


def objection(address: Address, networks: Sequence[Network] = ()) -> str | None:
    """Why nothing may be sent there, None when it may. ``networks`` are those that the operator has opened."""
    if address in METADATA:
        return "where a cloud hands out credentials"
    if any(address in network for network in networks):
        return None
    for network, why in SPECIAL.items():
        if address in network:
            return why
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:  # how a network without IPv4 reaches a public IPv4 host (RFC 6052)
        return objection(IPv4Address(int(address) & 0xFFFFFFFF), networks)
    return None if address in _PUBLIC_6 else "not a public address"


async def system(host: str, port: int) -> Sequence[str]:
    """As the system resolves names: see ``Resolve``."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


@dataclass(frozen=True, slots=True)
class Guard:
    """Judges hosts for one destination."""

    networks: tuple[Network, ...] = ()
    resolve: Resolve = system

    async def address(self, host: str, port: int) -> str:
        """The address to connect to.

        Raises Forbidden when any of the host's addresses is objectionable: a name that leads both inside and
        outside is a mistake or an attack. Raises OSError when it has none.
        """
        found = await self.resolve(host.strip("[]"), port)
        if not found:
            raise OSError(f"{host} has no address")
        for text in found:
            address = ip_address(text)
            if (why := objection(address, self.networks)) is not None:
                raise Forbidden(f"{host} is {address}: {why}; name the network in the settings if it is meant")
        return found[0]
