"""The SMTP inlet: takes what mail servers send back to our envelope senders, and nothing else.

Mailbox providers send complaints (feedback loops, RFC 5965) to one address that they were given once:
``fbl@<bounce domain>``. Anybody can write there, so such a mail must prove itself: it has to quote the envelope
sender of the mail that it is about (Original-Mail-From, or Return-Path and the like in the returned headers),
which bears our signature and has been seen only by whoever had that mail. Its Message-ID would find the delivery
and prove nothing.
"""

import asyncio
from typing import Any

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session
from mode import Service

from hub.addresses import Signer
from hub.bounces import signed_key
from hub.settings import InletSettings
from store import receipts
from store.database import AWAY, Pool

log = structlog.get_logger()

_MAX_BYTES = 2_000_000


class _Door:
    """aiosmtpd handler: only addresses that we signed come in, and only what is stored is accepted."""

    def __init__(self, pool: Pool, signer: Signer, feedback: str) -> None:
        self._pool = pool
        self._signer = signer
        self._feedback = feedback

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._signer.bounced_key(address) is None and address.lower() != self._feedback:
            return "550 5.1.1 No such mailbox here"
        if envelope.rcpt_tos:
            return "452 4.5.3 One recipient at a time, please"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        body = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        key = self._signer.bounced_key(envelope.rcpt_tos[0]) or signed_key(body, self._signer)
        if key is None:
            log.info("feedback_refused", size=len(body))
            return "550 5.7.1 This report quotes no envelope sender of ours"
        try:
            async with self._pool.acquire() as connection:
                kept = await receipts.keep(
                    connection, channel="email", kind="bounce", body=body, hint=key, reference=None
                )
        except AWAY as error:
            log.warning("inlet_waits_for_database", error=type(error).__name__)
            return "451 4.3.0 Try again later"
        log.info("bounce_kept", receipt=kept)
        return "250 2.0.0 Kept"


class Inlet(Service):
    """Listens for bounces, and for complaints at ``fbl@`` the bounce domain."""

    def __init__(self, pool: Pool, settings: InletSettings, signer: Signer, bounce_domain: str, **options: Any) -> None:
        super().__init__(**options)
        self._settings = settings
        self._door = _Door(pool, signer, f"fbl@{bounce_domain.lower()}")
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens, once started: of use when the settings left the choice to the system (0)."""
        assert self._server is not None  # started
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def on_start(self) -> None:
        """Bind the port. OSError ends the worker: without the inlet, bounces would be lost in silence."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(
                self._door, hostname="tambour-inlet", ident="Tambour", data_size_limit=_MAX_BYTES, loop=loop, timeout=60
            ),
            self._settings.host,
            self._settings.port,
        )

    async def on_stop(self) -> None:
        """Stop listening; what is being received is answered 451 by the connection's end and comes again."""
        if self._server is not None:
            self._server.close()
