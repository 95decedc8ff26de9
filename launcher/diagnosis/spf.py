"""SPF (RFC 7208): what a record says, how many look-ups it costs whoever receives, and whether an address passes.

``read`` fetches everything that a record leads to; the rest are functions of what it returned.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from launcher.diagnosis.resolver import Address, Zone

LOOKUPS = 10
"""At most so many terms that need DNS (§4.6.4); one more, and every mail fails with "permerror"."""
VOID_LOOKUPS = 2
"""At most so many of them that find nothing (§4.6.4)."""
EXCHANGERS = 10
"""At most so many MX hosts of one "mx" term (§4.6.4)."""
_ENOUGH = 40  # terms fetched: where a record is this far over the limit, how far no longer matters

_MECHANISMS = {"all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"}
_LOOK_UP = {"include", "a", "mx", "ptr", "exists", "redirect"}
_VERDICTS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}


class SpfFault(ValueError):
    """What makes receivers answer "permerror": said in words for whoever writes the record."""


@dataclass(frozen=True, slots=True)
class Term:
    """One term: a mechanism with its qualifier, or the modifier ``redirect``. ``value`` is its domain or network."""

    name: str
    qualifier: str = "+"
    value: str = ""
    prefix4: int = 32
    prefix6: int = 128

    @property
    def looks_up(self) -> bool:
        """Whether whoever evaluates it has to ask DNS, and counts it."""
        return self.name in _LOOK_UP

    @property
    def has_macro(self) -> bool:
        """Whether its domain depends on each mail (§7), so that nobody can follow it beforehand."""
        return "%" in self.value

    def __str__(self) -> str:
        if self.name == "redirect":
            return f"redirect={self.value}"
        return ("" if self.qualifier == "+" else self.qualifier) + self.name + (f":{self.value}" if self.value else "")


@dataclass(frozen=True, slots=True)
class Policy:
    """A record with all that it leads to. ``void`` counts its terms, not those below, that found nothing."""

    domain: str
    terms: tuple[Term, ...]
    under: Mapping[Term, "Policy"] = field(default_factory=dict)
    addresses: Mapping[Term, tuple[Address, ...]] = field(default_factory=dict)
    void: int = 0


def records(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Those of a name's TXT records that are SPF (§4.5)."""
    return tuple(text for text in texts if text.lower() == "v=spf1" or text.lower().startswith("v=spf1 "))


def parse(text: str) -> tuple[Term, ...]:
    """The terms of a record, in order, without those that can never count. Raises SpfFault."""
    found: list[Term] = []
    redirect: Term | None = None
    for word in text.split(" ")[1:]:
        if not word:
            continue
        name, equals, value = word.partition("=")
        if equals and name.isascii() and name.replace("-", "").replace("_", "").replace(".", "").isalnum():
            if name.lower() == "redirect":
                if redirect is not None or not value:
                    raise SpfFault(f"“{word}”: redirect= may stand once, with a domain")
                redirect = Term("redirect", value=value.lower())
            continue  # exp= and unknown modifiers change no verdict
        found.append(_mechanism(word))
    for at, term in enumerate(found):
        if term.name == "all":
            return tuple(found[: at + 1])  # what stands behind it, and redirect=, is ignored (§5.1)
    return (*found, redirect) if redirect is not None else tuple(found)


def _mechanism(word: str) -> Term:
    qualifier, rest = (word[0], word[1:]) if word[0] in _VERDICTS else ("+", word)
    name, colon, value = rest.partition(":")
    if not colon:
        name, slash, size = rest.partition("/")
        value = slash + size
    name = name.lower()
    if name not in _MECHANISMS:
        raise SpfFault(f"“{word}” is no term of SPF")
    if name in ("ip4", "ip6"):
        try:
            network = ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise SpfFault(f"“{word}”: {value!r} is no network") from None
        if f"ip{network.version}" != name:
            raise SpfFault(f"“{word}”: that is an address of the other kind")
        return Term(name, qualifier, str(network))
    if name in ("include", "exists") and not value:
        raise SpfFault(f"“{word}” needs a domain")
    if name == "all" and (colon or value):
        raise SpfFault(f"“{word}”: “all” takes nothing behind it")
    domain, prefix4, prefix6 = value, "32", "128"
    if name in ("a", "mx"):
        domain, _, prefix6 = value.partition("//")
        domain, _, prefix4 = domain.partition("/")
    return Term(name, qualifier, domain.lower().rstrip("."), _prefix(prefix4, 32, word), _prefix(prefix6, 128, word))


def _prefix(text: str, most: int, word: str) -> int:
    if not text:
        return most
    if not text.isdecimal() or int(text) > most:
        raise SpfFault(f"“{word}”: /{text} is no length of a prefix")
    return int(text)


async def read(domain: str, zone: Zone) -> Policy | None:
    """The policy of a domain with everything below it, None without one. Raises SpfFault, Unanswered."""
    return await _read(domain, zone, (), [0])


async def _read(domain: str, zone: Zone, above: tuple[str, ...], fetched: list[int]) -> Policy | None:
    if domain in above:
        raise SpfFault(f"{' → '.join((*above, domain))} goes in a circle")
    found = records(await zone.texts(domain))
    if len(found) > 1:
        raise SpfFault(f"{domain} has {len(found)} SPF records; one is allowed")
    if not found:
        return None
    try:
        terms = parse(found[0])
    except SpfFault as fault:
        raise SpfFault(f"{domain}: {fault}") from None
    under: dict[Term, Policy] = {}
    addresses: dict[Term, tuple[Address, ...]] = {}
    void = 0
    for term in terms:
        fetched[0] += term.looks_up
        if not term.looks_up or term.has_macro or term.name in ("ptr", "exists") or fetched[0] > _ENOUGH:
            continue
        if term.name in ("include", "redirect"):
            below = await _read(term.value, zone, (*above, domain), fetched)
            if below is None:
                raise SpfFault(f"{domain}: “{term}” leads to a domain without an SPF record")
            under[term] = below
        else:
            addresses[term] = await _addresses(term, term.value or domain, zone)
            void += not addresses[term]
    return Policy(domain, terms, under, addresses, void)


async def _addresses(term: Term, name: str, zone: Zone) -> tuple[Address, ...]:
    if term.name == "a":
        return await zone.addresses(name)
    hosts = [host for _, host in await zone.exchangers(name) if host]
    if len(hosts) > EXCHANGERS:
        raise SpfFault(f"“{term}”: {name} has {len(hosts)} MX hosts; {EXCHANGERS} are allowed")
    found: list[Address] = []
    for host in hosts:
        found += await zone.addresses(host)
    return tuple(found)


def lookups(policy: Policy) -> int:
    """How many terms need DNS when none of them matches: what receivers hold against ``LOOKUPS``."""
    return sum(term.looks_up + (lookups(policy.under[term]) if term in policy.under else 0) for term in policy.terms)


def void_lookups(policy: Policy) -> int:
    """How many of them find nothing, as far as that shows beforehand."""
    return policy.void + sum(void_lookups(policy.under[term]) for term in policy.terms if term in policy.under)


def verdict(policy: Policy, address: Address) -> str:
    """``pass``, ``fail``, ``softfail`` or ``neutral`` for mail from an address (§4.6).

    Terms that depend on each mail (macros, ``exists``, ``ptr``) count as not matching.
    """
    for term in policy.terms:
        if term.name == "redirect":
            return verdict(policy.under[term], address) if term in policy.under else "neutral"
        if _matches(policy, term, address):
            return _VERDICTS[term.qualifier]
    return "neutral"


def _matches(policy: Policy, term: Term, address: Address) -> bool:
    if term.name == "all":
        return True
    if term.name in ("ip4", "ip6"):
        return address in ipaddress.ip_network(term.value)
    if term.name == "include":
        return term in policy.under and verdict(policy.under[term], address) == "pass"
    size = term.prefix4 if address.version == 4 else term.prefix6
    return any(
        one.version == address.version and address in ipaddress.ip_network((one, size), strict=False)
        for one in policy.addresses.get(term, ())
    )


def ending(policy: Policy) -> str:
    """What becomes of mail from anywhere else: the verdict of the last resort."""
    last = policy.terms[-1] if policy.terms else None
    if last is not None and last.name == "redirect" and last in policy.under:
        return ending(policy.under[last])
    return _VERDICTS[last.qualifier] if last is not None and last.name == "all" else "neutral"
