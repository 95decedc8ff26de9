"""SMS by SMPP 3.4, as operators and aggregators sell it to those who send much (smpp.org, issue 1.2).

Sending binds a transmitter, in every process that sends; receipts and people's texts come over a receiver, bound
by the one process that calls ``receive``. A text of several parts is handed over part after part, so that a
refused first part leaves nothing behind; ``Receipt.reference`` joins the ids of all.

The protocol has no way to ask about a message by our own key: only an answer that came too late for the caller
is known (``look_up``). By the SMSC's own id a message can be asked for (``query``).
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from publishers.base import (
    CANNOT_SAY,
    Finding,
    Keep,
    Limits,
    Permanent,
    PublishError,
    Receipt,
    Report,
    Transient,
    Unclear,
    Unknown,
)
from publishers.deadline import is_over
from publishers.http_exchange import Exchange
from publishers.latest import Latest
from publishers.smpp import ids
from publishers.smpp.link import Link, open_session
from publishers.smpp.options import SmppOptions as SmppOptions
from publishers.smpp.parts import combine
from publishers.smpp.pdus import Pdu
from publishers.smpp.receipts import STATES, Told, moment, said
from publishers.smpp.receiver import Receiver
from publishers.smpp.session import Gone
from publishers.smpp.statuses import OF_MESSAGE, OK, STATUSES, THROTTLED, name_of, verdict_of
from publishers.smpp.submits import Submit, source_of, submits
from publishers.smpp.window import Window
from publishers.sms.window import hand_over
from schemas.messages import Message, Text
from schemas.webhooks import SmsReceipt

_REMEMBERED = 10_000


class Smpp:
    """One account at one SMSC."""

    channel = "sms"
    of_message = OF_MESSAGE | {"invalid_sender"}
    unclear = Unclear.WAIT
    """A submit whose answer was lost can't be asked for: the receipt tells, if the SMSC gives our key back."""

    def __init__(self, options: SmppOptions) -> None:
        self._options = options
        self.limits = Limits(window=100, concurrency=options.window)
        self._window = Window(options.window, options.rate)
        self._link = Link(options)
        self._receiver = Receiver(options)
        self._late: Latest[str, Receipt | PublishError] = Latest(_REMEMBERED)
        self._answers: Latest[str, str] = Latest(_REMEMBERED)

    async def publish(self, message: Text, /) -> Receipt:
        """Hand one text over. See ``Publisher.publish``.

        Of a text in several parts, a part that the SMSC refuses after it took another leaves the outcome Unknown
        when trying again could have helped, else Permanent, saying how much has gone out. Nothing that was taken
        is handed over again; a part refused as one too many is, while the message's time lasts.
        """
        return await self.send(message, Exchange())

    async def send(self, message: Text, exchange: Exchange, /) -> Receipt:
        """Like ``publish``; whether a byte of the message left is noted in ``exchange``."""
        options = self._options
        parts = submits(message, options, datetime.now(UTC))
        taken: list[str] = []
        try:
            async with asyncio.timeout(options.timeout):
                for part in parts:
                    taken.append(await self._hand_over(message, part, len(parts), exchange, taken))
        except TimeoutError:
            error = exchange.lost(f"no answer within {options.timeout:g} s")
            raise (_partial(error, taken, len(parts)) if taken else error) from None
        return Receipt(reference=ids.reference(taken, message.recipient, options.message_ids))

    async def publish_many(self, messages: Sequence[Message], report: Report, /) -> None:
        """Hand texts over, as many at a time as the window. See ``PublishesMany.publish_many``."""
        await hand_over(messages, self.limits.concurrency, self.send, report)

    async def receive(self, keep: Keep, /) -> None:
        """Receipts and people's texts, for ever. See ``Receives.receive``."""
        await self._receiver.run(keep)

    async def look_up(self, key: str, address: str, /) -> Receipt | None:
        """What an answer said that came too late for its caller: a receipt, or None when it was a refusal.

        Raises Transient with code CANNOT_SAY otherwise, which is nearly always: the protocol can't be asked by our
        key, and that this process knows nothing proves nothing.
        """
        answer = self._late.get(key)
        if isinstance(answer, Receipt):
            return answer
        if answer is not None:
            return None
        raise Transient("SMPP can't be asked about a message that has no id yet", code=CANNOT_SAY)

    async def query(self, reference: str, sender: str, /) -> SmsReceipt:
        """What the SMSC says now of the message with that reference (query_sm), in the form of a receipt.

        ``sender`` must be the one it was sent under (4.8.1). Raises Permanent when the SMSC knows no such message,
        Transient when it can't say now.
        """
        source = source_of(sender, self._options)
        told = [
            await self._query(identity, source.ton, source.npi, source.digits)
            for identity in ids.ids_of(reference, self._options.message_ids)
        ]
        return said(combine(told), reference)

    async def check(self) -> Sequence[Finding]:
        """Bind, probe and unbind: proves the address, the encryption and the account."""
        name = self._options.name
        try:
            session = self._link.session_now
            if session is not None:
                async with asyncio.timeout(self._options.timeout):
                    await session.ask("enquire_link")
                return [Finding(name, ok=True, says="bound, and the SMSC answers")]
            session = await open_session(self._options, "transmitter")
            await session.close()
        except TimeoutError:
            return [Finding(name, ok=False, says="the SMSC is bound and does not answer", mend="Ask the operator.")]
        except Gone as gone:
            return [Finding(name, ok=False, says=gone.why, mend="Try again; if it stays so, ask the operator.")]
        except Transient as error:
            return [Finding(name, ok=False, says=error.reason, mend=_mend(error))]
        return [Finding(name, ok=True, says="the SMSC took the account")]

    async def aclose(self) -> None:
        """Unbind. A message under way ends Unknown, a later one Untried."""
        await self._link.close()

    async def _hand_over(
        self, message: Text, part: Submit, total: int, exchange: Exchange, taken: Sequence[str]
    ) -> str:
        """The id of one part that the SMSC took, after those ``taken``. Raises a PublishError otherwise."""
        late = self._listen(message) if total == 1 else None
        try:
            while True:
                turn, reply = await self._submit(part, exchange, late)
                if reply.status == OK:
                    break
                if reply.status in THROTTLED:
                    self._window.throttled(turn)
                    if taken:
                        continue  # the SMSC says that it hasn't this part, and has the ones before
                raise verdict_of(reply.status).error_of(name_of(reply.status), self._pause(reply.status))
        except PublishError as error:
            raise _partial(error, taken, total) if taken else error from error.__cause__
        if reply.command != "submit_sm_resp":
            raise Unknown(f"the SMSC answered with {reply.command or 'something unknown'}")
        self._window.accepted()
        return self._note(reply.text("message_id"))

    async def _submit(self, part: Submit, exchange: Exchange, late: Callable[[Pdu], None] | None) -> tuple[float, Pdu]:
        """The answer to one submit_sm, and when its turn was."""

        def leaving() -> None:
            exchange.begun = True

        while True:
            session = await self._link.session()
            turn = await self._window.turn()
            try:
                if is_over():
                    raise exchange.lost("its turn came when the send was over")
                return turn, await session.ask("submit_sm", part.fields, part.tlvs, leaving=leaving, late=late)
            except Gone as gone:
                if gone.sent:
                    raise Unknown(gone.why) from gone
                # it ended while this message waited for its turn: nothing has left, another session takes it
            finally:
                self._window.done()

    def _pause(self, status: int) -> float | None:
        """Seconds to wait; SMPP has no word for it, so this is how long the window waits, a second at least."""
        return max(1.0, self._window.pause) if status in THROTTLED else None

    def _note(self, answered: str) -> str:
        """Remember the id as the SMSC wrote it, for ``query``; returns it in our form."""
        identity = ids.answered(answered, self._options.message_ids)
        if identity != answered:
            self._answers[identity] = answered
        return identity

    def _listen(self, message: Text) -> Callable[[Pdu], None]:
        def answered(pdu: Pdu) -> None:
            if pdu.command == "submit_sm_resp" and pdu.status == OK:
                identity = self._note(pdu.text("message_id"))
                dialect = self._options.message_ids
                self._late[message.key] = Receipt(ids.reference([identity], message.recipient, dialect))
            elif pdu.status:
                self._late[message.key] = Transient("refused, too late", code=name_of(pdu.status))

        return answered

    async def _query(self, identity: str, ton: int, npi: int, sender: str) -> Told:
        answered = self._answers.get(identity) or ids.written(identity, self._options.message_ids)
        fields = {"message_id": answered, "source_addr_ton": ton, "source_addr_npi": npi, "source_addr": sender}
        session = await self._link.session()
        try:
            async with asyncio.timeout(self._options.timeout):
                reply = await session.ask("query_sm", fields)
        except TimeoutError:
            raise Transient("the SMSC did not answer in time") from None
        except Gone as gone:
            raise Transient(gone.why) from gone
        if reply.status or reply.command != "query_sm_resp":
            raise verdict_of(reply.status).error_of(name_of(reply.status))
        error = reply.number("error_code")
        return Told(
            id=identity,
            status=STATES.get(reply.number("message_state"), "unknown"),
            at=moment(reply.text("final_date")[:12]),
            recipient="",
            error=str(error) if error else None,
        )


def _partial(error: PublishError, taken: Sequence[str], total: int) -> PublishError:
    """What an error means once some parts have been taken: they can't be called back, nor be sent again."""
    reason = f"{error.reason}, after {len(taken)} of {total} parts had been taken"
    return Permanent(reason, code=error.code) if isinstance(error, Permanent) else Unknown(reason, code=error.code)


def _mend(error: Transient) -> str | None:
    """What to do about a failed bind."""
    if error.code == "unreachable":
        return "Check host, port and tls, and that the operator lets this machine's address in."
    if error.code == "certificate":
        return "Set ca_file to the operator's certificate authority."
    return next((verdict.mend for status, verdict in STATUSES.items() if name_of(status) == error.code), None)
