"""Whether each channel's provider takes us, and whether the links in messages lead to us."""

import asyncio
import ipaddress
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from pydantic import BaseModel

from hub.settings import Settings
from launcher.diagnosis.findings import Finding, Grade
from publishers.base import Checks
from publishers.base import Finding as ChannelFinding
from publishers.registry import CHANNELS

_CONNECT_S = 5.0


def links(settings: Settings) -> list[Finding]:
    """Whether what stands in messages can lead back to us. Nothing to say of a demo, or without channels to people."""
    if settings.portal.sandbox_url is not None or not settings.channels.keys() & {"email", "sms"}:
        return []
    found = []
    url = str(settings.links.public_url)
    place = urlsplit(url)
    if _only_here(place.hostname or ""):
        what = f"unsubscribe links lead to {url}, which only this machine can reach"
        mend = "Set links.public_url to the address under which citizens reach the portal."
        found.append(Finding("links", Grade.WARNING, what, mend))
    elif place.scheme != "https":
        mend = "Serve it over HTTPS, and write https:// in links.public_url: mail clients want it for one-click."
        found.append(Finding("links", Grade.WARNING, f"unsubscribe links are not encrypted: {url}", mend))
    if "email" in settings.channels and _only_here(settings.links.bounce_domain):
        what = f"bounces go to {settings.links.bounce_domain}, which only this machine knows"
        mend = "Set links.bounce_domain to a domain whose MX leads to the bounce inlet."
        found.append(Finding("links", Grade.WARNING, what, mend))
    return found or [Finding("links", Grade.OK, f"messages lead back to {url}")]


def _only_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def channel(name: str, options: BaseModel) -> list[Finding]:
    """The channel's own check when it has one; else whether its servers can be reached (and their certificates)."""
    part = f"channel {name}"
    publisher = CHANNELS[name].open(options)
    try:
        if isinstance(publisher, Checks):
            return [_told(part, one) for one in await publisher.check()]
    finally:
        await publisher.aclose()
    return [await _reached(part, url) for url in dict.fromkeys(_urls(options))]


def _told(part: str, said: ChannelFinding) -> Finding:
    return Finding(part, Grade.OK if said.ok else Grade.FAULT, f"{said.name}: {said.says}", said.mend or "")


def _urls(value: object) -> Iterator[str]:
    """Every web address among a channel's options."""
    if isinstance(value, BaseModel):
        for field in type(value).model_fields:
            yield from _urls(getattr(value, field))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _urls(inner)
    elif str(value).startswith(("http://", "https://")):
        yield str(value)


async def _reached(part: str, url: str) -> Finding:
    place = urlsplit(url)
    secure = place.scheme == "https"
    port = place.port or (443 if secure else 80)
    try:
        opened = asyncio.open_connection(place.hostname, port, ssl=secure or None)
        _, writer = await asyncio.wait_for(opened, _CONNECT_S)
    except (OSError, TimeoutError) as error:
        what = f"{place.hostname}:{port} can't be reached: {error or 'no answer'}"
        return Finding(part, Grade.FAULT, what, "Check its address, and what stands between (firewall, certificate).")
    writer.close()
    return Finding(part, Grade.OK, f"{place.hostname}:{port} answers (our token was not tried)")
