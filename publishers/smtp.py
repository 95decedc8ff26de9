"""Mail over SMTP (RFC 5321), many messages over few connections.

The files: smtp_replies (the server's codes → our errors), smtp_connections (options, opening and keeping
connections), smtp_pipeline (the transaction), and this one, which shares the messages out among connections.
"""

import asyncio
import re
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiosmtplib
import structlog

from publishers.base import Limits, Outcome, Permanent, PublishError, Receipt, Report, Unclear, Untried
from publishers.smtp_connections import Connections, SmtpOptions, try_server
from publishers.smtp_pipeline import Conversation, Letter
from publishers.smtp_replies import SmtpSettingsError
from schemas.messages import Mail, Message

__all__ = ["Smtp", "SmtpOptions", "SmtpSettingsError", "check"]

_log = structlog.get_logger(__name__)

_NOT_IN_AN_ADDRESS = re.compile(r"[\x00-\x20\x7f<>]")
_ADDRESS_LIMIT = 254  # RFC 5321 §4.5.3.1.3: 256 with its brackets
_COMEBACKS = 2  # a mail whose connection broke before its content is tried on so many others
_BARREN = 2  # connections in a row, of one worker, that broke before any mail was decided on
_GRACE = 3.0  # seconds that closing leaves to the mails under way


@dataclass(frozen=True, slots=True)
class Offers:
    """What a server said in its EHLO. ``size`` in octets, 0 for no limit, None when it does not say."""

    pipelining: bool
    size: int | None
    eight_bit: bool
    utf8: bool

    @classmethod
    def of(cls, connection: aiosmtplib.SMTP) -> "Offers":
        """The offers of a greeted connection."""
        size = connection.esmtp_extensions.get("size")
        return cls(
            pipelining=connection.supports_extension("pipelining"),
            size=None if size is None else int(size) if size.isdigit() else 0,
            eight_bit=connection.supports_extension("8bitmime"),
            utf8=connection.supports_extension("smtputf8"),
        )


def letter(mail: Mail, offers: Offers) -> Letter:
    """The mail in the bytes of the protocol. Raises Permanent for one that can't be sent there as it is.

    Nothing that could be read as another command, or as the end of another mail, gets past here.
    """
    for what, address in (("sender", mail.sender), ("recipient", mail.recipient)):
        if _NOT_IN_AN_ADDRESS.search(address) or len(address) > _ADDRESS_LIMIT:
            raise Permanent(f"the {what} is not an address that can be sent to: {address[:80]!r}")
    if not mail.recipient:
        raise Permanent("the mail has no recipient")
    content, size = mail.content, len(mail.content)
    lines = content.count(b"\r\n")
    if content.count(b"\n") != lines or content.count(b"\r") != lines:
        # servers differ in what a lone CR or LF ends: the way one mail smuggles in another
        raise Permanent("the mail has a line end that is not CRLF")
    if offers.size and size > offers.size:
        raise Permanent(f"the mail is larger ({size} bytes) than the mail server takes ({offers.size})")
    parameters = f" SIZE={size}" if offers.size is not None else ""
    if not content.isascii():
        if not offers.eight_bit:
            raise Permanent("the mail has 8-bit content, which the mail server does not take (8BITMIME)")
        parameters += " BODY=8BITMIME"
    if not (mail.sender.isascii() and mail.recipient.isascii()):
        if not offers.utf8:
            raise Permanent("the address has letters beyond ASCII, which the mail server does not take (SMTPUTF8)")
        parameters += " SMTPUTF8"
    return Letter(mail, f"MAIL FROM:<{mail.sender}>{parameters}\r\nRCPT TO:<{mail.recipient}>\r\nDATA\r\n".encode())


class Smtp:
    """The e-mail channel. A Message-ID stays the same on every try, so an unclear one is sent once more."""

    channel = "email"
    unclear = Unclear.SEND_ONCE_MORE

    def __init__(self, options: SmtpOptions) -> None:
        self._options = options
        self.limits = Limits(window=100, concurrency=options.connections)
        self._connections = Connections(options)
        self._seats = asyncio.Semaphore(options.connections)
        self._batches: set[_Batch] = set()
        self._closing = False

    async def publish(self, message: Mail, /) -> Receipt:
        """Hand one mail over; see ``publishers.base.Publisher``. SmtpSettingsError when the server refuses us."""
        outcomes: list[Outcome] = []
        await self.publish_many([message], lambda _, outcome: outcomes.append(outcome))
        outcome = outcomes[0]
        if isinstance(outcome, PublishError):
            raise outcome
        return outcome

    async def publish_many(self, messages: Sequence[Message], report: Report, /) -> None:
        """Share the mails out among up to ``connections`` connections; returns when all are reported.

        Raises SmtpSettingsError, after having reported the rest as Untried, when the server refuses us.
        """
        batch = _Batch([_mail(message) for message in messages], report)
        if not batch.waiting:
            return
        if self._closing:
            batch.why = Untried("the mail channel is closed")
            return batch.close()
        self._batches.add(batch)
        count = min(self._options.connections, len(messages))
        batch.workers = [asyncio.create_task(self._work(batch), name=f"smtp worker {n}") for n in range(count)]
        crew = asyncio.gather(*batch.workers, return_exceptions=True)
        either: set[asyncio.Future[Any]] = {crew, batch.finished}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._batches.discard(batch)
            batch.close()
            batch.dismiss_idle()
            endings = await crew
        for ending in endings:
            if isinstance(ending, Exception):
                raise ending
        if batch.fault is not None:
            _log.error("the mail server refuses us", reason=batch.fault.reason, code=batch.fault.code)
            raise batch.fault

    async def aclose(self) -> None:
        """Finish the mails under way (for three seconds at most), leave the others, and say goodbye."""
        self._closing = True
        batches = list(self._batches)
        for batch in batches:
            batch.why = Untried("the mail channel was closed before this mail's turn")
            batch.dismiss_idle()
        if workers := [worker for batch in batches for worker in batch.workers]:
            await asyncio.wait(workers, timeout=_GRACE)
        for batch in batches:
            batch.close()
        await self._connections.aclose()

    async def _work(self, batch: "_Batch") -> None:
        """One pair of hands: send from the shared queue, over one connection after another if they break."""
        async with self._seats:
            barren = 0
            while batch.waiting and batch.fault is None and barren < _BARREN and not self._closing:
                try:
                    connection, used = await self._connections.take()
                except Untried as error:
                    batch.why = error
                    return
                except SmtpSettingsError as error:
                    batch.fault = error
                    return
                talk = await self._talk(batch, connection, used)
                if talk.broken is None:
                    self._connections.give_back(connection)
                    continue
                connection.close()
                if talk.answers or used:
                    barren = 0
                else:
                    barren += 1

    async def _talk(self, batch: "_Batch", connection: aiosmtplib.SMTP, used: bool) -> Conversation:
        offers = Offers.of(connection)

        def take() -> Letter | None:
            return None if self._closing else batch.next(offers)

        talk = Conversation(take, batch.settle, pipelining=offers.pipelining, reply_timeout=self._options.reply_timeout)
        worker = asyncio.current_task()
        batch.talks[worker] = talk
        try:
            await talk.run(connection)
        finally:
            del batch.talks[worker]
            batch.fault = batch.fault or talk.fault
            # one that died while it was idle says nothing about the server, nor about the mail
            was_dead = used and not talk.answers
            if talk.broken is not None and not was_dead:
                batch.why = Untried(talk.broken, code=talk.code)
            batch.take_back(talk, counted=not was_dead)
        return talk


class _Batch:
    """The mails of one ``publish_many``: those that wait for their turn, and the promise to report each once."""

    def __init__(self, mails: list[Mail], report: Report) -> None:
        self.waiting = deque(mails)
        self.workers: list[asyncio.Task[None]] = []
        self.talks: dict[asyncio.Task[None] | None, Conversation] = {}
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.why = Untried("the send ended before this mail's turn")
        self.fault: SmtpSettingsError | None = None
        self._report = report
        self._open = len(mails)
        self._comebacks: Counter[str] = Counter()

    def next(self, offers: Offers) -> Letter | None:
        while self.waiting and self.fault is None:
            mail = self.waiting.popleft()
            try:
                return letter(mail, offers)
            except Permanent as error:
                self.settle(mail, error)
        return None

    def settle(self, mail: Mail, outcome: Outcome) -> None:
        self._open -= 1
        if not self._open and not self.finished.done():
            self.finished.set_result(None)
        self._report(mail.key, outcome)

    def take_back(self, talk: Conversation, *, counted: bool) -> None:
        """Let other connections try what this one left; a mail that breaks each connection is given up."""
        unsent, talk.unsent = talk.unsent, []
        for mail in unsent:
            self._comebacks[mail.key] += counted
            if self._comebacks[mail.key] > _COMEBACKS:
                self.settle(mail, self.why)
            else:
                self.waiting.append(mail)

    def dismiss_idle(self) -> None:
        """Cancel the workers that wait for a seat or a connection; those who talk come to an end themselves."""
        for worker in self.workers:
            if worker not in self.talks:
                worker.cancel()

    def close(self) -> None:
        """Report whatever is still open: Unknown where content was written, Untried otherwise."""
        if self._open:
            for talk in list(self.talks.values()):
                talk.drop("the send was stopped")
                self.take_back(talk, counted=False)
        if self.fault is not None:
            self.why = Untried(self.fault.reason, code=self.fault.code)
        while self.waiting:
            self.settle(self.waiting.popleft(), self.why)


def _mail(message: Message) -> Mail:
    if not isinstance(message, Mail):
        raise TypeError(f"the e-mail channel takes Mail, not {type(message).__name__}")
    return message


async def check(options: SmtpOptions) -> None:
    """Whether mails could be sent: connect, EHLO, TLS, login, NOOP, QUIT. Sends nothing.

    Raises Untried when the server can't be reached or won't talk now, Permanent when it refuses us.
    """
    try:
        await try_server(options)
    except SmtpSettingsError as error:
        raise Permanent(error.reason, code=error.code) from error
