"""Reading bounces that are prose, and the words in those that are not.

flufl.bounce (Mailman's detectors) knows many servers' forms; the phrases here add the rest. A mail counts as a
bounce only if it comes from a mail system and says so; when in doubt it is nothing at all, because acting on a
mail that only looks like a bounce would silence somebody.
"""

import html
import re
from collections.abc import Collection
from dataclasses import dataclass
from email.header import decode_header, make_header
from email.message import Message
from email.utils import parseaddr
from typing import Literal

import structlog
from flufl.bounce import all_failures

_log = structlog.get_logger(__name__)

_TEXT_LIMIT = 65_536
_PARTS_LIMIT = 100

_ENHANCED = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")
_BASIC = re.compile(r"(?<![\d.:])([45][0-7]\d)(?=[ -])")
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")

_FULL = re.compile(
    r"mailbox (?:is )?(?:full|exceeds)|over ?quota|quota exceeded|exceeded .{0,20}quota|insufficient .{0,20}space"
    r"|boîte .{0,20}pleine",
    re.IGNORECASE,
)
_SOFT_STATUS = {"5.2.2"}
"""Class 5 that time heals."""

_DEAD_STATUS = {"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"}
_PERHAPS_DEAD_STATUS = {None, "5.0.0", "5.1.0", "5.1.351", "5.2.1", "5.4.4"}
"""Codes that say too little: here the words decide. Any other code (5.7.1, 5.1.8…) speaks of something else."""

_DEAD = re.compile(
    r"(?:user|recipient|mailbox|address|account|utilisateur|destinataire|adresse) (?:is )?"
    r"(?:unknown|not found|inconnue?)"
    r"|unknown (?:user|recipient|local.part|address)|no such (?:user|mailbox|recipient|address|account)"
    r"|(?:user|mailbox|account|recipient|address)[^.;]{0,60} does ?n[o']t exist|invalid recipient"
    r"|doesn't have an? \S+ account|no longer on server|address couldn't be found"
    r"|host unknown|(?:host|domain)[^.;]{0,20} not found|domain does not exist",
    re.IGNORECASE,
)

_DAEMONS = re.compile(r"(?:mailer|mail)-?daemon|postmaster|mdaemon|mailerdaemon|root", re.IGNORECASE)

_SAYS_BOUNCE = re.compile(
    r"could not be delivered|(?:not|n't) be delivered|unable to deliver|not able to deliver|n't able to deliver"
    r"|delivery (?:to the following .{0,40})?(?:has |have )?(?:been )?failed|failed permanently|undeliver(?:able|ed)"
    r"|error delivering your mail|following address(?:\(es\)|es)? failed|permanent fatal errors"
    r"|transcript of session follows|returned to sender|message delivery failed|delivery failure"
    r"|n'a pas (?:pu|été) (?:être )?(?:remis|livré|délivré|distribué)|échec de la remise"
    r"|nicht zugestellt werden|did not like our (?:rcpt|mail|data)|wasn't delivered"
    r"|has not (?:yet )?been delivered",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"will (?:keep|continue|be) (?:trying|to try|retr)|still (?:trying|being retried)|do(?:es)? not need to resend"
    r"|this is (?:only )?a warning|delivery .{0,30}(?:has been )?delayed|temporarily (?:delayed|deferred)"
    r"|delivery attempts will continue|has not yet been delivered",
    re.IGNORECASE,
)
_SAYS_PERMANENT = re.compile(r"permanent (?:fatal )?error|failed permanently|giving up", re.IGNORECASE)
_ORIGINAL = re.compile(
    r"^[ >]{0,20}(?:-{2,80}.{0,60}(?:original message|copy of the|below this line|header of the original|unsent message"
    r"|message d'origine|returned message|bounced).*|message headers follow.*|bounced e-mail:.*)$",
    re.IGNORECASE | re.MULTILINE,
)

_TAG = re.compile(r"<[^<>]{0,2000}>")

_BY_PERSON = re.compile(r"\s*(?:re|fwd?|tr|aw|wg)\s*:", re.IGNORECASE)
"""The beginning of a subject when a person answers or forwards."""

_ABSENT = re.compile(
    r"^(?:auto(?:matic)?(?:[ -]?(?:response|reply))?:|automatic reply|auto[ -]?repl|auto[ -]?response"
    r"|out of (?:the )?office|r[ée]ponse automatique|message automatique|absence|absent|abwesen"
    r"|automatische antwort|respuesta autom|risposta automatica|vacation)",
    re.IGNORECASE,
)
_ASKS_PROOF = re.compile(
    r"(?:please|action required).{0,30}(?:confirm|verify).{0,40}(?:message|e-?mail|sender|identity|address)"
    r"|sender (?:address )?(?:verification|confirmation)|your (?:message|e-?mail) .{0,30}"
    r"(?:requires|awaiting|await|needs) .{0,20}(?:verification|confirmation|authorization)"
    r"|v[ée]rification de l'exp[ée]diteur"
    r"|(?:confirme[rz]|authentifie[rz]).{0,40}(?:message|e-?mail|courriel|envoi|exp[ée]diteur)|mailinblack|boxtrapper",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the prose says; the other fields are of a bounce."""

    kind: Literal["bounce", "autoreply", "challenge"]
    status: str | None = None
    words: str = ""
    recipients: tuple[str, ...] = ()
    temporary: bool = False
    gave_up: bool = True


def enhanced(text: str) -> str | None:
    """The first enhanced status code of class 4 or 5 in the text (RFC 3463)."""
    return next((found[1] for found in _ENHANCED.finditer(text) if found[1][0] != "2"), None)


def is_soft(status: str | None, words: str) -> bool:
    """Whether another time may do: class 4, a full mailbox, or words that say so where no code does."""
    if status is not None and not status.endswith(".0.0"):
        return status[0] == "4" or status in _SOFT_STATUS
    if _FULL.search(words):
        return True
    basic = _BASIC.search(words)
    return status[0] == "4" if status is not None else basic is not None and basic[1][0] == "4"


def is_dead(status: str | None, words: str) -> bool:
    """Whether a hard bounce says that the address itself does not exist."""
    return status in _DEAD_STATUS or (status in _PERHAPS_DEAD_STATUS and _DEAD.search(words) is not None)


def addresses(text: str) -> list[str]:
    """Mail addresses in a text, each once, in order."""
    return list(dict.fromkeys(_ADDRESS.findall(text)))


def text_of(part: Message) -> str:
    """A part as text, whatever it claims to be encoded in."""
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    payload = payload[:_TEXT_LIMIT]
    for charset in (part.get_content_charset() or "utf-8", "utf-8"):
        try:
            return payload.decode(charset)
        except (LookupError, ValueError):  # no such charset, or not what it is
            continue
    return payload.decode("utf-8", "replace")


def read(mail: Message, parts: list[Message]) -> Reading | None:
    """What a mail without machine-readable parts says; None when it is an ordinary mail."""
    subject, text = _subject(mail), own_text(mail, parts)
    bounce = _bounce(mail, parts, subject, text)
    if bounce is not None:
        return bounce
    if _from_daemon(mail):
        return None
    if _ASKS_PROOF.search(subject) and (_is_automatic(mail) or "http" in text):
        return Reading("challenge")
    return Reading("autoreply") if _answers_by_itself(mail, subject) else None


def _bounce(mail: Message, parts: list[Message], subject: str, text: str) -> Reading | None:
    temporary, permanent = _detected(mail)
    failed = addresses(str(mail.get("X-Failed-Recipients", "")))
    says = _SAYS_BOUNCE.search(text) or _SAYS_BOUNCE.search(subject)
    from_system = _from_daemon(mail) or str(mail.get("Return-Path", "")).strip() == "<>"
    returned = _returned(parts) and _BY_PERSON.match(subject) is None
    if not (failed or (from_system and (says or temporary or permanent)) or (returned and says)):
        return None
    found = sorted(address.decode("ascii", "replace") for address in permanent or temporary)
    ours = addresses(" ".join(str(mail.get(name, "")) for name in ("To", "Delivered-To")))
    named = [address for address in addresses(text) if address not in ours]
    basic = _BASIC.search(text)
    status = enhanced(text)
    # what the refusing server said begins at its code; without one, the whole prose is the reason
    begin = basic.start() if basic else text.find(status) if status else 0
    goes_on = _GOES_ON.search(text) is not None and _SAYS_PERMANENT.search(text) is None
    return Reading(
        "bounce",
        status,
        " ".join(text[begin:].split())[:2000],
        tuple(failed or found or named[:1]),
        temporary=goes_on or bool(temporary and not permanent),
        gave_up=not goes_on,
    )


def _detected(mail: Message) -> tuple[Collection[bytes], Collection[bytes]]:
    """Recipients that failed for now and for good, as flufl.bounce sees it."""
    try:
        if sum(1 for _ in mail.walk()) > _PARTS_LIMIT:  # no bounce has as many, and each detector walks them all
            return (), ()
        temporary, permanent = all_failures(mail)
    except Exception as error:  # its detectors trip over what they do not expect; the phrases go on without
        _log.info("flufl.bounce can't read a mail", error=repr(error))
        return (), ()
    return temporary, permanent


def own_text(mail: Message, parts: list[Message]) -> str:
    """The text that the sender wrote, up to the returned original."""
    for kind in ("text/plain", "text/html"):
        for part in parts or [mail]:
            if part.get_content_type() == kind:
                text = text_of(part)
                if kind == "text/html":
                    text = html.unescape(_TAG.sub(" ", text))
                cut = _ORIGINAL.search(text)
                return text[: cut.start()] if cut else text
    return ""


def _subject(mail: Message) -> str:
    try:
        return str(make_header(decode_header(str(mail.get("Subject", "")))))[:500]
    except (LookupError, ValueError):
        return str(mail.get("Subject", ""))[:500]


def _from_daemon(mail: Message) -> bool:
    sender = str(mail.get("From", ""))[:1000]
    local = parseaddr(sender)[1].rpartition("@")[0] or sender.partition("<")[0]
    return _DAEMONS.fullmatch(local.strip()) is not None


def _returned(parts: list[Message]) -> bool:
    """Whether the mail carries a returned original, and text of its own before it."""
    kinds = [part.get_content_type() for part in parts]
    return "text/plain" in kinds and ("message/rfc822" in kinds or "text/rfc822-headers" in kinds)


def _is_automatic(mail: Message) -> bool:
    """RFC 3834 §5, and what came before it."""
    submitted = str(mail.get("Auto-Submitted", "no")).strip().lower()
    return (
        not submitted.startswith("no")
        or str(mail.get("Precedence", "")).strip().lower() in ("auto_reply", "auto-reply")
        or any(name in mail for name in ("X-Autoreply", "X-Autorespond", "X-Autogenerated", "X-Apple-Action"))
        or "oof" in str(mail.get("X-Auto-Response-Suppress", "")).lower()
    )


def _answers_by_itself(mail: Message, subject: str) -> bool:
    if _ABSENT.search(subject.strip()):
        return True
    if not _is_automatic(mail):
        return False
    # what is only generated by a machine (a newsletter, a monitoring mail) answers nobody
    submitted = str(mail.get("Auto-Submitted", "")).strip().lower()
    return not submitted.startswith(("auto-generated", "auto-notified")) or "In-Reply-To" in mail
