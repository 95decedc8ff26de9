"""The lifecycle of a delivery as facts, and the fold that makes a state of them.

A delivery's state is the fold of the *set* of its facts by a fixed precedence, so order, repetition and
delay of facts cannot matter. The fold is a maximum over one integer, the *standing*: PostgreSQL computes the
same fold with ``greatest(standing, new)`` and needs no reading before writing.

``standing = attempt * 16 + rank(state)``; a delivered fact of any attempt outranks every later attempt,
because somebody who has the message has it, whatever a second try does.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class State(Enum):
    """States of a delivery; the value is the rank in the precedence, lowest first."""

    QUEUED = 0
    SENDING = 1
    RETRYING = 2
    EXPIRED = 3
    WITHDRAWN = 4
    SUPPRESSED = 5
    UNKNOWN = 6
    SENT = 7
    FAILED = 8
    DELIVERED = 9

    @property
    def word(self) -> str:
        """The lower-case word used in JSON, tables and pages."""
        return self.name.lower()


NEVER_HANDED_OVER = frozenset({State.EXPIRED, State.WITHDRAWN, State.SUPPRESSED})
"""Ends of a delivery that no provider ever saw."""

ENDS = NEVER_HANDED_OVER | {State.SENT, State.FAILED, State.DELIVERED}
"""States that wait for nothing more from us (sent may still become failed or delivered by a receipt)."""

_ATTEMPT = 16
_DELIVERED = 16_000  # above any attempt: 1,000 officer's retries of one delivery are refused long before


def standing(state: State, attempt: int = 1) -> int:
    """The integer whose maximum is the fold; ``attempt`` counts from 1 (an officer's retry opens the next)."""
    if not 1 <= attempt < _DELIVERED // _ATTEMPT:
        raise ValueError(f"attempt {attempt} is outside 1..{_DELIVERED // _ATTEMPT - 1}")
    base = _DELIVERED if state is State.DELIVERED else 0
    return base + attempt * _ATTEMPT + state.value


_STATES = tuple(sorted(State, key=lambda state: state.value))


def state_of(value: int) -> State:
    """The state that a standing stands for."""
    return _STATES[value % _ATTEMPT]


def attempt_of(value: int) -> int:
    """The attempt that a standing stands for."""
    return (value % _DELIVERED) // _ATTEMPT


def fold(standings: Iterable[int]) -> int:
    """The standing of a delivery from those of its facts, in any order, with any repeats."""
    return max(standings, default=standing(State.QUEUED))


@dataclass(frozen=True, slots=True)
class DeliveryId:
    """Primary key of a delivery: one order × one recipient (both bigint)."""

    order_id: int
    recipient_id: int

    @property
    def public(self) -> str:
        """The id shown outside: it encodes the key, so that looking it up needs no index of its own."""
        return f"{self.order_id:x}-{self.recipient_id:x}"

    @classmethod
    def parse(cls, text: str) -> "DeliveryId":
        """The key behind a public id. Raises ValueError with the text when it is not one."""
        order, dash, recipient = text.partition("-")
        try:
            found = cls(int(order, 16), int(recipient, 16))
        except ValueError:
            found = None
        if not dash or found is None or found.public != text or max(found.order_id, found.recipient_id) >= 2**63:
            raise ValueError(f"not a delivery id: {text!r} (two hexadecimal numbers joined by a dash)")
        return found


@dataclass(frozen=True, slots=True)
class Fact:
    """What happened to one attempt of one delivery.

    ``code`` is the provider's own word, ``reason`` ours (in English, plain); ``reference`` is the id the
    provider gave, to which later receipts refer.
    """

    delivery: DeliveryId
    attempt: int
    state: State
    at: datetime
    code: str | None = None
    reason: str | None = None
    reference: str | None = None

    @property
    def standing(self) -> int:
        """This fact's weight in the fold."""
        return standing(self.state, self.attempt)
