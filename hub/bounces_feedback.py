"""Feedback reports of mailbox providers (RFC 5965): a reader said "this is unwanted".

Not every report is a complaint: others tell that a mail was taken out of the junk folder again, or speak of
authentication (RFC 6591), of which no reader knows.
"""

import email
import re
from collections.abc import Sequence
from email.message import Message

from hub import bounces_mail as reading
from hub.bounces_verdict import Bounce

_NO_COMPLAINT = {"not-spam", "auth-failure", "dmarc", "authfailure", "virus"}
"""``virus`` is the word of a scanner, not of a reader."""

_FIELD = re.compile(r"[ \t>]{0,8}([A-Za-z][A-Za-z-]{0,60})[ \t]*:[ \t]*(.*)")
_TYPE = re.compile(r"^[ \t>]{0,8}Feedback-Type[ \t]*:", re.IGNORECASE | re.MULTILINE)
_MICROSOFTS = "X-HmXmrOriginalRecipient"
_PLAIN_SUBJECT = "complaint about message from"


def report_of(mail: Message, parts: Sequence[Message]) -> str | None:
    """The fields of the report that a mail carries; None when it carries none."""
    for part in parts or [mail]:
        if part.get_content_type() == "message/feedback-report":
            return reading.fields_text(part)
    for part in parts or [mail]:
        if part.get_content_maintype() == "text" and _TYPE.search(text := reading.text_of(part)):
            return text
    return None


def read(report: str, parts: Sequence[Message]) -> Bounce | None:
    """The complaint that a report makes, None when it is another kind of report."""
    fields: dict[str, list[str]] = {}
    for line in report[: reading.TEXT_LIMIT].splitlines():
        if match := _FIELD.match(line):
            fields.setdefault(match[1].lower(), []).append(match[2].strip())
    kind = fields.get("feedback-type", ["abuse"])[0].split(";")[0].strip().lower() or "abuse"
    if kind in _NO_COMPLAINT:
        return None
    named = fields.get("original-rcpt-to") or fields.get("removal-recipient") or []
    recipients = [address for value in named for address in reading.addresses(value)]
    return Bounce("complaint", diagnostic=kind[:100], recipients=tuple(recipients) or _recipients(parts))


def plain(mail: Message, parts: Sequence[Message]) -> Bounce | None:
    """A complaint without a report: the original, and a subject that says so (Outlook.com's JMRP, Amazon SES)."""
    if _PLAIN_SUBJECT not in reading.subject_of(mail).lower():
        return None
    if not any(reading.is_original(part) for part in parts):
        return None
    return Bounce("complaint", diagnostic="abuse", recipients=_recipients(parts))


def _recipients(parts: Sequence[Message]) -> tuple[str, ...]:
    for part in parts:
        if reading.is_original(part):
            payload = part.get_payload()
            original = payload[0] if isinstance(payload, list) and payload else None
            if not isinstance(original, Message):
                original = email.message_from_string(reading.text_of(part))
            named = original.get(_MICROSOFTS) or original.get("To") or ""
            return tuple(reading.addresses(str(named)))
    return ()
