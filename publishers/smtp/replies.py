"""What a mail server's reply means for one message: a table of codes, each with its reason in plain English.

Sources: RFC 5321 §4.2 (reply codes), RFC 3463 and the IANA registry "SMTP Enhanced Status Codes" (X.Y.Z).
The first digit of the reply decides between Transient (4) and Permanent (5), whatever the enhanced code says;
the tables add the reason, whether the address itself is dead, and which replies are about our settings.
A code in neither table falls to its class and is logged once, so that somebody adds it here.
"""

import re
from dataclasses import dataclass
from typing import Literal

import structlog

from publishers.base import Permanent, PublishError, Receipt, Transient, Untried

Step = Literal["MAIL", "RCPT", "DATA", "CONTENT"]
"""What the server was answering: content is the mail itself, after its final dot."""

_log = structlog.get_logger(__name__)
_seen_new: set[str] = set()

_ENHANCED = re.compile(r"[245]\.(\d{1,3}\.\d{1,3})(?!\S)")
_WHILE = re.compile(
    r"\b(?:in|after|for|wait|within|delay(?:ed)?(?: of)?)\b\W{0,3}(?:about |at least |another )?"
    r"(?:(\d{1,2}):(\d\d):(\d\d)\b|(\d{1,5}) ?(s|secs?|seconds?|m|mins?|minutes?|h|hours?)\b)",
    re.IGNORECASE,
)
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_DAY = 86_400.0
_QUEUE_ID = re.compile(r"(?:queued as |\bid=)([^\s>;,]+)", re.IGNORECASE)  # Postfix, Exim
_SHORT = 12  # "2.0.0 Ok" and the like: nothing to look for
_OTHER_ID = re.compile(
    r"(?:accepted as |internalid=|\bqp )([^\s>;,\]]+)"  # the sandbox, Exchange, qmail
    r"|([^\s<>]+) message accepted for delivery"  # Sendmail, OpenSMTPD
    r"|^(?:2\.0\.0 )?ok +(?:\d+ +)?([^\s=]{15,})",  # Gmail, Amazon SES
    re.IGNORECASE,
)
_WORDS_LIMIT = 300
_AN_ADDRESS = re.compile(r"<?[^\s<>@]+@[^\s<>@]+>?")


class SmtpSettingsError(Exception):
    """The server refuses us, not a message: wrong credentials, TLS or addressing. Somebody has to mend settings.

    Not a PublishError on purpose: it is about a relay, and its mails go to the others.
    """

    def __init__(self, reason: str, *, code: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row: the reason, and what it says beyond the class of the reply.

    ``address_dead`` holds only for a 5xx reply; ``settings`` marks a reply that refuses us and not the message: a
    5xx, or 432, which waits for a new password.
    """

    reason: str
    address_dead: bool = False
    settings: bool = False


ENHANCED: dict[str, Meaning] = {
    # X.1: addresses
    "1.0": Meaning("the address was refused"),
    "1.1": Meaning("the mailbox does not exist", address_dead=True),
    "1.2": Meaning("the domain of the address does not exist", address_dead=True),
    "1.3": Meaning("the address is not written as an address", address_dead=True),
    "1.4": Meaning("the address fits more than one mailbox"),
    "1.5": Meaning("the address is good"),
    "1.6": Meaning("the mailbox has moved and mail is not forwarded", address_dead=True),
    "1.7": Meaning("our sender address is not written as an address"),
    "1.8": Meaning("the domain of our sender address does not exist"),
    "1.9": Meaning("the mail was passed on to a system that answers in no standard way"),
    "1.10": Meaning("the domain says that it takes no mail (null MX)", address_dead=True),
    # X.2: mailbox
    "2.0": Meaning("something is wrong with the mailbox"),
    # said for good of suspended mailboxes too, and hub.bounces believes the words only: the code alone kills nobody
    "2.1": Meaning("the mailbox is closed"),
    "2.2": Meaning("the mailbox is full"),
    "2.3": Meaning("the mail is larger than the mailbox allows"),
    "2.4": Meaning("the mailing list behind the address can't be resolved"),
    # X.3: mail system
    "3.0": Meaning("the mail system has a fault"),
    "3.1": Meaning("the mail system is full"),
    "3.2": Meaning("the mail system takes no mail at present"),
    "3.3": Meaning("the mail system lacks something this mail needs"),
    "3.4": Meaning("the mail is larger than the mail system allows"),
    "3.5": Meaning("the mail system is set up wrongly"),
    "3.6": Meaning("the mail system does not keep the priority that was asked for"),
    # X.4: network and routing
    "4.0": Meaning("the network has a fault"),
    "4.1": Meaning("the recipient's server does not answer"),
    "4.2": Meaning("the connection to the recipient's server broke"),
    "4.3": Meaning("the directory that knows the way has a fault"),
    "4.4": Meaning("no way to the recipient's domain is known"),
    "4.5": Meaning("the mail system is too busy"),
    "4.6": Meaning("the mail goes round in a loop"),
    "4.7": Meaning("the mail waited too long at a relay"),
    # X.5: protocol
    "5.0": Meaning("the server did not understand us"),
    "5.1": Meaning("the server did not expect that command"),
    "5.2": Meaning("the server did not understand a command"),
    "5.3": Meaning("too many recipients for one mail"),
    "5.4": Meaning("the server did not take a command's parameter"),
    "5.5": Meaning("the server speaks another version of the protocol"),
    "5.6": Meaning("the server does not take an answer that long"),
    # X.6: content
    "6.0": Meaning("the content was refused"),
    "6.1": Meaning("the server does not take this kind of content"),
    "6.2": Meaning("the content would have to be converted, which is not allowed"),
    "6.3": Meaning("the content would have to be converted, which is not possible"),
    "6.4": Meaning("the content was converted, and lost something"),
    "6.5": Meaning("the content could not be converted"),
    "6.6": Meaning("the content is no longer available"),
    "6.7": Meaning("the server does not take addresses with letters beyond ASCII"),
    "6.8": Meaning("the server can't answer about an address with letters beyond ASCII"),
    "6.9": Meaning("a header with letters beyond ASCII can't be passed on to the mailbox's server"),
    # X.7: security and policy
    "7.0": Meaning("refused by a rule of the server"),
    "7.1": Meaning("we are not allowed to send to this address, or the mail was taken for unwanted"),
    "7.2": Meaning("we are not allowed to write to that mailing list"),
    "7.3": Meaning("the content would have to be converted securely, which is not possible"),
    "7.4": Meaning("a security feature is lacking"),
    "7.5": Meaning("a cryptographic check failed"),
    "7.6": Meaning("an encryption method is not supported"),
    "7.7": Meaning("the mail was changed on its way"),
    "7.8": Meaning("the server does not accept our user name or password", settings=True),
    "7.9": Meaning("the server does not accept our way of logging in", settings=True),
    "7.10": Meaning("the server wants encryption first", settings=True),
    "7.11": Meaning("logging in is only allowed over an encrypted connection", settings=True),
    "7.12": Meaning("our password has expired, or must be changed", settings=True),
    "7.13": Meaning("the account is disabled"),
    "7.14": Meaning("the server must be told first that it may trust us"),
    "7.15": Meaning("the mail's priority is too low at present"),
    "7.16": Meaning("the mail is too large for its priority at present"),
    "7.17": Meaning("the mailbox has had another owner since the address was given", address_dead=True),
    "7.18": Meaning("the domain has had another owner since the address was given", address_dead=True),
    "7.19": Meaning("whether the mailbox still has the same owner can't be told"),
    "7.20": Meaning("no DKIM signature passed"),
    "7.21": Meaning("no acceptable DKIM signature was found"),
    "7.22": Meaning("no DKIM signature is the author's"),
    "7.23": Meaning("SPF does not allow us to send for this domain"),
    "7.24": Meaning("SPF could not be checked"),
    "7.25": Meaning("our server's address has no name (reverse DNS)"),
    "7.26": Meaning("several checks of who sent the mail failed (SPF, DKIM, DMARC)"),
    "7.27": Meaning("our sender's domain says that it takes no mail (null MX)"),
    "7.28": Meaning("too much mail from us at once"),
    "7.29": Meaning("an ARC signature failed"),
    "7.30": Meaning("the server wants the mail to be sent encrypted all the way (REQUIRETLS)"),
}
"""By subject and detail of the enhanced status code; consulted first."""

BASIC: dict[int, Meaning] = {
    420: Meaning("the connection to the recipient's server timed out"),
    421: Meaning("the server closes the connection: busy, or going down"),
    431: Meaning("the mail system is full"),
    432: Meaning("our password has expired, or must be changed", settings=True),
    441: Meaning("the recipient's server does not answer"),
    442: Meaning("the connection to the recipient's server broke"),
    446: Meaning("the mail goes round in a loop"),
    447: Meaning("the mail waited too long at a relay"),
    449: Meaning("no way to the recipient's domain is known"),
    450: Meaning("the mailbox is not available now (busy, or greylisting)"),
    451: Meaning("the server had a fault of its own"),
    452: Meaning("the server has no room now, or had too many recipients"),
    454: Meaning("logging in or encryption is not available now"),
    455: Meaning("the server can't take a parameter now"),
    471: Meaning("a filter of the server had a fault"),
    500: Meaning("the server did not understand a command"),
    501: Meaning("the server did not take a command's parameter"),
    502: Meaning("the server does not know a command"),
    503: Meaning("the server did not expect that command"),
    504: Meaning("the server does not know a command's parameter"),
    521: Meaning("the server takes no mail"),
    523: Meaning("the server's limit for this mail is passed"),
    525: Meaning("the account that we log in with is disabled", settings=True),
    530: Meaning("the server wants us to log in, or to encrypt, first", settings=True),
    534: Meaning("the server does not accept our way of logging in", settings=True),
    535: Meaning("the server does not accept our user name or password", settings=True),
    538: Meaning("logging in is only allowed over an encrypted connection", settings=True),
    # 550 alone is said of unknown mailboxes and of rules alike (RFC 5321 §4.2.3), so it kills no address
    550: Meaning("the mailbox is not available, or a rule of the server forbids it"),
    551: Meaning("the mailbox is elsewhere and mail is not forwarded"),
    552: Meaning("the mail is larger than is allowed there, or the mailbox is full"),
    553: Meaning("the address is not allowed there"),
    554: Meaning("the server refused the mail"),
    555: Meaning("the server does not know a parameter of the sender or recipient"),
    556: Meaning("the domain takes no mail", address_dead=True),  # RFC 7504
}
"""By reply code; consulted when the reply has no enhanced code, or one that the table above lacks."""

_CLASSES = {4: Meaning("the server asks to try again later"), 5: Meaning("the server refused the mail")}


def accepted(code: int, text: str) -> Receipt:
    """The receipt of a 2xx after the content; ``reference`` is the server's queue id where it says one."""
    found = _QUEUE_ID.search(text) or (_OTHER_ID.search(text) if len(text) > _SHORT else None)
    return Receipt(reference=found[found.lastindex or 0].rstrip(".)") if found else None, code=str(code))


def detail_of(text: str) -> str | None:
    """Subject and detail of the enhanced status code that a reply begins with ("7.1" of "4.7.1 …")."""
    found = _ENHANCED.match(text)
    return found.group(1) if found else None


def asked_pause(text: str) -> float | None:
    """Seconds that a reply asks to wait ("try again in 5 minutes", "come back in 00:04:59"); None without one."""
    found = _WHILE.search(text)
    if found is None:
        return None
    hours, minutes, seconds, number, unit = found.groups()
    if number is None:
        return float(int(hours) * 3600 + int(minutes) * 60 + int(seconds))
    return min(float(int(number) * _SECONDS[unit[0].lower()]), _DAY)


def refusal(code: int, text: str, step: Step) -> PublishError | SmtpSettingsError:
    """The error that a 4xx or 5xx means for the message it answers. ``text`` is the reply without its code."""
    detail = detail_of(text)
    short = f"{code} {text.split(maxsplit=1)[0]}" if detail else str(code)
    basic = BASIC.get(code)
    # 530 and its like say more than the 5.7.0 that may stand beside them
    meaning = ENHANCED.get(detail) if detail and not (basic and basic.settings) else basic
    if meaning is None:
        _tell_new(short, step)
    meaning = meaning or basic or _CLASSES[code // 100]
    words = " ".join(text.split())[:_WORDS_LIMIT]
    reason = f"{meaning.reason}; the server said: {words}" if words else meaning.reason
    if code == 421 and step != "CONTENT":
        # the connection ends and nothing was handed over; after the content it refuses that mail for now
        return Untried(reason, code=short)
    if meaning.settings and (code >= 500 or code == 432):
        return SmtpSettingsError(reason, code=short)
    if code < 500:
        return Transient(reason, code=short, retry_after=asked_pause(text))
    # the sender's own address is ours: a refusal of it says nothing about the recipient's
    return Permanent(reason, code=short, address_dead=meaning.address_dead and step != "MAIL")


def for_logs(words: str) -> str:
    """A server's words without the addresses in them: logs carry none."""
    return _AN_ADDRESS.sub("<address>", words)


def _tell_new(code: str, step: Step) -> None:
    if code not in _seen_new:
        _seen_new.add(code)
        _log.error("email.new_error_code", code=code, step=step)
