"""The way to one SMSC: a transmitter session that is opened when needed, and again after growing pauses."""

import asyncio
import ssl

import structlog

from publishers.base import Transient, Untried
from publishers.smpp.options import SmppOptions
from publishers.smpp.session import BindRefused, Gone, Handler, Role, Session, bind
from publishers.smpp.statuses import name_of, verdict_of

log = structlog.get_logger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


async def open_session(options: SmppOptions, role: Role, handler: Handler | None = None) -> Session:
    """A bound session. Raises Untried when the SMSC can't be reached, Transient when it doesn't want us."""
    try:
        return await bind(options, role, handler)
    except BindRefused as refused:
        verdict = verdict_of(refused.status)
        raise Transient(verdict.reason, code=name_of(refused.status)) from refused
    except ssl.SSLCertVerificationError as error:
        mend = "Set ca_file to the operator's certificate authority, or host to the name in its certificate."
        log.error("smpp.settings_fault", code="certificate", message=error.verify_message, mend=mend)
        raise Transient(f"the SMSC's certificate is not trusted: {error.verify_message}", code="certificate") from error
    except TimeoutError:
        raise Untried(f"the SMSC did not answer within {options.bind_timeout:g} s", code="unreachable") from None
    except Gone as gone:
        raise Untried(f"before it was bound, {gone.why}", code="unreachable") from gone
    except OSError as error:
        raise Untried(f"the SMSC can't be reached: {error}", code="unreachable") from error


class Link:
    """Hands out the one transmitter session of a process."""

    def __init__(self, options: SmppOptions) -> None:
        self._options = options
        self._session: Session | None = None
        self._opening: asyncio.Task[Session] | None = None
        self._failure: Transient | None = None
        self._pause = 0.0
        self._not_before = 0.0
        self._closed = False

    @property
    def session_now(self) -> Session | None:
        """The session that is bound now, if one is."""
        return None if self._session is None or self._session.ended else self._session

    async def session(self) -> Session:
        """A bound session. Raises Untried or Transient; while it pauses after a failure, that failure again.

        Cancelling whoever asked first does not stop the binding: the others wait for it too.
        """
        if self._closed:
            raise Untried("the channel was closed")
        if (session := self.session_now) is not None:
            return session
        left = self._not_before - asyncio.get_running_loop().time()
        if left > 0 and self._failure is not None:
            raise type(self._failure)(self._failure.reason, code=self._failure.code, retry_after=left)
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(self._opened)
        try:
            return await asyncio.shield(self._opening)
        except asyncio.CancelledError:
            if self._closed:
                raise Untried("the channel was closed") from None
            raise

    async def close(self) -> None:
        """Unbind. Safe to call twice, and while a session is being opened."""
        self._closed = True
        if (opening := self._opening) is not None:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _open(self) -> Session:
        if (ended := self._session) is not None:
            self._session = None
            await ended.close()
        try:
            self._session = await open_session(self._options, "transmitter")
        except Transient as error:
            self._failure = error
            self._pause = min(LONGEST_PAUSE, self._pause * 2 or FIRST_PAUSE)
            self._not_before = asyncio.get_running_loop().time() + self._pause
            log.warning("smpp.unreachable", smsc=self._options.name, reason=error.reason, again_in=self._pause)
            error.retry_after = self._pause
            raise
        self._pause, self._failure = 0.0, None
        return self._session

    def _opened(self, opening: asyncio.Task[Session]) -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # told to whoever still waits, perhaps nobody
