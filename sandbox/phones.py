"""Phone numbers that tell the SMS gateway how to behave: +33 6 39 98 01 xx, by their last two digits."""

import re
from dataclasses import dataclass

BLOCK = "+336399801"
_E164 = re.compile(r"\+[1-9]\d{6,14}")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a number does to messages.

    ``status`` and ``code`` answer the request instead of 202; ``status`` 0 with outcome "deferred" never answers,
    with "dropped" takes the message and closes. ``times`` None: always. ``receipt`` is the status told later
    (with ``error``), ``late`` delays it.
    """

    name: str
    outcome: str = "accepted"
    status: int = 202
    code: str | None = None
    times: int | None = None
    receipt: str = "delivered"
    error: str | None = None
    late: bool = False


ORDINARY = Behaviour("ordinary")

BEHAVIOURS: dict[str, Behaviour] = {
    "86": Behaviour("absent", receipt="expired", error="absent_subscriber"),
    "87": Behaviour("unavailable once", "deferred", 503, "unavailable", times=1),
    "88": Behaviour("forbidden", "refused", 403, "forbidden"),
    "89": Behaviour("no credit once", "refused", 402, "insufficient_credit", times=1),
    "90": Behaviour("invalid number", "refused", 400, "invalid_number"),
    "91": Behaviour("throttled twice", "deferred", 429, "throttled", times=2),
    "92": Behaviour("undelivered", receipt="undelivered", error="unknown_subscriber"),
    "93": Behaviour("hang", "deferred", 0, "hang"),
    "94": Behaviour("late receipt", late=True),
    "95": Behaviour("dropped once", "dropped", 0, "dropped", times=1),
    "96": Behaviour("error once", "deferred", 500, "internal_error", times=1),
}

FAULTS: dict[str, Behaviour] = {
    "throttle": Behaviour("fault", "deferred", 429, "throttled"),
    "refuse": Behaviour("fault", "refused", 403, "forbidden"),
    "hang": Behaviour("fault", "deferred", 0, "hang"),
    "error": Behaviour("fault", "deferred", 503, "unavailable"),
    "drop": Behaviour("fault", "dropped", 0, "dropped"),
}
"""The same, as ``POST /sandbox/faults`` names them."""


def is_number(text: str) -> bool:
    """E.164; French ones have nine digits after +33."""
    return _E164.fullmatch(text) is not None and (not text.startswith("+33") or len(text) == 12)


def behaviour_of(number: str) -> Behaviour:
    """What a number asks for."""
    if number.startswith(BLOCK) and len(number) == len(BLOCK) + 2:
        return BEHAVIOURS.get(number[-2:], ORDINARY)
    return ORDINARY
