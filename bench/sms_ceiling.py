"""``python -m bench.sms_ceiling PORT MESSAGES WINDOW``: our SMPP session alone, with ready PDUs.

What the whole hub could submit at most if everything but the session cost nothing: fields made beforehand, no text
rendered, no record, no receipt asked for. Prints one JSON object: per_s, cpu_s, peak_mb.
"""

import asyncio
import sys
import time
from datetime import UTC, datetime

from pydantic import SecretStr

from bench import alone
from bench.town import phone
from publishers.smpp.options import SmppOptions
from publishers.smpp.session import bind
from publishers.smpp.submits import Submit, submits
from schemas.messages import Text

TEXT = "La rivière monte : point de situation. Les agents vérifient la hauteur de l'eau matin et soir."


async def send(port: int, messages: int, window: int) -> float:
    """Submit so many, ``window`` awaiting an answer at a time; returns messages a second. Raises RuntimeError."""
    options = SmppOptions(
        host="127.0.0.1",
        port=port,
        system_id="hub",
        password=SecretStr("hubpw"),
        window=window,
        registered_delivery="none",
    )
    ready = iter([_ready(options, number) for number in range(messages)])
    session = await bind(options, "transmitter")

    async def hand() -> None:
        for submit in ready:
            reply = await session.ask("submit_sm", submit.fields, submit.tlvs)
            if reply.command != "submit_sm_resp" or reply.status:
                raise RuntimeError(f"a message was not taken: {reply.command} 0x{reply.status:08X}")

    try:
        began = time.monotonic()
        await asyncio.gather(*(hand() for _ in range(window)))
        return messages / (time.monotonic() - began)
    finally:
        await session.close()


def _ready(options: SmppOptions, number: int) -> Submit:
    [submit] = submits(Text(f"1-{number:x}.1", "ESSAI", phone(number), TEXT), options, datetime.now(UTC))
    return submit


def main() -> None:
    """Submit, and print how it went."""
    port, messages, window = map(int, sys.argv[1:])
    alone.tell(asyncio.run(send(port, messages, window)))


if __name__ == "__main__":
    main()
