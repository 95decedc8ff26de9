"""One bound SMPP connection: requests by sequence number, probes both ways, a polite end."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Literal

import structlog
from smpplib import consts

from publishers.smpp.options import SmppOptions
from publishers.smpp.pdus import HEADER, Malformed, Pdu, decode, encode, length_of

log = structlog.get_logger(__name__)

Role = Literal["transmitter", "receiver"]

Handler = Callable[[Pdu], Awaitable[int]]
"""Takes a deliver_sm or data_sm and returns the command_status to acknowledge it with."""

_LAST_SEQUENCE = 0x7FFFFFFF
_GOODBYE = 1.0
"""Seconds that the SMSC gets to answer our unbind."""
_LATE = 10_000
"""Requests given up whose answers are still listened for."""


class Gone(Exception):
    """The connection ended. ``sent``: the request had left, and its answer will never come."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.why = why
        self.sent = sent


class BindRefused(Exception):
    """The SMSC answered the bind with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"bind refused: 0x{status:08X}")
        self.status = status


async def bind(options: SmppOptions, role: Role, handler: Handler | None = None) -> "Session":
    """A bound session. Raises BindRefused, Gone, OSError or TimeoutError; nothing stays open then."""
    async with asyncio.timeout(options.bind_timeout):
        context = options.tls_context()
        reader, writer = await asyncio.open_connection(options.host, options.port, ssl=context)
        session = Session(options, reader, writer, handler)
        try:
            reply = await session.ask(
                f"bind_{role}",
                {
                    "system_id": options.system_id,
                    "password": options.password.get_secret_value(),
                    "system_type": options.system_type or "",
                },
            )
            if reply.status or reply.command == "generic_nack":
                raise BindRefused(reply.status)
        except BaseException:
            session.abort("not bound")
            raise
    session.bound()
    return session


class Session:
    """Made by ``bind``. Requests may be asked by many tasks at once; answers come in any order."""

    def __init__(
        self,
        options: SmppOptions,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handler: Handler | None,
    ) -> None:
        self._options = options
        self._reader, self._writer = reader, writer
        self._handler = handler
        self._sequence = 0
        self._waiting: dict[int, asyncio.Future[Pdu]] = {}
        self._late: OrderedDict[int, Callable[[Pdu], None]] = OrderedDict()
        self._why: str | None = None
        self._is_bound = False
        self._over, self._unbound = asyncio.Event(), asyncio.Event()
        self._heard = asyncio.get_running_loop().time()
        self._tasks: set[asyncio.Task[None]] = set()
        self._spawn(self._read())

    @property
    def ended(self) -> bool:
        """Whether nothing more can be asked."""
        return self._why is not None

    def bound(self) -> None:
        """The bind is done: probe the connection from now on."""
        self._is_bound = True
        self._spawn(self._probe())

    async def until_ended(self) -> str:
        """Wait for the end; returns why it came."""
        await self._over.wait()
        return self._why or ""

    async def ask(
        self,
        command: str,
        fields: Mapping[str, Any] | None = None,
        tlvs: Mapping[int, bytes] | None = None,
        *,
        leaving: Callable[[], None] | None = None,
        late: Callable[[Pdu], None] | None = None,
    ) -> Pdu:
        """The answer, or a generic_nack. ``leaving`` is called when the request is about to leave.

        ``late`` gets an answer that comes after the caller was cancelled. Raises Gone.
        """
        if not self._waiting:
            await self._catch_up()
        if self._why is not None:
            raise Gone(self._why, sent=False)
        sequence = self._sequence = self._sequence % _LAST_SEQUENCE + 1
        frame = encode(command, sequence, 0, fields, tlvs)
        answer: asyncio.Future[Pdu] = asyncio.get_running_loop().create_future()
        self._waiting[sequence] = answer
        if leaving:
            leaving()
        self._writer.write(frame)
        try:
            return await answer
        except asyncio.CancelledError:
            if late and self._why is None:
                self._late[sequence] = late
                if len(self._late) > _LATE:
                    self._late.popitem(last=False)
            raise
        finally:
            self._waiting.pop(sequence, None)

    async def close(self) -> None:
        """End politely: whoever waits for an answer learns at once that it won't come. Safe to call twice."""
        if self._why is None:
            sequence = self._sequence = self._sequence % _LAST_SEQUENCE + 1
            farewell = self._is_bound
            self._end("closed by us", keep_open=farewell)
            if farewell:
                self._writer.write(encode("unbind", sequence))
                with contextlib.suppress(TimeoutError, OSError):
                    async with asyncio.timeout(_GOODBYE):
                        await self._writer.drain()
                        await self._unbound.wait()
        self._writer.close()
        await self._finish()

    def abort(self, why: str) -> None:
        """End at once."""
        self._end(why)
        for task in self._tasks:
            task.cancel()

    # what comes

    async def _read(self) -> None:
        """Until the connection ends: after our unbind, late answers are still let pass."""
        why = "the SMSC closed the connection"
        try:
            while True:
                header = await self._reader.readexactly(HEADER)
                pdu = decode(header + await self._reader.readexactly(length_of(header) - HEADER))
                self._heard = asyncio.get_running_loop().time()
                self._take(pdu)
        except asyncio.IncompleteReadError:
            self._end(why)
        except Malformed as error:
            log.error("smpp.unreadable", says=str(error))
            self._say(encode("generic_nack", 0, consts.SMPP_ESME_RINVCMDLEN))
            self._end(str(error))
        except OSError as error:
            self._end(f"{why}: {error}")
        finally:
            self._unbound.set()

    def _take(self, pdu: Pdu) -> None:
        if pdu.is_response:
            answer = self._waiting.pop(pdu.sequence, None)
            if answer is not None and not answer.done():
                answer.set_result(pdu)
            elif late := self._late.pop(pdu.sequence, None):
                late(pdu)
            elif pdu.command == "unbind_resp":
                self._unbound.set()
            elif pdu.command == "generic_nack":
                log.error("smpp.unreadable", says=f"generic_nack 0x{pdu.status:08X} about nothing of ours")
        elif pdu.command == "enquire_link":
            self._say(encode("enquire_link_resp", pdu.sequence))
        elif pdu.command == "unbind":
            self._say(encode("unbind_resp", pdu.sequence))
            self._end("the SMSC ended the session")
        elif pdu.command in ("deliver_sm", "data_sm"):
            if self._handler is None:
                self._say(encode(f"{pdu.command}_resp", pdu.sequence, consts.SMPP_ESME_RINVBNDSTS))
            else:
                self._spawn(self._handle(pdu, self._handler))
        elif pdu.command != "alert_notification":  # which has no answer
            self._say(encode("generic_nack", pdu.sequence, consts.SMPP_ESME_RINVCMDID))

    async def _handle(self, pdu: Pdu, handler: Handler) -> None:
        self._say(encode(f"{pdu.command}_resp", pdu.sequence, await handler(pdu)))

    async def _probe(self) -> None:
        loop = asyncio.get_running_loop()
        silence = self._options.enquire_link
        while not self.ended:
            quiet_for = loop.time() - self._heard
            if quiet_for < silence:
                await asyncio.sleep(silence - quiet_for)
                continue
            try:
                async with asyncio.timeout(self._options.timeout):
                    await self.ask("enquire_link")
            except TimeoutError:
                self._end("the SMSC no longer answers")
            except Gone:
                return

    async def _catch_up(self) -> None:
        """Read what has already come: a connection that the SMSC closed while nobody asked must not get a message."""
        for _ in range(3):  # the loop looks at the socket, fills the stream, wakes the reader
            await asyncio.sleep(0)

    # the end

    def _say(self, frame: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(frame)

    def _end(self, why: str, *, keep_open: bool = False) -> None:
        if self._why is not None:
            return
        self._why = why
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Gone(why, sent=True))
        self._waiting.clear()
        self._late.clear()
        self._over.set()
        if not keep_open:
            self._writer.close()

    async def _finish(self) -> None:
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(_GOODBYE):
                await self._writer.wait_closed()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
