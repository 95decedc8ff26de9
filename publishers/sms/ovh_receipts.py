"""What OVHcloud tells later, by calling an address with a query (docs.ovhcloud.com, "SMS users", callback).

``id`` is the message's in the history; ``ptt`` says exactly what became of it; ``description`` is the coarser state
of the receipt (0 pending, 1 success, 2 failed, 4 waiting, 8 buffered, 16 error); ``date`` its time. Nothing is
signed: a secret token in the address is the proof.
"""

from collections.abc import Mapping
from types import MappingProxyType

from schemas.webhooks import BadWebhook, SmsReceipt

PTTS: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        1: ("buffered", "not delivered yet for a reason at the telephone; being tried again"),
        2: ("buffered", "not delivered yet for a reason at the operator; being tried again"),
        3: ("sent", "the operator has accepted it"),
        4: ("delivered", "the handset confirmed it"),
        5: ("undelivered", "the operator says that it was not delivered, and not why"),
        6: ("undetermined", "the operator never said whether it was delivered"),
        8: ("expired", "it expired before it could be delivered"),
        20: ("rejected", "it can't be delivered in this form"),
        21: ("undelivered", "the subscriber had no credit left to receive it"),
        23: ("rejected", "the number is wrong, or barred for good at this operator"),
        24: ("undelivered", "the telephone was off or out of reach"),
        25: ("undelivered", "the operator's network failed for a while"),
        26: ("undelivered", "the telephone was busy or full"),
        27: ("rejected", "the telephone can't receive such a message"),
        28: ("rejected", "the operator suspects it to be spam"),
        29: ("rejected", "the operator does not allow this content"),
        33: ("rejected", "a parental lock holds it back"),
        39: ("undelivered", "the operator failed"),
        73: ("undelivered", "the number was moved to an operator that can't be reached"),
        74: ("undelivered", "the telephone is abroad"),
        76: ("rejected", "the operator of the number blocks us"),
        202: ("rejected", "OVHcloud may not send to the operator of the number"),
    }
)
"""Status in our words (schemas.webhooks.STATES) and reason. "Undetermined" proves nothing, and is kept. None says for
sure that a number does not exist: 23 is said of barred ones too."""

_COARSE: Mapping[str, str] = MappingProxyType(
    {"0": "buffered", "1": "delivered", "2": "failed", "4": "buffered", "8": "buffered", "16": "failed"}
)
"""What the state of the receipt means when its ptt is one we don't know."""


def read(query: Mapping[str, str]) -> SmsReceipt:
    """The receipt that a call's query is. Raises BadWebhook."""
    identity, ptt = query.get("id", ""), query.get("ptt", "")
    if not identity.isdigit():
        raise BadWebhook("id: is not the number of an SMS")
    if not ptt.isdigit():
        raise BadWebhook("ptt: is not a number")
    coarse = _COARSE.get(query.get("description", ""), "undetermined")
    status, reason = PTTS.get(int(ptt), (coarse, query.get("descriptionDlr") or f"OVHcloud says ptt {ptt}"))
    return SmsReceipt(id=identity, status=status, error=f"ptt {ptt}", reason=reason)


def arrival(query: Mapping[str, str]) -> str:
    """What tells a repeat of a call from another one: OVHcloud gives its calls no id."""
    return ":".join(query.get(name, "") for name in ("id", "ptt", "description", "date"))
