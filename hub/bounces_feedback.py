"""Feedback reports of mailbox providers (RFC 5965): a reader said "this is unwanted".

Not every report is a complaint: others tell that a mail was taken out of the junk folder again, or speak of
authentication (RFC 6591), of which no reader knows.
"""

import re
from collections.abc import Sequence
from email.message import Message

from hub import bounces_mail as reading
from hub.bounces_verdict import Bounce

_NO_COMPLAINT = {"not-spam", "auth-failure", "dmarc", "authfailure", "virus"}
"""``virus`` is the word of a scanner, not of a reader."""

_FIELD = re.compile(r"([A-Za-z][A-Za-z-]{0,60})[ \t]*:[ \t]*(.*)")
_TYPE = re.compile(r"^[ \t>]{0,8}Feedback-Type[ \t]*:", re.IGNORECASE | re.MULTILINE)
_ORIGINAL_RECIPIENT = "X-HmXmrOriginalRecipient"


def report_of(mail: Message, parts: Sequence[Message]) -> str | None:
    """The fields of the report in a mail, None when it carries none."""
    for part in parts or [mail]:
        if part.get_content_type() == "message/feedback-report":
            return reading.fields_text(part)
    for part in parts or [mail]:
        if part.get_content_maintype() == "text" and _TYPE.search(text := reading.text_of(part)):
            return text
    return None


def read(mail: Message, parts: Sequence[Message]) -> Bounce | Literal_None:
    """The complaint in a mail; ``NOTHING`` for a report that is none; None for what is no report."""
    raise NotImplementedError
