"""Mail addresses that tell the server how to behave: the first label of the local part, or of the domain.

A number after the name (``later2.alice@…``) means: so many times, then accepted like any other address.
"""

import re
from dataclasses import dataclass
from enum import Enum


class Stage(Enum):
    """When the behaviour shows."""

    RCPT = "at RCPT TO"
    DATA = "from DATA on"
    CONTENT = "after the content"
    LATER = "after the mail was accepted"


class Ending(Enum):
    """What the server does with the connection."""

    REPLY = "answers and goes on"
    CLOSE = "answers and closes"
    HANG = "never answers"
    DROP = "closes without an answer"
    RESET = "resets the connection (RST)"
    HALF_CLOSE = "closes its own direction (FIN), and listens on"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """``times`` None: always. ``outcome`` is the word in the journal."""

    stage: Stage
    outcome: str
    code: int
    text: str
    ending: Ending = Ending.REPLY
    times: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A behaviour as an address asks for it; ``name`` as written, number included."""

    name: str
    behaviour: Behaviour
    times: int | None


_REFUSED = Behaviour(Stage.RCPT, "refused", 550, "5.1.1 No such mailbox here")
_FULL = Behaviour(Stage.RCPT, "deferred", 452, "4.2.2 Mailbox full")

BEHAVIOURS: dict[str, Behaviour] = {
    "refuse": _REFUSED,
    "bounce-hard": _REFUSED,
    "full": _FULL,
    "later": Behaviour(Stage.RCPT, "deferred", 452, "4.2.2 Mailbox full", times=1),
    "greylist": Behaviour(Stage.RCPT, "deferred", 451, "4.7.1 Greylisted, come back later", times=1),
    "throttle": Behaviour(Stage.RCPT, "deferred", 421, "4.7.0 Too many messages, slow down", Ending.CLOSE, times=1),
    "hang": Behaviour(Stage.RCPT, "deferred", 0, "no answer to RCPT", Ending.HANG),
    "cut": Behaviour(Stage.RCPT, "deferred", 0, "connection closed at RCPT", Ending.DROP),
    "spam": Behaviour(Stage.CONTENT, "refused", 554, "5.7.1 Content refused"),
    "hangdata": Behaviour(Stage.CONTENT, "deferred", 0, "no answer to the content", Ending.HANG),
    "dropdata": Behaviour(Stage.CONTENT, "dropped", 0, "taken, closed without an answer", Ending.DROP, times=1),
    "late-bounce": Behaviour(Stage.LATER, "accepted", 250, "2.0.0 Accepted"),
    "ooo": Behaviour(Stage.LATER, "accepted", 250, "2.0.0 Accepted"),
}

FAULTS: dict[str, Behaviour] = {
    "throttle": Behaviour(Stage.RCPT, "deferred", 421, "4.7.0 Too many messages, slow down", Ending.CLOSE),
    "refuse": Behaviour(Stage.RCPT, "refused", 550, "5.7.1 Refused by the operator"),
    "hang": BEHAVIOURS["hang"],
    "error": Behaviour(Stage.CONTENT, "deferred", 451, "4.3.0 Local error, come back later"),
    "drop": BEHAVIOURS["dropdata"],
    "leave": Behaviour(Stage.CONTENT, "deferred", 421, "4.3.2 Going down for a moment", Ending.CLOSE),
    "reset": Behaviour(Stage.DATA, "deferred", 0, "connection reset in the middle of the content", Ending.RESET),
    "half_close": Behaviour(Stage.DATA, "dropped", 0, "taken, after nothing more could be said", Ending.HALF_CLOSE),
    "hang_at_end": Behaviour(Stage.CONTENT, "dropped", 0, "taken, and never answered", Ending.HANG),
    "lie": Behaviour(Stage.LATER, "accepted", 250, "2.0.0 Accepted"),
}
"""The same, as ``POST /sandbox/faults`` names them."""

_NAME = re.compile(rf"({'|'.join(map(re.escape, BEHAVIOURS))})(\d{{0,3}})")


def rule_of(address: str) -> Rule | None:
    """What an address asks for; None for an ordinary one."""
    local, _, domain = address.rpartition("@")
    for label in (re.split(r"[.+]", local, maxsplit=1)[0], domain.split(".", 1)[0]):
        if match := _NAME.fullmatch(label.lower()):
            behaviour = BEHAVIOURS[match[1]]
            times = int(match[2]) if match[2] else behaviour.times
            return Rule(match[0], behaviour, times)
    return None
