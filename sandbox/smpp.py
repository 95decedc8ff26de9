"""The SMS provider once more, as an SMSC over SMPP 3.4: the same telephones, journal and special numbers.

Any system_id is an account; the password "wrong" is refused, "expired" is too. Receipts and replies go to whoever
has bound a receiver (or transceiver) under the account that sent the message, with the message's user_message_reference
and its parameter 0x1400 ("customer reference") given back. query_sm answers by the id.
"""

import asyncio
import contextlib
import itertools
import re
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sandbox import smpp_wire as wire
from sandbox.alphabet import measure
from sandbox.courier import NotTaken
from sandbox.faults import Faults
from sandbox.gateway import MAX_SEGMENTS, SENDER
from sandbox.handsets import Handsets, notification, status_now
from sandbox.journal import Line
from sandbox.options import Options
from sandbox.phones import FAULTS, ORDINARY, Behaviour, behaviour_of, is_number
from sandbox.smpp_wire import Submit

_TO_ANSWER = 10.0
_LONGEST_WAIT_FOR_PARTS = 1000

OK, SYSTEM_ERROR = 0x00, 0x08
_UNREADABLE, _NOT_BOUND, _NO_COMMAND = 0x02, 0x04, 0x03
_PASSWORD, _BIND_FAILED, _NO_MESSAGE = 0x0E, 0x0D, 0x0C

STATUSES = {
    "too_long": 0x01,
    "invalid_text": 0x01,
    "unavailable": SYSTEM_ERROR,
    "unwritten": SYSTEM_ERROR,
    "invalid_sender": 0x0A,
    "invalid_number": 0x0B,
    "insufficient_credit": 0x45,
    "throttled": 0x58,
    "forbidden": 0x65,
    "internal_error": 0xFF,
}
"""The gateway's words as command_status (5.1.3)."""

_STATS = {
    "delivered": ("DELIVRD", 2),
    "expired": ("EXPIRED", 3),
    "undelivered": ("UNDELIV", 5),
    "accepted": ("ENROUTE", 1),
}
_ERRORS = {"absent_subscriber": "027", "unknown_subscriber": "001"}
_PART = re.compile(r" \d{1,2}/\d{1,2}$")


@dataclass(slots=True)
class _Parts:
    """A message of several parts, as far as it has come."""

    behaviour: Behaviour
    submits: dict[int, Submit] = field(default_factory=dict)
    ids: dict[int, str] = field(default_factory=dict)


class Smsc:
    """Listens, and knows who is bound. ``handsets`` is set before it starts."""

    handsets: Handsets

    def __init__(self, options: Options, faults: Faults) -> None:
        self._options = options
        self._faults = faults
        self._sessions: set[Session] = set()
        self._parts: dict[tuple[str, str, str, int, int], _Parts] = {}

    async def start(self, port: int, host: str) -> int:
        """Listen, and return the port; OSError when it is taken."""
        self._server = await asyncio.start_server(self._connected, host, port, backlog=512)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Take no more connections, and unbind those there are."""
        self._server.close()
        for session in list(self._sessions):
            session.goodbye()
        await asyncio.gather(*(session.task for session in self._sessions), return_exceptions=True)

    async def post(self, line: Line) -> None:
        """Bring the receipt of a message, or what a handset answered, to a receiver. NotTaken: come again."""
        account = line["webhook"].get("account")
        receivers = [each for each in self._sessions if each.receives and account in (None, each.account)]
        if not receivers:
            raise NotTaken(f"nobody has bound a receiver as {account}")
        for body in _bodies(line):
            await receivers[0].deliver(body)

    def submit(self, account: str, asked: Submit) -> tuple[int, str, str]:
        """What to answer to a submit_sm: command_status, message id, and how ("", "hang" or "drop")."""
        if asked.part is None:
            behaviour, refusal = self._decide(asked)
            if refusal is not None:
                return refusal
            return self._take(account, {1: asked}, behaviour, {})
        reference, total, number = asked.part
        key = (account, asked.source, asked.number, reference, total)
        if key not in self._parts:
            behaviour, refusal = self._decide(asked)
            if refusal is not None:
                return refusal
            while len(self._parts) >= _LONGEST_WAIT_FOR_PARTS:
                del self._parts[next(iter(self._parts))]
            self._parts[key] = _Parts(behaviour)
        parts = self._parts[key]
        identity = parts.ids[number] = secrets.token_hex(6)
        parts.submits[number] = asked
        if len(parts.submits) < total:
            return OK, identity, ""
        del self._parts[key]
        status, _, how = self._take(account, dict(sorted(parts.submits.items())), parts.behaviour, parts.ids)
        return status, identity, how

    def query(self, identity: str) -> Line | None:
        """The message with that id."""
        return self.handsets.message(identity) or self.handsets.with_part(identity)

    def _decide(self, asked: Submit) -> tuple[Behaviour, tuple[int, str, str] | None]:
        message = _message({1: asked})
        if fault := _invalid(asked):
            self.handsets.record(message, "refused", STATUSES[fault], fault, None)
            return ORDINARY, (STATUSES[fault], "", "")
        behaviour = self._behaviour(asked.number)
        if behaviour.outcome in ("accepted", "dropped"):
            return behaviour, None
        status = STATUSES.get(behaviour.code or "", SYSTEM_ERROR) if behaviour.status else 0
        self.handsets.record(message, behaviour.outcome, status, behaviour.code, behaviour.name)
        return behaviour, (status, "", "" if behaviour.status else "hang")

    def _behaviour(self, number: str) -> Behaviour:
        if fault := self._faults.take("sms"):
            return FAULTS[fault.kind]
        behaviour = behaviour_of(number)
        if behaviour.times is not None and self.handsets.times_shown(number, behaviour) >= behaviour.times:
            return ORDINARY
        return behaviour

    def _take(
        self, account: str, parts: dict[int, Submit], behaviour: Behaviour, ids: dict[int, str]
    ) -> tuple[int, str, str]:
        message = _message(parts)
        first = parts[min(parts)]
        carried = [
            {
                "id": ids.get(number),
                "reference": _hex(part.tlvs.get(wire.USER_MESSAGE_REFERENCE)),
                "customer": _hex(part.tlvs.get(wire.CUSTOMER_REFERENCE)),
            }
            for number, part in parts.items()
        ]
        route = {"by": "smpp", "account": account, "ton": first.source_ton, "parts": carried}
        known = message["client_reference"]
        if self._options.sms_deduplicates and known and (before := self.handsets.with_reference(known)):
            self.handsets.record(message, "replayed", OK, None, None)
            return OK, str(before[0]["id"]), ""
        line = self.handsets.take(message, behaviour, bool(first.registered & 3), route)
        return OK, str(line["id"]), "drop" if behaviour.outcome == "dropped" else ""

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(self, reader, writer, self._options.latency)
        self._sessions.add(session)
        try:
            await session.run()
        finally:
            self._sessions.discard(session)


class Session:
    """One connection. ``receives``: a receiver or transceiver is bound on it, under ``account``."""

    def __init__(self, smsc: Smsc, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, latency: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self.account = ""
        self.receives = False
        self._sends = False
        self._smsc = smsc
        self._reader, self._writer = reader, writer
        self._latency = latency
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[int]] = {}

    async def run(self) -> None:
        """To the connection's end."""
        try:
            while not self._writer.is_closing() and (pdu := await wire.read(self._reader)) is not None:
                self._answer(pdu)
        except ValueError:
            self._say(wire.pdu(wire.GENERIC_NACK, 0, _UNREADABLE))
        finally:
            self.receives = False
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(NotTaken("the receiver left"))
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    async def deliver(self, body: bytes) -> None:
        """Bring one deliver_sm. NotTaken unless it is acknowledged."""
        sequence = next(self._numbers)
        answer = self._waiting[sequence] = asyncio.get_running_loop().create_future()
        self._say(wire.pdu(wire.DELIVER_SM, sequence, body=body))
        try:
            status = await asyncio.wait_for(answer, _TO_ANSWER)
        except TimeoutError:
            raise NotTaken("the receiver does not answer") from None
        finally:
            del self._waiting[sequence]
        if status != OK:
            raise NotTaken(f"the receiver answered 0x{status:02x}")

    def goodbye(self) -> None:
        """Unbind, and close."""
        if self._sends or self.receives:
            self._say(wire.pdu(wire.UNBIND, next(self._numbers)))
        self._writer.close()

    def _answer(self, pdu: wire.Pdu) -> None:
        if pdu.command & wire.RESPONSE:
            answer = self._waiting.get(pdu.sequence)
            if answer is not None and not answer.done():
                answer.set_result(pdu.status)
        elif pdu.command in wire.BINDS:
            self._bind(pdu)
        elif pdu.command == wire.ENQUIRE_LINK:
            self._reply(pdu)
        elif pdu.command == wire.UNBIND:
            self._reply(pdu)
            self._writer.close()
        elif pdu.command in (wire.SUBMIT_SM, wire.QUERY_SM) and not self._sends:
            self._reply(pdu, _NOT_BOUND)
        elif pdu.command == wire.SUBMIT_SM:
            self._submit(pdu)
        elif pdu.command == wire.QUERY_SM:
            self._query(pdu)
        else:
            self._say(wire.pdu(wire.GENERIC_NACK, pdu.sequence, _NO_COMMAND))

    def _bind(self, pdu: wire.Pdu) -> None:
        fields = wire.Fields(pdu.body)
        account, password = fields.text(), fields.text()
        refusal = {"wrong": _PASSWORD, "expired": _BIND_FAILED, "": _PASSWORD}.get(password)
        if refusal is not None:
            self._reply(pdu, refusal)
            self._writer.close()
            return
        self.account = account
        self.receives = pdu.command != wire.BIND_TRANSMITTER
        self._sends = pdu.command != wire.BIND_RECEIVER
        self._reply(pdu, body=wire.text("sandbox"))

    def _submit(self, pdu: wire.Pdu) -> None:
        try:
            status, identity, how = self._smsc.submit(self.account, wire.submit(pdu.body))
        except OSError:
            status, identity, how = SYSTEM_ERROR, "", ""
        if how == "hang":
            return
        if how == "drop":
            self._writer.transport.abort()
            return
        body = wire.text(identity) if status == OK else b""
        if self._latency:
            asyncio.get_running_loop().call_later(self._latency, self._reply, pdu, status, body)
        else:
            self._reply(pdu, status, body)

    def _query(self, pdu: wire.Pdu) -> None:
        identity = wire.Fields(pdu.body).text()
        line = self._smsc.query(identity)
        if line is None:
            return self._reply(pdu, _NO_MESSAGE)
        _, state = _STATS.get(status_now(line), _STATS["accepted"])
        self._reply(pdu, body=wire.text(identity) + wire.text("") + bytes([state, 0]))

    def _reply(self, pdu: wire.Pdu, status: int = OK, body: bytes = b"") -> None:
        self._say(wire.pdu(pdu.command | wire.RESPONSE, pdu.sequence, status, body))

    def _say(self, frame: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(frame)


def _invalid(asked: Submit) -> str | None:
    """What is wrong with a request, None when nothing is."""
    if not is_number(asked.number):
        return "invalid_number"
    if not (is_number(asked.source) or SENDER.fullmatch(asked.source)):
        return "invalid_sender"
    if not asked.octets:
        return "invalid_text"
    segments = measure(asked.text).segments if asked.part is None else asked.part[1]
    return "too_long" if segments > MAX_SEGMENTS else None


def _message(parts: dict[int, Submit]) -> Line:
    """The journal's fields, of a message whose parts are in order."""
    first = parts[min(parts)]
    says = "".join(part.text for part in parts.values())
    size = measure(says)
    carried = first.tlvs.get(wire.CUSTOMER_REFERENCE)
    reference = carried.split(b"\0")[0].decode("utf-8", "replace") if carried else None
    if reference and first.part is not None:
        reference = _PART.sub("", reference)  # each part says which it is
    return {
        "number": first.number,
        "sender": first.source,
        "text": says,
        "client_reference": reference,
        "validity_seconds": _seconds(first.validity),
        "segments": size.segments,
        "encoding": size.encoding,
    }


def _seconds(validity: str) -> int | None:
    """How long a message is good, of either form of time (7.1.1): relative (R), or a moment in quarters of UTC."""
    if len(validity) != 16 or not validity[:12].isdigit():
        return None
    year, month, day, hour, minute, second = (int(validity[at : at + 2]) for at in range(0, 12, 2))
    if validity.endswith("R"):
        return ((year * 365 + month * 30 + day) * 24 + hour) * 3600 + minute * 60 + second
    try:
        moment = datetime(2000 + year, month, day, hour, minute, second, tzinfo=UTC)
        ahead = timedelta(minutes=15 * int(validity[13:15]))
    except ValueError:
        return None
    moment += -ahead if validity.endswith("+") else ahead
    return int(moment.timestamp() - time.time())


def _bodies(line: Line) -> list[bytes]:
    """The deliver_sm that tell of a journal line: one for each part of a message, one for a reply."""
    told = notification(line)
    if line["kind"] == "inbound":
        ton = 1 if line["sender"].startswith("+") else 5
        return [wire.deliver(line["number"], line["sender"], ton, 0, line["text"])]
    stat, state = _STATS.get(told["status"], _STATS["accepted"])
    sent, done = (datetime.fromisoformat(moment) for moment in (line["at"], told["at"]))
    bodies = []
    for part in line["webhook"]["parts"]:
        identity = part["id"] or line["id"]
        says = (
            f"id:{identity} sub:001 dlvrd:{'001' if state == 2 else '000'} submit date:{sent:%y%m%d%H%M} "
            f"done date:{done:%y%m%d%H%M} stat:{stat} err:{_ERRORS.get(told.get('error', ''), '000')} "
            f"text:{(line['text'] or '')[:20]}"
        )
        tlvs = wire.tlv(wire.RECEIPTED_MESSAGE_ID, wire.text(identity)) + wire.tlv(wire.MESSAGE_STATE, bytes([state]))
        for tag, name in ((wire.USER_MESSAGE_REFERENCE, "reference"), (wire.CUSTOMER_REFERENCE, "customer")):
            if part[name] is not None:
                tlvs += wire.tlv(tag, bytes.fromhex(part[name]))
        body = wire.deliver(line["number"], line["sender"], line["webhook"]["ton"], wire.RECEIPT, says, tlvs)
        bodies.append(body)
    return bodies


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()
