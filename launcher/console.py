"""What the launcher prints while it works: plain lines on stderr, so that stdout stays for results."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from launcher.supervisor import Happening

_TOLD = {"ready", "ended", "restarting", "failed", "killed"}


def say(text: str) -> None:
    """One line to the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


def tell(happening: "Happening") -> None:
    """What happened to a program, when it matters to that person."""
    if happening.what in _TOLD:
        say(f"  {happening.name}: {happening.what} {happening.detail}".rstrip())
