"""What the mail tests share: mails, options for a local server, and a report that must be told exactly once."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from publishers.base import Finding, Permanent, Receipt, Transient, Unknown, Untried
from publishers.smtp.channel import Smtp, SmtpOptions
from publishers.smtp.options import Relay
from schemas.messages import Mail
from tests.contract.peer import Reports

CONTENT = b"From: mairie@valmerande.example\r\nSubject: essai\r\n\r\nligne\r\n.point\r\n..deux\r\n.\r\nfin\r\n"


def relay(port: int, **more: Any) -> Relay:
    """A relay on this machine, in clear unless told otherwise."""
    return Relay(**{"host": "127.0.0.1", "port": port, "tls": "none", **more})


def options(port: int, **more: Any) -> SmtpOptions:
    """Options for one relay on this machine; ``more`` is of the relay or of the channel."""
    own = {name: more.pop(name) for name in list(more) if name in Relay.model_fields}
    return over({"main": relay(port, **own)}, **more)


def over(relays: dict[str, Relay], **more: Any) -> SmtpOptions:
    """Options for these relays."""
    return SmtpOptions(**{"relays": relays, "local_hostname": "hub.example", **more})


def mails(count: int, recipient: str = "voisin{}@example.org") -> list[Mail]:
    """Mails with keys "0", "1"…"""
    return [Mail(str(n), f"retour+{n}@valmerande.example", recipient.format(n), CONTENT) for n in range(count)]


_LETTERS: dict[type[object], str] = {Receipt: "Re", Transient: "Tr", Permanent: "Pe", Unknown: "??", Untried: "Ut"}


class Reported(Reports):
    """Reports of mails, and how to read them at a glance."""

    def kinds(self, messages: Sequence[Mail]) -> str:
        """Two letters a message, in order: see ``_LETTERS``."""
        return " ".join(_LETTERS[type(self[mail.key])] for mail in messages)

    def receipts(self) -> int:
        """How many were accepted."""
        return sum(isinstance(outcome, Receipt) for outcome in self.values())


async def send(messages: Sequence[Mail], with_options: SmtpOptions) -> Reported:
    """Send over a fresh channel and close it. Checks that each message was reported, once."""
    reported = Reported()
    smtp = Smtp(with_options)
    try:
        await smtp.publish_many(messages, reported)
    finally:
        await smtp.aclose()
    assert sorted(reported) == sorted(mail.key for mail in messages)
    return reported


async def checked(with_options: SmtpOptions) -> Finding:
    """What the check says of the only relay."""
    (finding,) = await Smtp(with_options).check()
    return finding


async def until(condition: Callable[[], object], seconds: float = 5) -> None:
    """Wait for a condition to hold."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
