"""``python -m bench.ceiling PORT MAILS FILE``: our sender alone, with ready bytes; no rendering, no database.

What the whole hub could reach at most if everything but sending cost nothing. FILE is the mail that is sent. Mails
are handed over as the hub does: windows of a hundred, as many at a time as a worker has batches in hand. Prints one
JSON object: per_s, cpu_s, peak_mb.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import alone
from bench.sink import SESSIONS
from bench.town import DOMAINS
from publishers.base import Outcome, Receipt
from publishers.smtp.channel import Smtp
from publishers.smtp.options import Relay, SmtpOptions
from schemas.messages import Mail, is_ready
from streams.deliver_agent import AT_ONCE

_WINDOW = 100


async def send(port: int, mails: int, content: bytes) -> float:
    """Send so many; returns mails a second. Raises RuntimeError when one was not taken."""
    relay = Relay(host="127.0.0.1", port=port, tls="none", connections=SESSIONS)
    smtp = Smtp(SmtpOptions(relays={"main": relay}, local_hostname="localhost"))
    windows, ready = iter(range(0, mails, _WINDOW)), is_ready(content)
    refused: list[Outcome] = []

    def report(_: str, outcome: Outcome) -> None:
        if not isinstance(outcome, Receipt):
            refused.append(outcome)

    async def hand() -> None:
        for start in windows:
            await smtp.publish_many(_mails(start, min(_WINDOW, mails - start), content, ready), report)

    try:
        began = time.monotonic()
        await asyncio.gather(*(hand() for _ in range(AT_ONCE)))
        seconds = time.monotonic() - began
    finally:
        await smtp.aclose()
    if refused:
        raise RuntimeError(f"{len(refused)} mails were not taken, the first because {refused[0]}")
    return mails / seconds


def _mails(start: int, count: int, content: bytes, ready: bool) -> Sequence[Mail]:
    return [
        Mail(
            f"1-{number:x}.1",
            f"b-{number}@retour.example",
            f"abonne{number}@boite{number % DOMAINS}.example",
            content,
            ready,
        )
        for number in range(start, start + count)
    ]


def main() -> None:
    """Send, and print how it went."""
    port, mails, file = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    alone.tell(asyncio.run(send(port, mails, file.read_bytes())))


if __name__ == "__main__":
    main()
