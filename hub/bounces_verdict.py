"""What a refusal means: from a status code (RFC 3463) and the words beside it to a verdict. Functions of values.

A code that says something is believed; where codes say little, the words decide. Words of a full mailbox are
believed beside any code, because servers give them the code of an unknown user.
"""

import re
from dataclasses import dataclass
from typing import Literal

from hub import bounces_phrases as phrases

Kind = Literal["hard", "soft", "challenge", "autoreply", "complaint"]

WORDS_LIMIT = 2_000  # characters of one refusal that are read: what matters stands at its beginning

_ENHANCED = re.compile(r"(?<![\w.])([245]\.[0-7]\.\d{1,3})(?!\w|\.\d)")
BASIC = re.compile(r"(?<![\w.:/-])([45][0-7]\d)(?=[ ,;#-]|$)|(?<=[ (]):([45]\d\d)(?=[ ,])", re.MULTILINE)
"""A reply code of SMTP (RFC 5321 §4.2), as it stands in prose."""

_DEAD = {"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.4.4", "5.4.310", "5.7.17", "5.7.18"}
"""No such mailbox or domain, moved away, null MX (RFC 7505), no route, another owner (RFC 7293).

5.4.310 is Microsoft's "DNS domain does not exist". Mended by nobody but the person who gave the address.
"""
_ABOUT_SENDER = {"5.1.7", "5.1.8"}
_WORDS_DECIDE = {"5.1.0", "5.1.4", "5.1.351", "5.2.0", "5.2.1", "5.3.0", "5.4.0", "5.4.1", "5.5.0", "5.5.1", "5.5.4"}
"""Codes that servers give for want of a better one, also for unknown users."""
_FULL = {"4.2.2", "5.2.2"}
_TOO_BIG = {"5.2.3", "5.3.4"}
_EXPIRED = {"5.4.7", "5.4.300", "5.4.316", "5.4.317"}
"""The sending server's own patience ended; the last three are Microsoft's."""
_UNREACHED = {"5.4.0", "5.4.1", "5.4.2", "5.4.3", "5.4.5", "5.4.312"}
"""About the way there: soft when the words speak of time or connection."""


@dataclass(frozen=True, slots=True)
class Bounce:
    """What came back.

    ``kind``: hard (refused for good), soft (may work another time: class 4, or a full mailbox), challenge (a
    person's filter asks us to prove ourselves), autoreply (an absence note), complaint (reported as unwanted).
    ``status``: enhanced status code "X.Y.Z" (RFC 3463), the most telling one found; None when none is given.
    ``diagnostic``: the words of the server that refused, on one line; of a complaint, its feedback type.
    ``recipients``: addresses the report names, as it writes them; trust the VERP address more.
    ``address_dead``: the address itself does not exist, so that later mails would come back too.
    ``gave_up``: False when the server says that it goes on trying.
    ``mailbox``: the fault is the mailbox's or its server's (full, closed, unreachable), and nothing about us or
    the mail: when it lasts for weeks, writing there is of no use.
    """

    kind: Kind
    status: str | None = None
    diagnostic: str | None = None
    recipients: tuple[str, ...] = ()
    address_dead: bool = False
    gave_up: bool = True
    mailbox: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one refusal means. ``weight``: how much it says, to choose among several of the same report."""

    kind: Literal["hard", "soft"]
    dead: bool = False
    mailbox: bool = False
    weight: int = 0


def enhanced(text: str) -> str | None:
    """The most telling enhanced status code of class 4 or 5: the first that is not just "X.0.Z"."""
    found = [match[1] for match in _ENHANCED.finditer(text) if match[1][0] != "2"]
    return next((code for code in found if not is_vague(code)), found[0] if found else None)


def is_vague(status: str | None) -> bool:
    """Whether a status says nothing but its class."""
    return status is None or status[2] == "0"


def basic_of(text: str) -> str | None:
    """The first reply code of SMTP in a text."""
    found = BASIC.search(text)
    return None if found is None else found[1] or found[2]


def judge(status: str | None, words: str, *, own: bool = True) -> Verdict:
    """The verdict on one refusal. ``own``: the status is of the server that refused, not of the one that reports."""
    words = words[:WORDS_LIMIT]
    basic = basic_of(words)
    if status in _FULL or (
        status not in _TOO_BIG and phrases.FULL.search(words) and not phrases.OUR_QUOTA.search(words)
    ):
        return Verdict("soft", mailbox=True, weight=4)
    other = phrases.ABOUT_SENDER.search(words) or phrases.NOT_YET_KNOWN.search(words)
    dead = phrases.DEAD.search(words) is not None and other is None
    if status is not None and status[0] == "4" and not is_vague(status):
        return Verdict("soft", mailbox=not _about_us(status, words), weight=2)
    if basic is not None and basic[0] == "4" and is_vague(status):
        return Verdict("soft", mailbox=not _about_us(status, words), weight=2)
    if status in _DEAD:
        return Verdict("hard", dead=phrases.ABOUT_SENDER.search(words) is None, weight=5)
    by_words = is_vague(status) or status in _WORDS_DECIDE or (not own and status not in _ABOUT_SENDER)
    if by_words and dead:
        return Verdict("hard", dead=True, weight=5)
    if status == "5.4.1" and "ccess denied" in words:
        # Microsoft's edge knows the directory: so it says that there is no such recipient
        return Verdict("hard", dead=True, weight=5)
    if status in _EXPIRED or (status in _UNREACHED and phrases.LATER.search(words)):
        return Verdict("soft", mailbox=True, weight=2)
    if is_vague(status) and basic is None and (phrases.LATER.search(words) or (status or "5")[0] == "4"):
        return Verdict("soft", mailbox=not _about_us(status, words), weight=2)
    if status is not None and status[0] == "4":
        return Verdict("soft", mailbox=not _about_us(status, words), weight=1)
    closed = not _about_us(status, words) and phrases.CLOSED.search(words) is not None
    return Verdict("hard", mailbox=closed or status == "5.2.1", weight=1 if is_vague(status) and not closed else 3)


def _about_us(status: str | None, words: str) -> bool:
    """Whether the server has something against us or the mail, rather than a fault of its own."""
    return (status is not None and status[2] in "67") or phrases.ABOUT_US.search(words) is not None
