"""The doctor's round: every part looked at, each for itself; none raises because another is missing."""

import asyncio
from collections.abc import Awaitable, Mapping

from hub.settings import Settings
from launcher.diagnosis import channels, database, kafka, machine
from launcher.diagnosis.findings import Finding, Grade, guarded
from launcher.environment import homes, settings_for_commands
from launcher.faults import Fault


async def examine(mapping: Mapping[str, str], *, dns: bool = True, dns_server: str | None = None) -> list[Finding]:
    """Every check, in the order in which parts depend on each other. ``mapping`` is the environment.

    ``dns``: whether to ask about the domains of mails, of ``dns_server`` when it is given.
    """
    here = await asyncio.gather(
        guarded("disk", asyncio.to_thread(machine.disk, homes(mapping)[0].folder)),
        guarded("clock", asyncio.to_thread(machine.clock)),
        guarded("ports", asyncio.to_thread(machine.ports, mapping)),
        guarded("templates", asyncio.to_thread(machine.templates)),
        guarded("secrets", asyncio.to_thread(machine.secrets, mapping)),
    )
    found = [finding for part in here for finding in part]
    try:
        settings = settings_for_commands(mapping)
    except Fault as fault:
        unseen = Finding("the rest", Grade.WARNING, "Kafka, PostgreSQL and channels were not looked at", "")
        return [Finding("settings", Grade.FAULT, fault.what, fault.mend), *found, unseen]
    looked = await asyncio.gather(*_round(settings, dns=dns, dns_server=dns_server))
    return [_settings(settings), *found, *(finding for part in looked for finding in part)]


def _round(settings: Settings, *, dns: bool, dns_server: str | None) -> list[Awaitable[list[Finding]]]:
    checks: list[Awaitable[list[Finding]]] = [
        guarded("kafka", kafka.examine(settings.kafka)),
        guarded("postgresql", database.examine(settings)),
        guarded("links", asyncio.to_thread(channels.links, settings)),
    ]
    for name, options in settings.channels.items():
        checks.append(guarded(f"channel {name}", channels.channel(name, options)))
    if dns and "email" in settings.channels:
        checks.append(guarded("dns", _mail(settings, dns_server)))
    return checks


def _settings(settings: Settings) -> Finding:
    if settings.channels:
        return Finding("settings", Grade.OK, f"channels set up: {', '.join(settings.channels)}")
    return Finding(
        "settings",
        Grade.WARNING,
        "no channel is set up: nobody can be told anything",
        "Set one up in tambour.toml ([channels.email.relays.main] …).",
    )


async def _mail(settings: Settings, server: str | None) -> list[Finding]:
    """What DNS says of our mails. While the database is away, of what the settings name alone."""
    from launcher.diagnosis import mail  # dnspython is loaded by those alone who send mail

    try:
        domains = await database.sending_domains(settings)
    except Fault:
        domains = ()
    sending = mail.Sending(domains, settings.links.bounce_domain, settings.channels["email"])
    return await mail.examine(sending, server)
