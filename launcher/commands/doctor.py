"""``doctor``: is everything there, and what to mend."""

import asyncio
import os
from typing import Annotated

import typer

from launcher.diagnosis import Finding, Grade, examine
from launcher.logs import silent
from launcher.terminal import console, print_json, printable

EPILOG = (
    "[bold]Example[/bold]: ./tambour doctor --dns-server 192.0.2.53, to see at your DNS host what you "
    "have just changed. Exit codes: 0 no fault (warnings are none), 1 a fault."
)
_SIGNS = {Grade.OK: ("ok     ", "green"), Grade.WARNING: ("warning", "yellow"), Grade.FAULT: ("FAULT  ", "bold red")}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as a JSON list.")] = False,
    dns: Annotated[bool, typer.Option("--dns/--no-dns", help="Ask DNS about the domains of mails.")] = True,
    dns_server: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Ask this server (192.0.2.53, 192.0.2.53:5353).")
    ] = None,
) -> None:
    """Look at settings, disk, ports, templates, Kafka, PostgreSQL, clocks, channels and DNS, and say what to mend.

    Sends nothing and changes nothing. Works also when nothing runs. DNS: SPF, DKIM and DMARC of the domains that
    mails come from, and where their bounces go.
    """
    with silent():
        findings = asyncio.run(examine(os.environ, dns=dns, dns_server=dns_server))
    if as_json:
        print_json(findings)
    else:
        _show(findings)
    raise typer.Exit(1 if any(one.grade is Grade.FAULT for one in findings) else 0)


def _show(findings: list[Finding]) -> None:
    out = console()
    width = max(len(one.part) for one in findings)
    for one in findings:
        sign, style = _SIGNS[one.grade]
        first, *rest = printable(one.what).splitlines() or [""]
        out.print(sign, style=style, end="  ")
        out.print(f"{one.part:{width}}  {first}", soft_wrap=True)
        for line in [*rest, *(f"→ {line}" for line in printable(one.mend).splitlines())]:
            out.print(" " * (len(sign) + width + 4) + line, soft_wrap=True)
