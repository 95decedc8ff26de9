"""Whether receivers will believe our mails, as far as DNS says: SPF, DKIM, DMARC, and the way back for bounces."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from launcher.diagnosis import dkim, dmarc, spf
from launcher.diagnosis.findings import Finding, Grade
from launcher.diagnosis.resolver import Address, Resolver, Unanswered, Zone, is_reserved
from publishers.smtp.options import DkimKey, SmtpOptions

_INSIDE = [*map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))]


@dataclass(frozen=True, slots=True)
class Sending:
    """What our mails name: the domains in their From, the domain of their envelope senders, who relays and signs."""

    from_domains: tuple[str, ...]
    bounce_domain: str
    options: SmtpOptions

    @property
    def keys(self) -> tuple[DkimKey, ...]:
        """Our own keys."""
        return tuple(self.options.dkim.values())

    def keys_for(self, domain: str) -> tuple[DkimKey, ...]:
        """Those that sign mails from a domain (publishers/smtp/dkim.py)."""
        return tuple(key for key in self.keys if domain == key.domain or domain.endswith(f".{key.domain}"))

    @property
    def relays_sign(self) -> bool:
        """Whether a relay signs by itself, with a key that we know nothing of."""
        return any(relay.signs for relay in self.options.relays.values())


async def examine(sending: Sending, server: str | None = None) -> list[Finding]:
    """Every finding about the domains. ``server`` is asked instead of the machine's resolver, about any domain;
    without it, domains reserved for examples are passed over. No answer from anybody is a single warning.
    """
    try:
        zone = Resolver(server)
    except Unanswered as error:
        return [_not_looked_at(error)]
    domains = dict.fromkeys((*(name.lower() for name in sending.from_domains), sending.bounce_domain.lower()))
    passed_over = [name for name in domains if server is None and is_reserved(name)]
    if server is None and len(passed_over) < len(domains):
        try:
            if not await zone.is_public():
                return [_not_looked_at(Unanswered("DNS", "this machine's resolver does not know the public DNS"))]
        except Unanswered as error:
            return [_not_looked_at(error)]
    found = await findings(sending, zone, passed_over)
    if found and not zone.answered:
        return [_not_looked_at(Unanswered("DNS", "no resolver answers"))]
    reserved = "is reserved for examples and private use: no DNS to look at"
    return [*(Finding(_part(name), Grade.OK, reserved) for name in passed_over), *found]


def _not_looked_at(error: Unanswered) -> Finding:
    return Finding(
        "dns",
        Grade.WARNING,
        f"SPF, DKIM, DMARC and MX were not looked at: {error}",
        "Run doctor where DNS can be reached, name a server (--dns-server 192.0.2.53), or leave it out (--no-dns).",
    )


async def findings(sending: Sending, zone: Zone, passed_over: Sequence[str] = ()) -> list[Finding]:
    """What ``zone`` says of the bounce domain, of our keys, and of each From domain, but for those passed over."""
    checks: list[Awaitable[list[Finding]]] = []
    bounce = sending.bounce_domain.lower()
    if bounce not in passed_over:
        checks += [_noted(bounce, _exchangers(bounce, zone)), _noted(bounce, _spf(bounce, sending, zone, vital=True))]
    checks += [_noted(key.domain, _key(key, zone)) for key in sending.keys if key.domain not in passed_over]
    for domain in dict.fromkeys(name.lower() for name in sending.from_domains):
        if domain in passed_over:
            continue
        if domain != bounce:
            checks.append(_noted(domain, _spf(domain, sending, zone, vital=False)))
            checks.append(_noted(domain, _replies(domain, zone)))
        checks.append(_noted(domain, _dmarc(domain, sending, zone)))
    unsigned = [name for name in sending.from_domains if not (sending.keys_for(name.lower()) or sending.relays_sign)]
    told = [_unsigned(name.lower()) for name in dict.fromkeys(unsigned) if name.lower() not in passed_over]
    return [*(finding for part in await asyncio.gather(*checks) for finding in part), *told]


def _unsigned(domain: str) -> Finding:
    mend = "Set up a key ([channels.email.dkim.…]), or say of the relay that signs: signs = true."
    what = "DKIM: nothing signs mails of this domain; large providers want it of whoever writes to many"
    return Finding(_part(domain), Grade.WARNING, what, mend)


async def _noted(domain: str, check: Awaitable[Finding]) -> list[Finding]:
    try:
        return [await check]
    except Unanswered as error:
        mend = "Look again later; if it stays so, whoever hosts the domain has to mend its name servers."
        return [Finding(_part(domain), Grade.WARNING, f"could not be looked at: {error}", mend)]


def _part(domain: str) -> str:
    return f"dns {domain}"


async def _exchangers(domain: str, zone: Zone) -> Finding:
    """The way back: bounces go to the MX of the envelope sender's domain (RFC 5321 §5.1)."""
    part = _part(domain)
    mend = f"Publish: {domain}. MX 10 <the name of the host whose port 25 leads to the bounce inlet>."
    found = await zone.exchangers(domain)
    if any(host == "" for _, host in found):
        return Finding(part, Grade.FAULT, "MX: says that it takes no mail (RFC 7505): no bounce comes back", mend)
    if not found:
        if await zone.addresses(domain):
            return Finding(part, Grade.WARNING, "MX: none, so bounces go to the host of that very name", mend)
        what = "MX: none and no address: no bounce comes back, and many servers refuse such senders"
        return Finding(part, Grade.FAULT, what, mend)
    lost = [host for _, host in found if not await zone.addresses(host)]
    if lost:
        grade = Grade.FAULT if len(lost) == len(found) else Grade.WARNING
        return Finding(part, grade, f"MX: {', '.join(lost)} has no address", "Give it an A or AAAA record.")
    return Finding(part, Grade.OK, f"MX: {', '.join(host for _, host in found)}")


async def _replies(domain: str, zone: Zone) -> Finding:
    """Whether an answer to a mail finds a mailbox."""
    part = _part(domain)
    found = await zone.exchangers(domain)
    if any(host for _, host in found) or (not found and await zone.addresses(domain)):
        return Finding(part, Grade.OK, "takes replies")
    mend = "Give it an MX record, or set mail_from (or reply_to) of the authority to an address that takes mail."
    return Finding(part, Grade.WARNING, "MX: takes no mail, so replies come back, and some servers refuse it", mend)


async def _spf(domain: str, sending: Sending, zone: Zone, *, vital: bool) -> Finding:
    """``vital``: the domain of envelope senders, the one that receivers look at (RFC 7208 §2.4)."""
    part = _part(domain)
    hosts = [f"a:{relay.host}" for relay in sending.options.relays.values() if not _is_address(relay.host)]
    suggestion = f"v=spf1 {' '.join(hosts) or 'ip4:<your relay>'} -all"
    try:
        policy = await spf.read(domain, zone)
    except spf.SpfFault as fault:
        grade = Grade.FAULT if vital else Grade.WARNING
        mend = "Mend the record; until then receivers answer “permerror” and may refuse every mail."
        return Finding(part, grade, f"SPF: {fault}", mend)
    if policy is None:
        grade = Grade.FAULT if vital else Grade.WARNING
        mend = f'Publish: {domain}. TXT "{suggestion}"' + ("" if vital else " (-all alone, if no mail uses it)")
        why = "receivers can't tell our mails from forged ones" if vital else "anybody may use it as envelope sender"
        return Finding(part, grade, f"SPF: none: {why}", mend)
    return await _judged(part, policy, sending, zone, vital=vital)


async def _judged(part: str, policy: spf.Policy, sending: Sending, zone: Zone, *, vital: bool) -> Finding:
    needed, void = spf.lookups(policy), spf.void_lookups(policy)
    told = f"SPF: {needed} of {spf.LOOKUPS} look-ups"
    if needed > spf.LOOKUPS:
        mend = "Take out includes that nothing uses any more, or write networks (ip4:, ip6:) in place of names."
        what = f"SPF: needs {needed} look-ups, {spf.LOOKUPS} are allowed: receivers answer “permerror”"
        return Finding(part, Grade.FAULT if vital else Grade.WARNING, what, mend)
    if void > spf.VOID_LOOKUPS:
        mend = "Take out the terms whose names have no records any more."
        return Finding(part, Grade.WARNING, f"{told}, {void} of which find nothing; 2 are allowed", mend)
    ending = spf.ending(policy)
    if ending == "pass":
        return Finding(part, Grade.FAULT, "SPF: ends in +all: anybody may send in this name", "End it in -all.")
    if ending == "neutral":
        return Finding(part, Grade.WARNING, f"{told}; says nothing of other senders", "End it in -all (or ~all).")
    if vital:
        refused = [name for name, at in await _relays(sending, zone) if spf.verdict(policy, at) != "pass"]
        if refused:
            mend = "Add them (a:, ip4:), unless they send from other addresses than the one that takes our mail."
            return Finding(part, Grade.WARNING, f"{told}; does not allow {', '.join(refused)}", mend)
    return Finding(part, Grade.OK, f"{told}, ends in {ending}")


async def _relays(sending: Sending, zone: Zone) -> list[tuple[str, Address]]:
    """The public addresses of the relays: those of our own network send from others."""
    found: list[tuple[str, Address]] = []
    for relay in sending.options.relays.values():
        addresses: Sequence[Address] = ()
        if _is_address(relay.host):
            addresses = (ipaddress.ip_address(relay.host.strip("[]")),)
        elif "." in relay.host:
            addresses = await zone.addresses(relay.host)
        found += [(f"{relay.host} ({one})", one) for one in addresses if not _is_inside(one)]
    return found


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _is_inside(address: Address) -> bool:
    inside = any(address in network for network in _INSIDE if network.version == address.version)
    return inside or address.is_loopback or address.is_link_local


async def _key(key: DkimKey, zone: Zone) -> Finding:
    """One of our keys against its record."""
    part, name = _part(key.domain), dkim.name_of(key.selector, key.domain)
    ours = dkim.published_by_us(key.key_file)
    mend = f'Publish: {name}. TXT "{dkim.record_of(ours)}"'
    texts = await zone.texts(name)
    if not texts:
        return Finding(part, Grade.FAULT, f"DKIM: {name} has no record: our signatures can't be verified", mend)
    if len(texts) > 1:
        return Finding(part, Grade.FAULT, f"DKIM: {name} has {len(texts)} records; one is allowed", mend)
    try:
        found = dkim.parse(texts[0])
    except dkim.DkimFault as fault:
        return Finding(part, Grade.FAULT, f"DKIM: {name}: {fault}", mend)
    if (why := dkim.mismatch(found, ours)) is not None:
        return Finding(part, Grade.FAULT, f"DKIM: {name}: {why}", mend)
    if found.testing:
        what = f"DKIM: {name} is published for tests only (t=y): receivers may ignore it"
        return Finding(part, Grade.WARNING, what, "Take t=y out once mails arrive signed.")
    return Finding(part, Grade.OK, f"DKIM: selector {key.selector} has the key that we sign with ({found.kind})")


async def _dmarc(domain: str, sending: Sending, zone: Zone) -> Finding:
    """The record, and whether our mails pass it: by SPF through the envelope sender, or by our signature."""
    part = _part(domain)
    suggestion = f'Publish: _dmarc.{domain}. TXT "v=DMARC1; p=none; rua=mailto:<whom reports go to>"'
    try:
        record = await dmarc.find(domain, zone)
        if record is None:
            what = "DMARC: none: large providers want one of whoever writes to many"
            return Finding(part, Grade.WARNING, what, f"{suggestion}, and a stricter p= once reports look right.")
        by_spf = await dmarc.aligned(domain, sending.bounce_domain, zone, strict=record.spf_strict)
        by_dkim = [
            key
            for key in sending.keys_for(domain)
            if await dmarc.aligned(domain, key.domain, zone, strict=record.dkim_strict)
        ]
    except dmarc.DmarcFault as fault:
        return Finding(part, Grade.FAULT, f"DMARC: {fault}", "Mend the record.")
    policy = record.policy_for(domain)
    if not (by_spf or by_dkim or sending.relays_sign):
        what = (
            f"DMARC: p={policy}, and nothing vouches for our mails: links.bounce_domain ({sending.bounce_domain}) "
            "is of another organisation, and no key signs for the domain"
        )
        mend = f"Set links.bounce_domain to a subdomain of {domain}, or sign ([channels.email.dkim.…]), or let a relay."
        return Finding(part, Grade.WARNING if policy == "none" else Grade.FAULT, what, mend)
    ways = [*(["SPF"] if by_spf else []), *(["DKIM"] if by_dkim else [])] or ["the relay's DKIM, not looked at"]
    told = f"DMARC: p={policy}, passed by {' and '.join(ways)}"
    if not record.reports:
        return Finding(
            part, Grade.WARNING, f"{told}; nobody gets its reports", f"Add rua=mailto:… at _dmarc.{record.at}."
        )
    return Finding(part, Grade.OK, told)
