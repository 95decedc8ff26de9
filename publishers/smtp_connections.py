"""Connections to one mail server, kept open between sends, and how each is opened."""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from pathlib import Path
from typing import Literal, Self

import aiosmtplib
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from publishers.base import Untried
from publishers.smtp_replies import SmtpSettingsError

_GOODBYE = 2.0  # seconds for QUIT: politeness must not delay anybody


class SmtpOptions(BaseModel):
    """The mail server that takes our mail: a relay or a submission server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(min_length=1, pattern=r"^\S+$")
    port: int = Field(default=587, ge=1, le=65535)
    tls: Literal["none", "starttls", "tls"] = "starttls"
    """``starttls`` insists on it: a server that does not offer it is a fault, never a fall back to plain text."""
    verify: bool = True
    """Whether the server's certificate must be valid for ``host``."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's, as PEM."""
    username: str | None = None
    password: SecretStr | None = None
    connections: int = Field(default=10, ge=1, le=200)
    """At most so many at once, over everything that this process sends through the server."""
    connect_timeout: float = Field(default=10, gt=0)
    """Seconds to reach the server, and for each step of greeting, encryption and login."""
    reply_timeout: float = Field(default=30, gt=0)
    """Seconds without a reply after which a connection is given up."""
    idle_timeout: float = Field(default=20, gt=0)
    """Seconds after which an unused connection is closed; servers close theirs after 10 s to 5 min."""
    local_hostname: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.:\[\]_-]+$")
    """The name we greet with; the machine's own if not given. It should resolve to our address."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if self.password is not None and self.tls == "none" and not _is_this_machine(self.host):
            raise ValueError("with tls = none the password would cross the network in clear: use starttls or tls")
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ValueError(f"ca_file: no such file: {self.ca_file}")
        return self


def _is_this_machine(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


class Connections:
    """Opens connections, and keeps those given back for the next one who asks."""

    def __init__(self, options: SmtpOptions) -> None:
        self._options = options
        self._idle: list[tuple[aiosmtplib.SMTP, float]] = []
        self._sweeper: asyncio.Task[None] | None = None
        self._tls: ssl.SSLContext | None = None
        self._local_hostname = options.local_hostname
        self._closed = False

    async def take(self) -> tuple[aiosmtplib.SMTP, bool]:
        """A connection that is greeted and logged in, and whether it was used before (it may be dead by now).

        Raises Untried when the server can't be reached or won't talk now, SmtpSettingsError when it refuses us.
        """
        while self._idle:
            connection, _ = self._idle.pop()
            if connection.is_connected:
                return connection, True
            connection.close()
        return await self._open(), False

    def give_back(self, connection: aiosmtplib.SMTP) -> None:
        """Keep a connection in good order for later. Never blocks."""
        if self._closed or not connection.is_connected:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        self._idle.append((connection, loop.time()))
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = loop.create_task(self._sweep(), name="smtp idle connections")

    async def aclose(self) -> None:
        """Say goodbye on every idle connection. Those taken are closed when they are given back."""
        self._closed = True
        idle, self._idle = self._idle, []
        if self._sweeper is not None:
            self._sweeper.cancel()
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

    async def _open(self) -> aiosmtplib.SMTP:
        options = self._options
        if self._local_hostname is None:
            self._local_hostname = await asyncio.to_thread(socket.getfqdn)
        if self._tls is None and options.tls != "none":
            self._tls = await asyncio.to_thread(_tls_context, options)
        connection = aiosmtplib.SMTP(
            hostname=options.host,
            port=options.port,
            local_hostname=self._local_hostname,
            timeout=options.connect_timeout,
            use_tls=options.tls == "tls",
            start_tls=options.tls == "starttls",
            tls_context=self._tls,
            username=options.username,
            password=options.password.get_secret_value() if options.password else None,
        )
        try:
            await connection.connect()
            # STARTTLS makes aiosmtplib forget what the server offers (RFC 3207 §4.2)
            if connection.is_ehlo_or_helo_needed:
                await _greet(connection)
        except (aiosmtplib.SMTPException, OSError) as error:
            connection.close()
            raise _why_not(error, options) from error
        except BaseException:
            connection.close()
            raise
        return connection


async def try_server(options: SmtpOptions) -> None:
    """Reach the server as a send would: connect, EHLO, TLS, login, NOOP, QUIT. Sends nothing.

    Raises Untried when it can't be reached or won't talk now, SmtpSettingsError when it refuses us.
    """
    connections = Connections(options)
    connection, _ = await connections.take()
    try:
        await connection.noop()
    except (aiosmtplib.SMTPException, OSError) as error:
        raise _why_not(error, options) from error
    finally:
        await _goodbye(connection)


def _tls_context(options: SmtpOptions) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(options.ca_file) if options.ca_file else None)
    except OSError as error:
        raise SmtpSettingsError(f"ca_file {options.ca_file} can't be read as certificates: {error}") from error
    if not options.verify:
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


def _why_not(error: Exception, options: SmtpOptions) -> Untried | SmtpSettingsError:
    """What a failure to open a connection means: for now, or until somebody mends the settings."""
    where = f"{options.host}:{options.port}"
    tls_fault = _tls_fault(error)
    if tls_fault is not None:
        return SmtpSettingsError(f"no encrypted connection with the mail server {where}: {tls_fault}")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        code, words = str(error.code), " ".join(error.message.split())
        if isinstance(error, aiosmtplib.SMTPAuthenticationError) and error.code >= 500:
            reason = f"the mail server {where} refuses the user name or password; it said: {words}"
            return SmtpSettingsError(reason, code=code)
        return Untried(f"the mail server {where} won't talk now; it said: {words}", code=code)
    if isinstance(error, OSError):
        return Untried(f"the mail server {where} can't be reached: {error}")
    # what is left of aiosmtplib's errors: STARTTLS or AUTH is wanted and not offered
    return SmtpSettingsError(f"the mail server {where} does not do what the settings ask: {error}")


def _tls_fault(error: BaseException | None) -> ssl.SSLError | None:
    """The certificate or protocol fault behind an error; a connection cut within TLS is not one."""
    while error is not None:
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return error
        error = error.__cause__
    return None
