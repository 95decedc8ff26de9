"""Receipts of the parts of one message, put together: it is delivered once all of them are.

Every part has an id and a receipt of its own, while the hub knows the message by all its ids joined. Which parts
belong together is told by the mark that comes back (publishers.smpp.marks), for the same sender and recipient.
Nothing is decided on the single octet of user_message_reference: the joined ids must be a reference that the hub
recorded, or the receipt is bound to nothing. Where the whole key comes back, the first failed part is enough.

What has come so far is in this process's memory. A restart between two parts' receipts, or an SMSC that gives no
mark back, leaves the message "sent": less than could be known, never more than is.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from publishers.smpp.receipts import FINAL, Told

_AT_MOST = 50_000
"""Messages of which some parts' receipts are awaited; the oldest is given up beyond that."""

Whole = tuple[Told, tuple[str, ...]]
"""What is known of a message, and the ids of its parts in order."""


class Parts:
    """The receipts of parts that have come so far."""

    def __init__(self, at_most: int = _AT_MOST) -> None:
        self._at_most = at_most
        self._open: OrderedDict[tuple[str, str, str, int], dict[int, Told]] = OrderedDict()

    def add(self, told: Told) -> Whole | None:
        """What is now known of the whole message; None while that isn't settled."""
        if told.part is None or told.status not in FINAL:
            return None
        key = (told.sender, told.recipient, told.part.group, told.part.total)
        known = self._open.setdefault(key, {})
        known[told.part.number] = told
        if len(known) == told.part.total:
            del self._open[key]
            parts = [known[number] for number in sorted(known)]
            return combine(parts), tuple(part.id for part in parts)
        if len(self._open) > self._at_most:
            self._open.popitem(last=False)
        return (told, (told.id,)) if told.key and told.status != "delivered" else None


def combine(parts: Sequence[Told]) -> Told:
    """What the parts say of the whole: the first that failed, else the first that isn't there yet, else delivered."""
    failed = [part for part in parts if part.status in FINAL and part.status != "delivered"]
    on_their_way = [part for part in parts if part.status not in FINAL]
    worst = (failed or on_their_way or list(parts))[0]
    return replace(worst, at=max((part.at for part in parts if part.at), default=None))
