"""The marks that our messages carry to the SMSC and that may come back in its receipts.

``user_message_reference`` (5.3.2.17) has two octets, room for an octet of the key, how many parts there are and
which one this is. A vendor's own parameter ("customer reference") has room for the whole key.
"""

import re
from dataclasses import dataclass

from publishers.smpp.gsm import reference_of

_KEY = re.compile(r"(.+) (\d{1,2})/(\d{1,2})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Part:
    """Part ``number`` (from 1) of ``total``; ``group`` stands for the message: its key, or an octet of that."""

    group: str
    total: int
    number: int


def message_reference(key: str, total: int, number: int) -> int:
    """user_message_reference of one part; ``total`` is at most 16."""
    return reference_of(key) << 8 | (total - 1) << 4 | (number - 1)


def part_of_reference(reference: int) -> Part | None:
    """The part that a user_message_reference names; None for a whole message, or a reference that isn't ours."""
    total, number = (reference >> 4 & 0xF) + 1, (reference & 0xF) + 1
    return Part(f"{reference >> 8 & 0xFF:02x}", total, number) if total > 1 and number <= total else None


def mark(key: str, total: int, number: int) -> str:
    """What the vendor's parameter says: the key, and which part of how many when there are several."""
    return key if total == 1 else f"{key} {number}/{total}"


def part_of_mark(text: str) -> tuple[str, Part | None]:
    """The key in a mark, and the part it is about; None for a whole message."""
    found = _KEY.fullmatch(text)
    if found is None:
        return text, None
    return found[1], Part(found[1], int(found[3]), int(found[2]))
