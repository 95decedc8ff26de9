"""Connections to one relay, kept open between sends, and how each is opened."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

import aiosmtplib

from publishers.base import Untried
from publishers.smtp.options import Relay, SmtpOptions
from publishers.smtp.replies import SmtpSettingsError

_GOODBYE = 2.0  # seconds for QUIT: politeness must not delay anybody


Failed = Callable[[Untried | SmtpSettingsError], None]
"""Told of an opening that failed when nobody waited for it any more."""


class Connections:
    """Opens connections, and keeps those given back for the next one who asks.

    An opening goes on when whoever waits for it is cancelled: else a relay that answers later than the hub's
    deadline would never be found out, nor ever be reached.
    """

    def __init__(self, relay: Relay, options: SmtpOptions, failed: Failed) -> None:
        self._relay, self._options, self._failed = relay, options, failed
        self._idle: list[tuple[aiosmtplib.SMTP, float]] = []
        self._opening: set[asyncio.Task[aiosmtplib.SMTP]] = set()
        self._orphans: list[asyncio.Task[aiosmtplib.SMTP]] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._tls: ssl.SSLContext | None = None
        self._local_hostname = options.local_hostname
        self._closed = False

    @property
    def idle(self) -> int:
        """How many are open and not used."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """How many are idle, or being opened for nobody."""
        return len(self._idle) + len(self._orphans)

    async def take(self) -> tuple[aiosmtplib.SMTP, bool]:
        """A connection that is greeted and logged in, and whether it was used before (it may be dead by now).

        Raises Untried when the relay can't be reached or won't talk now, SmtpSettingsError when it refuses us.
        """
        while self._idle:
            connection, _ = self._idle.pop()
            if connection.is_connected:
                return connection, True
            connection.close()
        opening = self._orphans.pop() if self._orphans else self._begin()
        try:
            return await asyncio.shield(opening), False
        except asyncio.CancelledError:
            if opening.done():
                self._inherit(opening)
            else:
                self._orphans.append(opening)
            raise

    def give_back(self, connection: aiosmtplib.SMTP) -> None:
        """Keep a connection in good order for later. Never blocks."""
        if self._closed or not connection.is_connected:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        self._idle.append((connection, loop.time()))
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = loop.create_task(self._sweep(), name="smtp idle connections")

    def part_with(self, connection: aiosmtplib.SMTP | None = None) -> None:
        """Say goodbye on a connection that is one too many, or on one of the idle. Never blocks."""
        if connection is None and self._idle:
            connection, _ = self._idle.pop(0)
        if connection is not None:
            leaving = asyncio.create_task(_goodbye(connection), name="smtp goodbye")
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def aclose(self) -> None:
        """Say goodbye on every idle connection. Those taken are closed when they are given back."""
        self._closed = True
        idle, self._idle = self._idle, []
        if self._sweeper is not None:
            self._sweeper.cancel()
        for opening in self._opening:
            opening.cancel()
        await asyncio.gather(*self._opening, *self._leaving, return_exceptions=True)
        await asyncio.gather(*(_goodbye(connection) for connection, _ in idle))

    async def _sweep(self) -> None:
        """Closes what was not used for ``idle_timeout``; ends with the last idle connection."""
        loop = asyncio.get_running_loop()
        while self._idle:
            oldest = min(since for _, since in self._idle)
            await asyncio.sleep(oldest + self._options.idle_timeout - loop.time())
            limit = loop.time() - self._options.idle_timeout
            old = [connection for connection, since in self._idle if since <= limit]
            self._idle = [item for item in self._idle if item[1] > limit]
            await asyncio.gather(*(_goodbye(connection) for connection in old))

    def _begin(self) -> asyncio.Task[aiosmtplib.SMTP]:
        opening = asyncio.create_task(self._open(), name="smtp opening")
        self._opening.add(opening)
        opening.add_done_callback(self._opened)
        return opening

    def _opened(self, opening: asyncio.Task[aiosmtplib.SMTP]) -> None:
        self._opening.discard(opening)
        if opening in self._orphans:  # nobody waits for it any more
            self._orphans.remove(opening)
            self._inherit(opening)

    def _inherit(self, opening: asyncio.Task[aiosmtplib.SMTP]) -> None:
        if opening.cancelled():
            return
        error = opening.exception()
        if error is None:
            self.give_back(opening.result())
        elif isinstance(error, Untried | SmtpSettingsError):
            self._failed(error)

    async def _open(self) -> aiosmtplib.SMTP:
        relay, options = self._relay, self._options
        if self._local_hostname is None:
            self._local_hostname = await asyncio.to_thread(socket.getfqdn)
        if self._tls is None and relay.tls != "none":
            self._tls = await asyncio.to_thread(_tls_context, relay)
        connection = aiosmtplib.SMTP(
            hostname=relay.host,
            port=relay.port,
            local_hostname=self._local_hostname,
            timeout=options.connect_timeout,
            use_tls=relay.tls == "tls",
            start_tls=relay.tls == "starttls",
            tls_context=self._tls,
            username=relay.username,
            password=relay.password.get_secret_value() if relay.password else None,
        )
        try:
            await connection.connect()
            # STARTTLS makes aiosmtplib forget what the server offers (RFC 3207 §4.2)
            if connection.is_ehlo_or_helo_needed:
                await _greet(connection)
        except (aiosmtplib.SMTPException, OSError) as error:
            connection.close()
            raise why_not(error, relay) from error
        except BaseException:
            connection.close()
            raise
        return connection


def _tls_context(relay: Relay) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(relay.ca_file) if relay.ca_file else None)
    except OSError as error:
        raise SmtpSettingsError(f"ca_file {relay.ca_file} can't be read as certificates: {error}") from error
    if not relay.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _greet(connection: aiosmtplib.SMTP) -> None:
    try:
        await connection.ehlo()
    except aiosmtplib.SMTPHeloError:
        if not connection.is_connected:
            raise
        await connection.helo()


async def _goodbye(connection: aiosmtplib.SMTP) -> None:
    try:
        with contextlib.suppress(aiosmtplib.SMTPException, OSError):
            await connection.quit(timeout=_GOODBYE)
    finally:
        connection.close()


def why_not(error: Exception, relay: Relay) -> Untried | SmtpSettingsError:
    """What a failure to open a connection means: for now, or until somebody mends the settings."""
    where = f"{relay.host}:{relay.port}"
    tls_fault = _tls_fault(error)
    if tls_fault is not None:
        return SmtpSettingsError(f"no encrypted connection with the mail server {where}: {tls_fault}", code="tls")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        code, words = str(error.code), " ".join(error.message.split())
        # 432: a password that has expired (RFC 4954 §4.7.12)
        if isinstance(error, aiosmtplib.SMTPAuthenticationError) and (error.code >= 500 or error.code == 432):
            reason = f"the mail server {where} refuses the user name or password; it said: {words}"
            return SmtpSettingsError(reason, code=code)
        return Untried(f"the mail server {where} won't talk now; it said: {words}", code=code)
    if isinstance(error, OSError):
        return Untried(f"the mail server {where} can't be reached: {error}")
    # what is left of aiosmtplib's errors: STARTTLS or AUTH is wanted and not offered
    return SmtpSettingsError(f"the mail server {where} does not do what the settings ask: {error}", code="missing")


def _tls_fault(error: BaseException | None) -> ssl.SSLError | None:
    """The certificate or protocol fault behind an error; a connection cut within TLS is not one."""
    while error is not None:
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return error
        error = error.__cause__
    return None
