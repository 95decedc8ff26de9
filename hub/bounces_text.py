"""Reading bounces that are prose, as older servers and gateways write them.

flufl.bounce (Mailman's detectors) knows many servers' forms; the phrases of hub.bounces_phrases add the rest. A
mail counts as a bounce only if it comes from a mail system and says so; when in doubt it is nothing at all,
because acting on a mail that only looks like a bounce would silence somebody.
"""

import logging
import re
from collections.abc import Collection, Iterator
from copy import copy
from dataclasses import dataclass
from email.message import Message
from email.utils import getaddresses, parseaddr

import structlog
from flufl.bounce import all_failures

from hub import bounces_mail as reading
from hub import bounces_phrases as phrases
from hub.bounces_verdict import BASIC, WORDS_LIMIT, Bounce, Verdict, basic_of, enhanced, judge

_log = structlog.get_logger(__name__)
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL)  # its tracebacks may quote the mail: we tell it in short

_DIAGNOSTIC_LIMIT = 500
_REPLIES_LIMIT = 50
_CLEAR_WEIGHT = 4  # of a verdict: no such address, or no room

_REASON = re.compile(r"(?:reasons?|because(?: of)?|problem appears to be|error)\W{1,3}(?=\w)", re.IGNORECASE)
_BY_PERSON = re.compile(r"\s*(?:re|fwd?|tr|aw|wg|rv|enc|vs|sv|antw)\s*:", re.IGNORECASE)
"""The beginning of a subject when a person answers or forwards."""
_DAEMONS = re.compile(
    r"(?:mailer|mail)[-_ ]?daemon|post_?master|mdaemon|mailerdaemon|root|mail[-_ ]delivery[-_ ](?:sub)?system"
    r"|mail delivery (?:sub)?system.*|system administrator|interscan.*|internet mail (?:delivery|service)"
    r"|mail ?admin(?:istrator)?|sysadmin|bounces?|administrateur syst[èe]me|systemadministrator|courier mail server.*",
    re.IGNORECASE,
)
_CODE = re.compile(BASIC.pattern + r"|(?<![\w.])[45]\.[0-7]\.\d{1,3}(?!\w|\.\d)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reply:
    """One refusal that a text quotes, from its code on."""

    status: str | None
    words: str
    verdict: Verdict


def read(mail: Message, parts: list[Message], text: str) -> Bounce | None:
    """What a mail without machine-readable parts says; None when it is no bounce."""
    subject, flat = reading.subject_of(mail), " ".join(text.split())
    temporary, permanent = _detected(mail)
    failed = reading.addresses(str(mail.get("X-Failed-Recipients", "")))
    told = most_telling(text)
    if not (failed or _says_so(mail, parts, subject, flat, told, bool(temporary or permanent))):
        return None
    goes_on = phrases.GOES_ON.search(flat) is not None and phrases.SAYS_PERMANENT.search(flat) is None
    verdict = told.verdict if told else judge(None, flat)
    words = told.words if told else _reason_in(flat)
    if verdict.weight <= 1 and not goes_on and (told is None or told.status is None):
        by_all = judge(None, subject + " " + flat)
        if by_all.weight > verdict.weight:
            verdict, words = by_all, _reason_in(flat)
    if goes_on or (temporary and not permanent and not verdict.dead):
        verdict = Verdict("soft", mailbox=verdict.mailbox)
    found = sorted(address.decode("ascii", "replace") for address in permanent or temporary)
    ours = reading.addresses(" ".join(str(mail.get(name, "")) for name in ("To", "Delivered-To")))
    named = [address for address in reading.addresses(text) if address not in ours]
    return Bounce(
        verdict.kind,
        told.status if told else None,
        words[:_DIAGNOSTIC_LIMIT] or None,
        tuple(failed or found or named[:1]),
        verdict.dead,
        not goes_on,
        verdict.mailbox,
    )


def _reason_in(flat: str) -> str:
    """The text from where it begins to give a reason."""
    found = _REASON.search(flat)
    return flat[found.end() :] if found is not None and found.end() < len(flat) else flat


def _says_so(mail: Message, parts: list[Message], subject: str, flat: str, told: Reply | None, detected: bool) -> bool:
    says = phrases.SAYS_BOUNCE.search(flat) is not None
    if from_system(mail):
        # a subject alone may title anything; a quoted refusal or a known word of failure beside it may not
        titled = phrases.SUBJECT_SAYS.search(subject) is not None
        return says or detected or (titled and (told is not None or judge(None, flat).weight > 1 or _returned(parts)))
    if _BY_PERSON.match(subject):
        return False
    titled = phrases.SUBJECT_SAYS.search(subject) is not None
    return (says and (titled or _returned(parts))) or (
        titled and (told is not None or judge(None, flat).weight >= _CLEAR_WEIGHT)
    )


def is_titled(mail: Message) -> bool:
    """Whether the subject is one of a bounce."""
    return phrases.SUBJECT_SAYS.search(reading.subject_of(mail)) is not None


def most_telling(text: str) -> Reply | None:
    """Of the refusals that a text quotes, the one that says most; None when it quotes none."""
    found = list(_replies(text))
    return max(found, key=lambda reply: reply.verdict.weight) if found else None


def _replies(text: str) -> Iterator[Reply]:
    """Each code with the words after it, up to the next other code or the end of the paragraph."""
    count = 0
    for paragraph in re.split(r"\n[ \t>]{0,20}\n", text[: reading.TEXT_LIMIT]):
        starts = [_start_of(paragraph, match) for match in _CODE.finditer(paragraph)][: 4 * _REPLIES_LIMIT]
        said = ""
        for index, start in enumerate(starts):
            piece = paragraph[start : starts[index + 1] if index + 1 < len(starts) else None]
            if said and not _goes_with(said, piece):
                yield _reply(said)
                count += 1
                said = ""
            said += piece
            if count >= _REPLIES_LIMIT:
                return
        if said:
            yield _reply(said)
            count += 1


def _start_of(paragraph: str, code: re.Match[str]) -> int:
    """Where a reply begins: at its code, or, where an enhanced code ends a sentence "(#5.1.1)", with that line."""
    if basic_of(code[0]) is None and paragraph[: code.start()].rstrip(" #").endswith("("):
        return paragraph.rfind("\n", 0, code.start()) + 1
    return code.start()


def _goes_with(said: str, piece: str) -> bool:
    """Whether a piece is of the same reply: its enhanced code, or a further line of it."""
    if basic_of(piece) is None:
        return len(said.strip()) <= 12 or enhanced(piece) == enhanced(said)
    return basic_of(piece) == basic_of(said) and enhanced(said) in (None, enhanced(piece))


def _reply(said: str) -> Reply:
    words = " ".join(said.split())[:WORDS_LIMIT]
    status = enhanced(words)
    return Reply(status, words, judge(status, words))


def _detected(mail: Message) -> tuple[Collection[bytes], Collection[bytes]]:
    """Recipients that failed for now and for good, as flufl.bounce sees it."""
    try:
        if sum(1 for _ in mail.walk()) > reading.PARTS_LIMIT:  # no bounce has as many; each detector walks them all
            return (), ()
        temporary, permanent = all_failures(mail if getaddresses([str(mail.get("From", ""))]) else _with_sender(mail))
    except Exception as error:  # its detectors trip over what they do not expect; the phrases go on without
        _log.info("flufl.bounce can't read a mail", error=type(error).__name__)
        return (), ()
    return temporary, permanent


def _with_sender(mail: Message) -> Message:
    """The mail with a sender: without one, flufl.bounce gives up at the first detector that looks for it."""
    sent = copy(mail)
    del sent["From"]
    sent["From"] = "<nobody@invalid.invalid>"
    return sent


def from_system(mail: Message) -> bool:
    """Whether a mail system sent it: by its sender's name, or without an envelope sender (RFC 5321 §4.5.5)."""
    path = str(mail.get("Return-Path", ""))[:1000].strip()
    return (
        path in ("<>", "<null>")
        or _DAEMONS.fullmatch(path.strip("<>").partition("@")[0]) is not None
        or str(mail.get_param("report-type") or "").lower() == "delivery-status"
        or is_daemon(mail)
    )


def is_daemon(mail: Message) -> bool:
    """Whether its sender bears a name that only mail systems bear."""
    sender = reading.decoded(str(mail.get("From", ""))[:1000])
    name, address = parseaddr(sender)
    if not address and "<>" in sender:
        return True
    local = address.rpartition("@")[0] or sender.partition("<")[0]
    return any(_DAEMONS.fullmatch(one.strip(" \"'")) is not None for one in (local, name))


def _returned(parts: list[Message]) -> bool:
    """Whether the mail carries a returned original, and text of its own before it."""
    return any(map(reading.is_original, parts)) and any(part.get_content_maintype() == "text" for part in parts)
