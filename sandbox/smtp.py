"""The SMTP server (RFC 5321) with PIPELINING, SIZE, 8BITMIME, SMTPUTF8 and ENHANCEDSTATUSCODES.

Written by hand because aiosmtpd awaits once for each line and so stays well under a thousand mails a second on
one core; here a whole pipelined group is answered with one write. Strict where leniency is a hole: only
CRLF.CRLF ends the content (no SMTP smuggling).
"""

import asyncio
import logging
import re
import socket
import struct

from sandbox.addresses import Ending
from sandbox.mailbox import Answer, Mailbox
from sandbox.options import MAIL_HOST

log = logging.getLogger("sandbox.smtp")

MAX_SIZE = 26_214_400
_MAX_LINE = 4096
_MAX_RECIPIENTS = 1000
_HANG_SECONDS = 600.0
_IDLE_SECONDS = 300.0
_END = b"\r\n.\r\n"
_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: closing resets

_EXTENSIONS = ("PIPELINING", f"SIZE {MAX_SIZE}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
_PATH = re.compile(r"<([^<>\s]*)>((?: [^ ]+)*)")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")


class Session(asyncio.Protocol):
    """One connection. ``latency`` seconds pass between the journal and the answer to the content.

    Further faults: a reply at a time, slowly; muted (half closed, but listening); reset by the next byte.
    """

    def __init__(self, mailbox: Mailbox, latency: float, sessions: set["Session"]) -> None:
        self._mailbox = mailbox
        self._latency = latency
        self._sessions = sessions
        self._buffer = bytearray()
        self._replies: list[str] = []
        self._greeted = False
        self._in_content = False
        self._waiting = False
        self._owed: Answer | None = None
        self._searched = 0
        self._sender: str | None = None
        self._utf8 = False
        self._recipients: list[str] = []
        self._slow: asyncio.TimerHandle | None = None
        self._muted = False
        self._resets = False

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._sessions.add(self)
        self._timer = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self.goodbye, "idle for too long")
        self._say(220, f"{MAIL_HOST} ESMTP sandbox, a fictional provider")
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._sessions.discard(self)
        self._timer.cancel()
        if self._slow:
            self._slow.cancel()
        if self._muted and self._in_content:
            self._mailbox.take_unheard(self._sender or "", self._recipients, None)
        self._waiting = True

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > 2 * MAX_SIZE:
            self.goodbye("too much at once")
        elif not self._waiting:
            self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self.goodbye, "idle for too long")
            self._work()

    def goodbye(self, reason: str) -> None:
        """End the session politely: what is journalled and not answered yet first, then 421 and close."""
        if self._owed:
            self._say(self._owed.code, self._owed.text)
        self._say(421, f"4.3.2 {MAIL_HOST} closing: {reason}")
        self._close()

    # the dialogue

    def _work(self) -> None:
        while not (self._waiting or self._slow) and (self._content() if self._in_content else self._command()):
            if self._mailbox.pause():
                self._flush()
        self._flush()

    def _content(self) -> bool:
        """Take a whole mail out of the buffer; False when its end has not come yet."""
        if self._resets:
            if self._buffer:
                self._cut()
            return False
        if self._buffer.startswith(b".\r\n"):
            content, rest = b"", 3
        else:
            end = self._buffer.find(_END, self._searched)
            if end < 0:
                self._searched = max(0, len(self._buffer) - len(_END) + 1)
                return False
            content, rest = bytes(self._buffer[: end + 2]), end + len(_END)
        del self._buffer[:rest]
        self._in_content = False
        sender, recipients = self._sender or "", self._recipients
        self._reset()
        if len(content) > MAX_SIZE:
            self._say(552, "5.3.4 Message too big")
            return True
        if content.startswith(b"."):
            content = content[1:]
        if b"\r\n." in content:
            content = content.replace(b"\r\n.", b"\r\n")
        if self._muted:
            self._mailbox.take_unheard(sender, recipients, content)
            self._waiting = True
            return False
        answer = self._mailbox.take(sender, recipients, content)
        if self._latency:
            self._flush()
            self._waiting, self._owed = True, answer
            asyncio.get_running_loop().call_later(self._latency, self._answer_late)
            return False
        self._follow(answer)
        return True

    def _answer_late(self) -> None:
        if self._owed and not self._transport.is_closing():
            answer, self._owed, self._waiting = self._owed, None, False
            self._follow(answer)
            self._work()

    def _command(self) -> bool:
        """Take one command line out of the buffer; False when there is none."""
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_LINE:
                self._say(500, "5.5.2 Line too long")
                self._close()
            return False
        line = self._buffer[:end].decode("utf-8", "replace")
        del self._buffer[: end + 2]
        verb, _, argument = line.partition(" ")
        verb = verb.upper()
        if verb == "MAIL":
            self._mail(argument)
        elif verb == "RCPT":
            self._rcpt(argument)
        elif verb == "DATA":
            self._data()
        elif verb == "RSET":
            self._reset()
            self._say(250, "2.0.0 OK")
        elif verb in ("EHLO", "HELO"):
            self._hello(verb, argument)
        elif verb == "NOOP":
            self._say(250, "2.0.0 OK")
        elif verb == "VRFY":
            self._say(252, "2.5.2 Send it and see")
        elif verb == "QUIT":
            self._say(221, "2.0.0 Bye")
            self._close()
        else:
            self._say(502, "5.5.1 Not known here")
        return True

    def _hello(self, verb: str, name: str) -> None:
        if not name.strip():
            return self._say(501, "5.5.4 Say who you are")
        self._reset()
        self._greeted = True
        if verb == "EHLO":
            lines = "".join(f"250-{line}\r\n" for line in (MAIL_HOST, *_EXTENSIONS[:-1]))
            self._replies.append(f"{lines}250 {_EXTENSIONS[-1]}\r\n")
        else:
            self._say(250, MAIL_HOST)

    def _mail(self, argument: str) -> None:
        if not self._greeted:
            return self._say(503, "5.5.1 EHLO first")
        if self._sender is not None:
            return self._say(503, "5.5.1 A mail is under way")
        match = _PATH.fullmatch(argument[5:].lstrip()) if argument[:5].upper() == "FROM:" else None
        if match is None:
            return self._say(501, "5.5.4 Write it MAIL FROM:<address>")
        address, self._utf8 = match[1], False
        for parameter in match[2].split():
            name, _, value = parameter.upper().partition("=")
            if name == "SIZE" and value.isdigit():
                if int(value) > MAX_SIZE:
                    return self._say(552, "5.3.4 Message too big")
            elif name == "SMTPUTF8":
                self._utf8 = True
            elif name != "BODY" or value not in ("7BIT", "8BITMIME"):
                return self._say(555, "5.5.4 Parameter not known")
        if address and not self._valid(address):
            return self._say(553, "5.1.7 Not an address")
        self._sender = address
        self._say(250, "2.1.0 OK")

    def _rcpt(self, argument: str) -> None:
        if self._sender is None:
            return self._say(503, "5.5.1 MAIL first")
        match = _PATH.fullmatch(argument[3:].lstrip()) if argument[:3].upper() == "TO:" else None
        if match is None or match[2]:
            return self._say(501, "5.5.4 Write it RCPT TO:<address>")
        if not self._valid(match[1]):
            return self._say(553, "5.1.3 Not an address")
        if len(self._recipients) >= _MAX_RECIPIENTS:
            return self._say(452, "4.5.3 Too many recipients")
        answer = self._mailbox.recipient(self._sender, match[1])
        if answer.code == 250:
            self._recipients.append(match[1])
        self._follow(answer)

    def _data(self) -> None:
        if self._sender is None:
            self._say(503, "5.5.1 MAIL first")
        elif not self._recipients:
            self._say(554, "5.5.1 No valid recipients")
        else:
            self._begin(self._mailbox.begin(self._sender, self._recipients))

    def _begin(self, answer: Answer) -> None:
        self._say(answer.code, answer.text)
        if answer.code != 354:
            return
        self._in_content, self._searched = True, 0
        self._resets = answer.ending is Ending.RESET
        if answer.ending is Ending.HALF_CLOSE:
            self._flush(at_once=True)
            self._muted = True
            self._transport.write_eof()

    def _valid(self, address: str) -> bool:
        """Syntax enough for a sandbox; characters beyond ASCII need SMTPUTF8 (RFC 6531)."""
        return _ADDRESS.fullmatch(address) is not None and (self._utf8 or address.isascii())

    # endings

    def _reset(self) -> None:
        self._sender, self._recipients = None, []

    def _follow(self, answer: Answer) -> None:
        if answer.ending is Ending.HANG:
            self._flush()
            self._waiting = True
            self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(_HANG_SECONDS, self._transport.abort)
            return
        if answer.ending is not Ending.DROP:
            self._say(answer.code, answer.text)
        if answer.ending is not Ending.REPLY:
            self._close()

    def _say(self, code: int, text: str) -> None:
        self._replies.append(f"{code} {text}\r\n")

    def _flush(self, *, at_once: bool = False) -> None:
        """Send what is to be said; a slow server one reply after the other, and it hears nothing meanwhile."""
        if self._muted or self._transport.is_closing():
            self._replies.clear()
        elif self._replies and not self._slow:
            pause = 0.0 if at_once else self._mailbox.pause()
            if pause:
                self._slow = asyncio.get_running_loop().call_later(pause, self._say_next)
            else:
                self._transport.write("".join(self._replies).encode())
                self._replies.clear()

    def _say_next(self) -> None:
        self._slow = None
        if not self._transport.is_closing():
            self._transport.write(self._replies.pop(0).encode())
            self._flush()
            self._work()

    def _cut(self) -> None:
        """RST, as a crashed server or a tired firewall sends it."""
        self._waiting = True
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._transport.abort()

    def _close(self) -> None:
        if self._slow:
            self._slow.cancel()
            self._slow = None
        self._flush(at_once=True)
        self._waiting = True
        self._transport.close()


class SmtpServer:
    """Listens on 127.0.0.1, unless told otherwise."""

    def __init__(self, mailbox: Mailbox, latency: float) -> None:
        self._mailbox = mailbox
        self._latency = latency
        self._sessions: set[Session] = set()

    async def start(self, port: int, host: str = "127.0.0.1") -> int:
        """Listen, and return the port; OSError when it is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Session(self._mailbox, self._latency, self._sessions), host, port, backlog=512
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Take no more connections and say goodbye on those open: nobody is left without an answer."""
        self._server.close()
        for session in list(self._sessions):
            session.goodbye("shutting down")
        await self._server.wait_closed()
