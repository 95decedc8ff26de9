"""What a mail that came back says: a bounce, a complaint, an automatic answer, or nothing of the kind.

Pure functions of bytes. What machines write for machines is read first and believed: delivery status
notifications (RFC 3464) and feedback reports (RFC 5965). What is left is prose, read by hub.bounces_text.
The bytes come from strangers: they may be huge, malformed or hostile, and nothing of them raises.
"""

import email
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Literal

import structlog

from hub import bounces_text as prose

Kind = Literal["hard", "soft", "challenge", "autoreply", "complaint"]

_log = structlog.get_logger(__name__)

_LIMIT = 262_144  # bytes read of one mail; what matters stands before the returned original
_PARTS_LIMIT = 100
_NESTED_LIMIT = 8
_DIAGNOSTIC_LIMIT = 500


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
    """

    kind: Kind
    status: str | None = None
    diagnostic: str | None = None
    recipients: tuple[str, ...] = ()
    address_dead: bool = False
    gave_up: bool = True


def classify(content: bytes) -> Bounce | None:
    """What the mail says of one that we sent; None when it says nothing of the kind. Never raises."""
    try:
        return _classify(email.message_from_bytes(content[:_LIMIT]))
    except Exception as error:  # a stranger's bytes in the standard library's and flufl's parsers: anything
        _log.warning("a returned mail can't be read", error=repr(error), size=len(content))
        return None


def _classify(mail: Message) -> Bounce | None:
    _decode_headers(mail)
    parts = list(_parts(mail))
    for part in parts:
        if part.get_content_type() in ("message/delivery-status", "message/global-delivery-status"):
            blocks = _blocks(part)
            if blocks:
                return _from_status(blocks, prose.own_text(mail, parts))
    for part in parts:
        if part.get_content_type() == "message/feedback-report":
            return _from_feedback(part, parts)
    if (reader := _hotmail_complaint(mail, parts)) is not None:
        return Bounce("complaint", diagnostic="abuse", recipients=reader)
    return _from_prose(mail, parts)


def _decode_headers(mail: Message) -> None:
    """Make bare 8-bit headers ordinary text: where they are, the parser gives objects that nobody expects."""
    raw = {name.lower(): value for name, value in reversed(list(mail.raw_items()))}
    for name in ("from", "to", "subject", "return-path", "delivered-to", "x-failed-recipients"):
        value = raw.get(name)
        if value is not None and not value.isascii():
            mail.replace_header(name, value.encode("ascii", "surrogateescape").decode("utf-8", "replace"))


def _parts(mail: Message, depth: int = 0) -> Iterator[Message]:
    """The parts of the mail itself, without those of a returned original."""
    if depth > _NESTED_LIMIT:
        return
    for index, part in enumerate(mail.get_payload() if mail.get_content_maintype() == "multipart" else ()):
        if index >= _PARTS_LIMIT or not isinstance(part, Message):
            return
        yield part
        if part.get_content_maintype() == "multipart":
            yield from _parts(part, depth + 1)


# RFC 3464: delivery status notifications


_FIELD = re.compile(r"([A-Za-z][A-Za-z-]*)[ \t]*:[ \t]*(.*)")
_TYPE = re.compile(r"^\s*[A-Za-z0-9-]+\s*;\s*")
_GOES_ON = {"delayed"}
_GOOD = {"delivered", "relayed", "expanded"}


def _blocks(part: Message) -> list[dict[str, str]]:
    """The groups of fields about recipients, names in lower case. Lenient: some write a blank before the colon."""
    payload = part.get_payload()
    text = "\n\n".join(str(item) for item in payload) if isinstance(payload, list) else prose.text_of(part)
    blocks: list[dict[str, str]] = []
    block: dict[str, str] = {}
    name = ""
    for line in [*text.splitlines(), ""]:
        if not line.strip():
            # a blank line that splits one recipient's fields is a fault that some servers have
            if "action" in block or "status" in block or "final-recipient" in block:
                blocks.append(block)
                block = {}
            name = ""
        elif line[0] in " \t" and name:
            block[name] += " " + line.strip()
        elif match := _FIELD.match(line):
            name = match[1].lower()
            if name in block:
                name = ""
            else:
                block[name] = match[2].strip()
    return blocks


def _from_status(blocks: list[dict[str, str]], text: str) -> Bounce | None:
    bounces = [bounce for block in blocks[:_PARTS_LIMIT] if (bounce := _of_recipient(block, text)) is not None]
    if not bounces:
        return None
    worst = max(bounces, key=lambda bounce: (bounce.kind == "hard", bounce.address_dead, bounce.gave_up))
    recipients = dict.fromkeys(address for bounce in bounces for address in bounce.recipients)
    return Bounce(
        worst.kind,
        worst.status,
        worst.diagnostic,
        tuple(recipients),
        worst.address_dead,
        any(bounce.gave_up for bounce in bounces),
    )


def _of_recipient(block: dict[str, str], text: str) -> Bounce | None:
    action = block.get("action", "failed").split(maxsplit=1)[:1]
    if action and action[0].lower() in _GOOD:
        return None
    diagnostic = _TYPE.sub("", block.get("diagnostic-code", ""), count=1)
    stated = prose.enhanced(block.get("status", ""))
    said = prose.enhanced(diagnostic)
    # "5.0.0" is what a server writes that knows no better; the words of the one that refused may say more
    status = said if said and (stated is None or stated.endswith(".0.0")) else stated
    named = block.get("final-recipient") or block.get("original-recipient") or ""
    address = named.rpartition(";")[2].strip().strip("<>").strip()
    words = " ".join(diagnostic.split()) or _line_about(address, text)
    gave_up = not (action and action[0].lower() in _GOES_ON)
    kind: Kind = "soft" if not gave_up or prose.is_soft(status, words) else "hard"
    return Bounce(
        kind,
        status,
        words[:_DIAGNOSTIC_LIMIT] or None,
        (address,) if address else (),
        kind == "hard" and prose.is_dead(status, words),
        gave_up,
    )


def _line_about(address: str, text: str) -> str:
    """What the part for people says of an address, where the part for machines gives no reason."""
    for line in text.splitlines() if address else ():
        rest = line.replace(address, "").strip(" <>:\t")
        if address in line and rest:
            return rest
    return ""


# RFC 5965: feedback reports of mailbox providers


_NOT_A_COMPLAINT = {"not-spam", "auth-failure", "dmarc"}
"""The opposite of a complaint; and reports about authentication, of which no reader knows (RFC 6591)."""


def _from_feedback(part: Message, parts: list[Message]) -> Bounce | None:
    payload = part.get_payload()
    text = "\n".join(str(item) for item in payload) if isinstance(payload, list) else prose.text_of(part)
    fields: dict[str, list[str]] = {}
    for line in text.splitlines():
        if match := _FIELD.match(line):
            fields.setdefault(match[1].lower(), []).append(match[2].strip())
    kind = fields.get("feedback-type", ["abuse"])[0].lower()
    if kind in _NOT_A_COMPLAINT:
        return None
    named = fields.get("original-rcpt-to") or fields.get("removal-recipient") or []
    recipients = [address for value in named for address in prose.addresses(value)]
    return Bounce("complaint", diagnostic=kind, recipients=tuple(recipients) or _original_recipients(parts))


def _original_recipients(parts: list[Message]) -> tuple[str, ...]:
    for part in parts:
        if part.get_content_type() in ("message/rfc822", "text/rfc822-headers"):
            payload = part.get_payload()
            original = payload[0] if isinstance(payload, list) and payload else None
            if not isinstance(original, Message):
                original = email.message_from_string(prose.text_of(part))
            named = original.get("X-HmXmrOriginalRecipient") or original.get("To") or ""
            return tuple(prose.addresses(str(named)))
    return ()


def _hotmail_complaint(mail: Message, parts: list[Message]) -> tuple[str, ...] | None:
    """Outlook.com's complaints (JMRP) are no feedback reports: the original, with one telling header."""
    for part in parts:
        payload = part.get_payload()
        if part.get_content_type() == "message/rfc822" and isinstance(payload, list) and payload:
            original = payload[0]
            if isinstance(original, Message) and original.get("X-HmXmrOriginalRecipient"):
                subject = str(mail.get("Subject", "")).lower()
                return _original_recipients([part]) if "complaint" in subject else None
    return None


# what people and older servers write


def _from_prose(mail: Message, parts: list[Message]) -> Bounce | None:
    reading = prose.read(mail, parts)
    if reading is None:
        return None
    if reading.kind != "bounce":
        return Bounce(reading.kind)
    words = reading.words
    kind: Kind = "soft" if reading.temporary or prose.is_soft(reading.status, words) else "hard"
    return Bounce(
        kind,
        reading.status,
        words[:_DIAGNOSTIC_LIMIT] or None,
        reading.recipients,
        kind == "hard" and prose.is_dead(reading.status, words),
        reading.gave_up,
    )
