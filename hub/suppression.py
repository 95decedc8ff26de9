"""When an address is given up: what servers and readers said of it, turned into a reason that an officer understands.

An address that does not exist is given up at once, one that takes nothing when that has lasted for weeks, and that
of a reader who complained for good. Automatic answers and requests to prove ourselves never give up anybody; nor
does what a server has against us or one mail.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from hub.bounces import Bounce
from hub.bounces_mail import without_addresses
from schemas.deliveries import DeliveryId
from store import suppressions
from store.database import Connection
from store.deliveries import Record
from store.suppressions import Faults

log = structlog.get_logger()

FAULTS = 5
"""So many mails in a row that a mailbox did not take…"""
WITHIN = timedelta(days=30)
OVER = timedelta(days=7)
"""…within a month, the first and the last of them a week apart: an incident of a day proves nothing."""

_WORDS_LIMIT = 300


def is_given_up(faults: Faults, now: datetime) -> bool:
    """Whether a mailbox has taken nothing for so long that writing there is of no use."""
    since = max(now - WITHIN, faults.delivered or now - WITHIN)
    row = [at for at in faults.sent if at > since]
    return len(row) >= FAULTS and row[-1] - row[0] >= OVER


async def after_records(connection: Connection, order_id: int, channel: str, records: Sequence[Record]) -> None:
    """Give up the addresses that a provider called dead when it refused the message; in the caller's transaction."""
    dead = {
        one.recipient_id: _no_such(channel, " ".join(filter(None, (one.code, one.reason))))
        for one in records
        if one.address_dead
    }
    if dead and (count := await suppressions.suppress(connection, order_id, dead, "dead")):
        log.info("addresses_suppressed", order=order_id, channel=channel, kind="dead", count=count)


async def after_bounce(connection: Connection, channel: str, delivery: DeliveryId, said: Bounce, now: datetime) -> bool:
    """Give up the address that a returned mail or a complaint speaks of, if that is what it says; True if so."""
    kind: suppressions.Kind
    if said.kind == "complaint":
        kind, reason = "complaint", f"complained to their mail provider ({said.diagnostic or 'abuse'})"
    elif said.kind not in ("hard", "soft") or not said.gave_up:
        return False
    elif said.address_dead:
        kind, reason = "dead", _no_such(channel, said.diagnostic or said.status or "")
    elif said.mailbox:
        faults = await suppressions.note_fault(connection, delivery, now)
        if not is_given_up(faults, now):
            return False
        kind, reason = "refused", _refused(faults, said)
    else:
        return False
    new = await suppressions.suppress(connection, delivery.order_id, {delivery.recipient_id: reason}, kind)
    if new:
        log.info("addresses_suppressed", order=delivery.order_id, channel=channel, kind=kind, count=new)
    return bool(new)


def _no_such(channel: str, words: str) -> str:
    what = "no such address, says the recipient's server" if channel == "email" else "no such number, says the provider"
    return f"{what}: {_brief(words)}" if words else what


def _refused(faults: Faults, said: Bounce) -> str:
    words = _brief(said.diagnostic or said.status or "no reason given")
    return (
        f"mailbox full or closed for weeks: {len(faults.sent)} mails came back since {faults.sent[0]:%Y-%m-%d}: {words}"
    )


def _brief(words: str) -> str:
    return without_addresses(" ".join(words.split()))[:_WORDS_LIMIT]
