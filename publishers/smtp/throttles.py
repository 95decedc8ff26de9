"""Which replies ask us to slow down, and who asks.

Sources: RFC 3463 and the IANA registry (X.3.1, X.3.2, X.4.5, X.5.3, X.7.28), Postfix's anvil ("too much mail
from", "too many connections from"), and what Gmail, Microsoft, Orange and Yahoo say (4.7.0, 4.7.28, 4.7.650,
OFR004_104, TSS04): large providers refuse by their own words under 4.7.x.
"""

import re
from enum import Enum

from publishers.smtp.replies import Step, detail_of

_OF_ONE_MAILBOX = re.compile(r"mailbox|inbox|over ?quota|quota exceeded|gr[ae]y-?list", re.IGNORECASE)
_SLOWER = re.compile(
    r"\brate\b|ratelimit|rate[- ]limit|throttl|too (?:many|much|fast)|slow(?:ed)? ?down|limit(?:s|ed)? "
    r"(?:exceeded|reached)|exceed\w* .{0,40}limit|temporarily deferred|unusual|try .{0,20}slower|TSS0\d|OFR\d|"
    r"congest|overload|\bbusy\b",
    re.IGNORECASE,
)
_OURS = re.compile(
    r"connection|concurren|\bsession|\bsender\b|\baccount\b|\bclient\b|\bsasl\b|authenticated|"
    r"too m(?:any|uch) .*\bfrom\b",
    re.IGNORECASE,
)
_BUSY = frozenset({"3.1", "3.2", "4.5", "5.3"})


_AT_A_TIME = re.compile(r"connection|concurren|\bsession", re.IGNORECASE)


class Asker(Enum):
    """Who asks us to slow down."""

    RELAY = "the relay, whatever the recipient"
    DOMAIN = "the recipient's domain, whose words the relay passes on"


def asks_for_less(code: int, text: str, step: Step) -> Asker | None:
    """Who asks for fewer mails by this 4xx reply; None when it is about one mail or one mailbox."""
    if code == 421:
        return Asker.RELAY  # it closes the connection: busy, or one too many
    if not 400 <= code < 500:
        return None
    detail = detail_of(text)
    if detail in _BUSY:
        return Asker.RELAY
    subject = detail.partition(".")[0] if detail else ""
    if subject in ("1", "2") or _OF_ONE_MAILBOX.search(text):
        return None
    if step == "MAIL":  # no recipient was named yet
        return Asker.RELAY if code in (450, 452) or detail == "7.28" or _SLOWER.search(text) else None
    if detail == "7.28" or (subject in ("", "7") and _SLOWER.search(text)):
        return Asker.RELAY if _OURS.search(text) else Asker.DOMAIN
    return Asker.RELAY if code == 452 and subject in ("", "3") else None


def is_about_number(text: str) -> bool:
    """Whether fewer connections at a time are what is asked for: then the relay need not be left alone."""
    return _AT_A_TIME.search(text) is not None
