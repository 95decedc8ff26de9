"""The SMTP inlet: takes what mail servers send back to our envelope senders, and nothing else."""

import asyncio
from typing import Any

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session
from mode import Service

from hub.addresses import Signer
from hub.settings import InletSettings
from store import receipts
from store.database import AWAY, Pool

log = structlog.get_logger()

_MAX_BYTES = 2_000_000


class _Door:
    """aiosmtpd handler: only addresses that we signed come in, and only what is stored is accepted."""

    def __init__(self, pool: Pool, signer: Signer) -> None:
        self._pool = pool
        self._signer = signer

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._signer.bounced_key(address) is None:
            return "550 5.1.1 No such mailbox here"
        if envelope.rcpt_tos:
            return "452 4.5.3 One recipient at a time, please"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        key = self._signer.bounced_key(envelope.rcpt_tos[0])
        body = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
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
    """Listens for bounces."""

    def __init__(self, pool: Pool, settings: InletSettings, signer: Signer, **options: Any) -> None:
        super().__init__(**options)
        self._settings = settings
        self._door = _Door(pool, signer)
        self._server: asyncio.Server | None = None

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
