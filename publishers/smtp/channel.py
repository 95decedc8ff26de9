"""Mail over SMTP (RFC 5321): many messages over few connections, shared out among several relays.

The files: options (settings), replies and throttles (the server's codes → our errors, and who asks for less),
connections (opening and keeping them), routes (relays: whose turn, who is set aside), allowance (how many at a time),
domains (what each domain of recipients takes), letter (a mail in the bytes of the protocol), pipeline (the
transaction), batch (one send), dkim, and this one, the channel.
"""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence

import aiosmtplib

from publishers.accounts import Grant, rates_of
from publishers.base import Finding, Limits, Outcome, PublishError, Receipt, Report, Transient, Unclear, Untried
from publishers.deadline import cut_off
from publishers.rest import Rest
from publishers.smtp.batch import Batch
from publishers.smtp.connections import why_not
from publishers.smtp.domains import Domains, domain_of
from publishers.smtp.letter import Letter, Offers, Sign
from publishers.smtp.options import SmtpOptions
from publishers.smtp.pipeline import Conversation
from publishers.smtp.replies import SmtpSettingsError, Step, for_logs, refusal
from publishers.smtp.routes import Route, Routes
from publishers.smtp.throttles import Asker, asks_for_less, is_about_number
from schemas.messages import Mail, Message

__all__ = ["Smtp", "SmtpOptions"]

_BARREN = 2  # connections in a row, of one worker, that broke before any mail was decided on, and not by one mail
_ASKED = "the relay has asked for a pause"
_GRACE = 3.0  # seconds that closing leaves to the mails under way
_SLOWER = (10.0, 20.0)  # seconds after which a mail that a relay put off for its own sake comes back


class Smtp:
    """The e-mail channel. A Message-ID stays the same on every try, so an unclear one is sent once more."""

    channel = "email"
    unclear = Unclear.SEND_ONCE_MORE

    def __init__(self, options: SmtpOptions) -> None:
        self._options = options
        self.limits = Limits(window=100, concurrency=sum(relay.connections for relay in options.relays.values()))
        self._routes = Routes(options)
        self.rates = rates_of(options.relays) | {f"@{name}": rate for name, rate in rates_of(options.domains).items()}
        """By relay, and by "@domain" of recipients; see ``Limited``."""
        self.rest = Rest()
        self._domains = Domains(options.domains, self._freed, self.rest)
        self._sign = _signer(options)
        self._batches: set[Batch] = set()
        self._closing = False

    async def publish(self, message: Mail, /) -> Receipt:
        """Hand one mail over; see ``publishers.base.Publisher``."""
        outcomes: list[Outcome] = []
        await self.publish_many([message], lambda _, outcome: outcomes.append(outcome))
        outcome = outcomes[0]
        if isinstance(outcome, PublishError):
            raise outcome
        return outcome

    async def publish_many(self, messages: Sequence[Message], report: Report, /) -> None:
        """Share the mails out among the relays and their connections; returns when all are reported."""
        await self.publish_within(messages, report)

    def weights(self) -> Mapping[str, int]:
        """The relays that can be used now. See ``Rationed.weights``."""
        self._heed()
        return {route.name: weight for route, weight in self._routes.weights().items()}

    def shut(self) -> Mapping[str, bool]:
        """Which relays are set aside. See ``Shuts.shut``."""
        now = time.monotonic()
        return {route.name: not route.ready(now) for route in self._routes.all}

    async def publish_within(self, messages: Sequence[Message], report: Report, grant: Grant | None = None, /) -> None:
        """Like ``publish_many``, and no relay takes more than it was granted. See ``Rationed.publish_within``."""
        self._heed()
        batch = Batch([_mail(message) for message in messages], report, self._routes, self._domains, grant, cut_off())
        if not batch.waiting:
            return
        if self._closing:
            batch.why = Untried("the mail channel is closed")
            return batch.close()
        if not batch.quota:
            batch.why = _untried(self._routes.why_none() or batch.why)
            return batch.close()
        self._batches.add(batch)
        self._hire(batch)
        try:
            await batch.finished
        finally:
            self._batches.discard(batch)
            batch.close()
            batch.dismiss_idle()
            endings = await asyncio.gather(*batch.workers, return_exceptions=True)
        for ending in endings:
            if isinstance(ending, Exception):
                raise ending

    async def check(self) -> Sequence[Finding]:
        """Connect to each relay as a send would: EHLO, TLS, login, NOOP, QUIT. Sends nothing."""
        return await asyncio.gather(*(_check(route) for route in Routes(self._options).all))

    async def aclose(self) -> None:
        """Finish the mails under way (for three seconds at most), leave the others, and say goodbye."""
        self._closing = True
        batches = list(self._batches)
        for batch in batches:
            batch.why = Untried("the mail channel was closed before this mail's turn")
            batch.closing = True
            batch.dismiss_idle()
        if workers := [worker for batch in batches for worker in batch.workers]:
            await asyncio.wait(workers, timeout=_GRACE)
        for batch in batches:
            batch.close()
        await self._routes.aclose()

    def _hire(self, batch: Batch) -> None:
        batch.hire(lambda route: asyncio.create_task(self._work(batch, route), name=f"smtp worker of {route.name}"))

    def _heed(self) -> None:
        """Leave in peace what has asked another worker for it."""
        resting = self.rest.resting()
        if resting:
            self._domains.heed(asyncio.get_running_loop().time())
            for route in self._routes.all:
                if route.name in resting:
                    route.rests(resting[route.name], _ASKED)

    def _freed(self) -> None:
        for batch in self._batches:
            batch.unblock()

    async def _work(self, batch: Batch, route: Route) -> None:
        """One pair of hands: send from the shared queue, over one connection after another if they break."""
        barren = 0
        while await batch.something_for(route):
            async with route.seats:
                if not route.ready(asyncio.get_running_loop().time()):
                    continue  # it was set aside while we waited for a seat
                try:
                    connection, used = await route.take()
                except (Untried, SmtpSettingsError) as error:
                    batch.why = _untried(error)
                    return self._leave(batch, route)
                try:
                    talk = await self._talk(batch, route, connection, used)
                except BaseException:
                    route.give_up(connection)
                    raise
                if talk.answers:
                    route.worked()
                if talk.broken is None and talk.fault is None:
                    route.give_back(connection)
                    continue
                route.give_up(connection)
                if talk.fault is not None:
                    route.failed(talk.fault)
                    return self._leave(batch, route)
                if talk.answers or used:
                    barren = 0
                    continue
                barren += 1
                if barren >= _BARREN and batch.several_break:
                    route.failed(batch.why)
                    return self._leave(batch, route)

    def _leave(self, batch: Batch, route: Route) -> None:
        """This worker is of no more use; if its relay isn't either, others have its share."""
        if not batch.closing and not route.ready(asyncio.get_running_loop().time()) and batch.leave(route):
            self._hire(batch)

    async def _talk(self, batch: Batch, route: Route, connection: aiosmtplib.SMTP, used: bool) -> Conversation:
        offers = Offers.of(connection)
        sign = None if route.relay.signs else self._sign
        loop, seats = asyncio.get_running_loop(), route.seats

        begun: dict[str, float] = {}

        def take() -> Letter | None:
            now = loop.time()
            so_far = now - min(begun.values()) if begun else 0.0
            letter = batch.next(route, offers, sign, so_far)
            if letter is not None:
                begun[letter.mail.key] = now
            return letter

        def settle(mail: Mail, outcome: Outcome) -> None:
            began = begun.pop(mail.key)
            if isinstance(outcome, Receipt):
                route.took = loop.time() - began
            if seats.allowed < seats.most and isinstance(outcome, Receipt):
                seats.well(loop.time())
            batch.settle(mail, outcome)

        def judge(mail: Mail, code: int, text: str, step: Step) -> PublishError | SmtpSettingsError:
            return self._judge(route, mail, code, text, step)

        timeout = self._options.reply_timeout
        talk = Conversation(take, settle, judge, pipelining=offers.pipelining, reply_timeout=timeout)
        worker = asyncio.current_task()
        batch.talks[worker] = talk
        try:
            await talk.run(connection)
        finally:
            del batch.talks[worker]
            # one that died while it was idle says nothing about the server, nor about the mail
            was_dead = used and not talk.answers
            if talk.fault is not None:
                batch.why = _untried(talk.fault)
            elif talk.broken is not None and not was_dead:
                batch.why = Untried(talk.broken, code=talk.code)
                if talk.code == "421":
                    route.slow_down(talk.broken)
            batch.take_back(route, talk, counted=not was_dead)
        return talk

    def _judge(self, route: Route, mail: Mail, code: int, text: str, step: Step) -> PublishError | SmtpSettingsError:
        """The error of a refused mail; a request for less is heeded, and gives the mail a time to come back."""
        error = refusal(code, text, step)
        asker = asks_for_less(code, text, step)
        if asker is None or not isinstance(error, Transient) or isinstance(error, Untried):
            return error
        if asker is Asker.DOMAIN:
            now = asyncio.get_running_loop().time()
            left = self._domains.complain(mail.recipient, now, error.retry_after, error.reason)
            route.domain_asks(domain_of(mail.recipient), error.reason)
            pause = left + random.uniform(0, left / 2)
        else:
            route.slow_down(error.reason)
            pause = random.uniform(*_SLOWER)
            if error.retry_after is not None and not is_about_number(text):
                self.rest.ask(route.name, error.retry_after, for_logs(error.reason))
                route.rests(error.retry_after, _ASKED)
        if error.retry_after is not None:
            return error
        return Transient(error.reason, code=error.code, retry_after=round(pause, 1))


def _mail(message: Message) -> Mail:
    if not isinstance(message, Mail):
        raise TypeError(f"the e-mail channel takes Mail, not {type(message).__name__}")
    return message


def _untried(error: Untried | SmtpSettingsError) -> Untried:
    return error if isinstance(error, Untried) else Untried(error.reason, code=error.code)


def _signer(options: SmtpOptions) -> Sign | None:
    if not options.dkim:
        return None
    from publishers.smtp.dkim import Signers  # cryptography is loaded by those alone who sign

    return Signers(options.dkim.values())


async def _check(route: Route) -> Finding:
    where = f"{route.name} ({route.relay.host}:{route.relay.port})"
    try:
        connection, _ = await route.connections.take()
        try:
            await connection.noop()
        finally:
            route.connections.give_back(connection)
            await route.connections.aclose()
    except (aiosmtplib.SMTPException, OSError) as error:
        failure = why_not(error, route.relay)
    except (Untried, SmtpSettingsError) as error:
        failure = error
    else:
        return Finding(where, ok=True, says="the server takes us; nothing was sent")
    mend = "Check that it runs, its address, and what stands between (firewall)."
    if isinstance(failure, SmtpSettingsError):
        mend = f"Check {_blamed(failure.code)} of this relay in [channels.email.relays.{route.name}]."
    return Finding(where, ok=False, says=failure.reason, mend=mend)


def _blamed(code: str | None) -> str:
    """The settings that a refusal of ours is most likely about."""
    if code == "tls":
        return "tls, ca_file and host (the certificate must be valid for it)"
    return "tls and username" if code == "missing" else "username and password"
