"""What the SMSC brings: receipts and people's texts, over a receiver session of its own."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import structlog
from smpplib import consts

from publishers.base import Incoming, Keep, Transient
from publishers.smpp.link import FIRST_PAUSE, LONGEST_PAUSE, open_session
from publishers.smpp.options import SmppOptions
from publishers.smpp.parts import Parts
from publishers.smpp.pdus import Pdu
from publishers.smpp.receipts import as_inbound, as_receipt, as_unreadable, is_receipt, read

log = structlog.get_logger(__name__)


class Receiver:
    """Listens for one account. What is known of messages in parts outlives a lost connection, not the process."""

    def __init__(self, options: SmppOptions) -> None:
        self._options = options
        self._parts = Parts()

    async def run(self, keep: Keep) -> None:
        """See ``publishers.base.Receives.receive``."""

        async def take(pdu: Pdu) -> int:
            try:
                for incoming in self.understand(pdu, datetime.now(UTC)):
                    await keep(incoming)
            except Exception:
                log.exception("smpp.not_kept", smsc=self._options.name)
                return int(consts.SMPP_ESME_RX_T_APPN)
            return int(consts.SMPP_ESME_ROK)

        pause = FIRST_PAUSE
        while True:
            try:
                session = await open_session(self._options, "receiver", take)
            except Transient as error:
                log.warning("smpp.unreachable", smsc=self._options.name, reason=error.reason, again_in=pause)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
                continue
            opened = asyncio.get_running_loop().time()
            try:
                why = await session.until_ended()
            finally:
                await session.close()
            log.warning("smpp.receiver_lost", smsc=self._options.name, reason=why)
            if asyncio.get_running_loop().time() - opened > pause:
                pause = FIRST_PAUSE  # it held for a while: no hurry-and-fail in a circle
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    def understand(self, pdu: Pdu, now: datetime) -> list[Incoming]:
        """What a deliver_sm or data_sm says, in the common form.

        A part's receipt is kept under the part's own id as it came, and the whole message's besides once the last
        part's has come.
        """
        options = self._options
        if not is_receipt(pdu):
            return [as_inbound(pdu, now)]
        told = read(pdu, options.message_ids, options.key_tag)
        if told is None:
            log.error("smpp.unreadable_receipt", smsc=options.name)
            return [as_unreadable(pdu)]
        if told.part is None:
            return [as_receipt(told, options.message_ids)]
        # without our key: a part's delivery must not pass for the message's
        alone = as_receipt(replace(told, key=None), options.message_ids)
        whole = self._parts.add(told)
        return [alone] if whole is None else [alone, as_receipt(whole[0], options.message_ids, whole[1])]
