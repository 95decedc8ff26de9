"""DMARC (RFC 7489): the record of a domain, and whether what we send would pass it.

Where an organisation begins is found by walking up DNS, as the successor RFC 9989 §4.10 has it, for no list of
public suffixes is at hand. For the domains of towns both give the same.
"""

from dataclasses import dataclass
from typing import Literal, cast, get_args

from launcher.diagnosis.resolver import Zone

Policy = Literal["none", "quarantine", "reject"]
_POLICIES = get_args(Policy)


class DmarcFault(ValueError):
    """A record that receivers ignore, in words for whoever writes it."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the owner of a domain asks of receivers. ``at`` is the domain that the record is of."""

    at: str
    policy: Policy
    subdomains: Policy
    dkim_strict: bool = False
    spf_strict: bool = False
    reports: tuple[str, ...] = ()
    public_suffix: bool = False

    def policy_for(self, domain: str) -> str:
        """What is asked for mail from a domain: its own, or what is said of those below."""
        return self.policy if domain == self.at else self.subdomains


def parse(text: str, at: str) -> Record:
    """A record from its TXT. Raises DmarcFault."""
    tags: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if equals:
            tags.setdefault(name.strip().lower(), value.strip())
        elif part.strip():
            raise DmarcFault(f"“{part.strip()}” is no tag of a DMARC record")
    policy = tags.get("p", "").lower()
    below = tags.get("sp", policy).lower()
    for name, value in (("p", policy), ("sp", below)):
        if value not in _POLICIES:
            raise DmarcFault(f"{name}={value or 'is missing'}: it must be one of {', '.join(_POLICIES)}")
    for name in ("adkim", "aspf"):
        if tags.get(name, "r").lower() not in ("r", "s"):
            raise DmarcFault(f"{name}={tags[name]}: it must be r or s")
    reports = tuple(one.strip() for one in tags.get("rua", "").split(",") if one.strip())
    for one in reports:
        if not one.lower().startswith(("mailto:", "https:", "http:")):
            raise DmarcFault(f"rua={one}: reports need an address with “mailto:” before it")
    return Record(
        at,
        cast(Policy, policy),
        cast(Policy, below),
        dkim_strict=tags.get("adkim", "r").lower() == "s",
        spf_strict=tags.get("aspf", "r").lower() == "s",
        reports=reports,
        public_suffix=tags.get("psd", "u").lower() == "y",
    )


async def find(domain: str, zone: Zone) -> Record | None:
    """The record that receivers use for mail from a domain: its own, or the nearest above it. Raises DmarcFault,
    Unanswered."""
    for name in _upwards(domain):
        if (record := await _at(name, zone)) is not None:
            return record
    return None


async def organisation(domain: str, zone: Zone) -> str:
    """The domain whose owner a domain belongs to: the highest that has a record. Raises DmarcFault, Unanswered."""
    found = domain
    for name in _upwards(domain):
        record = await _at(name, zone)
        if record is not None and not record.public_suffix:
            found = name
    return found


def _upwards(domain: str) -> list[str]:
    """A domain and those above it, but for the top one: at most eight (RFC 9989 §4.10)."""
    labels = domain.lower().rstrip(".").split(".")
    return [".".join(labels[at:]) for at in range(len(labels) - 1)][:8] or [domain]


async def _at(domain: str, zone: Zone) -> Record | None:
    found = [text for text in await zone.texts(f"_dmarc.{domain}") if text.replace(" ", "").startswith("v=DMARC1")]
    if len(found) > 1:
        raise DmarcFault(f"_dmarc.{domain} has {len(found)} DMARC records, so receivers ignore them all: keep one")
    if not found:
        return None
    try:
        return parse(found[0], domain)
    except DmarcFault as fault:
        raise DmarcFault(f"_dmarc.{domain}: {fault}") from None


async def aligned(domain: str, other: str, zone: Zone, *, strict: bool) -> bool:
    """Whether ``other``, which SPF or DKIM vouches for, may speak for ``domain`` (RFC 7489 §3.1)."""
    if domain == other:
        return True
    if strict:
        return False
    if domain.endswith(f".{other}") or other.endswith(f".{domain}"):
        return True
    return await organisation(domain, zone) == await organisation(other, zone)
