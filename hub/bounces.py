"""What a mail that came back says: a bounce, a complaint, an automatic answer, or nothing of the kind.

Pure functions of bytes. What machines write for machines is read first and believed: delivery status
notifications (hub.bounces_status) and feedback reports (hub.bounces_feedback). What is left is prose
(hub.bounces_text), and what machines say in people's name (hub.bounces_answers). The bytes come from strangers:
they may be huge, malformed or hostile, and nothing of them raises.
"""

from email.message import Message

import structlog

from hub import bounces_answers as answers
from hub import bounces_feedback as feedback
from hub import bounces_mail as reading
from hub import bounces_status as status
from hub import bounces_text as prose
from hub.bounces_mail import without_addresses
from hub.bounces_original import original_key, signed_key
from hub.bounces_verdict import Bounce, Kind

__all__ = ["Bounce", "Kind", "classify", "original_key", "signed_key", "without_addresses"]

_log = structlog.get_logger(__name__)


def classify(content: bytes) -> Bounce | None:
    """What the mail says of one that we sent; None when it says nothing of the kind. Never raises."""
    try:
        return _classify(reading.parse(content))
    except Exception as error:  # a stranger's bytes in the standard library's and flufl's parsers: anything
        # not its words: they may hold an address
        _log.warning("a returned mail can't be read", error=type(error).__name__, size=len(content))
        return None


def _classify(mail: Message, *, inside: bool = False) -> Bounce | None:
    parts = list(reading.parts_of(mail))
    report = feedback.report_of(mail, parts)
    if report is not None:
        return feedback.read(report, parts)
    if answers.is_receipt(mail):
        return None
    text = reading.own_text(mail, parts)
    system = prose.from_system(mail)
    blocks = status.blocks_of(parts, text if system else "")
    if blocks:
        return status.read(blocks, text)
    if (complaint := feedback.plain(mail, parts)) is not None:
        return complaint
    answer = None
    if not prose.is_daemon(mail) and "X-Failed-Recipients" not in mail:
        answer = answers.read(mail, text)
        if (
            answer is not None
            and not prose.is_titled(mail)
            and (answer.kind == "challenge" or answers.is_absence(mail))
        ):
            return answer  # both like to say that our mail was not delivered
    bounce = _forwarded(parts) if system and not inside else None
    return bounce or prose.read(mail, parts, text) or answer


def _forwarded(parts: list[Message]) -> Bounce | None:
    """The bounce that a mail system passes on as an attachment of its own mail."""
    for part in parts:
        payload = part.get_payload()
        if part.get_content_type() == "message/rfc822" and isinstance(payload, list) and payload:
            inner = payload[0]
            if isinstance(inner, Message) and prose.is_daemon(inner):
                return _classify(inner, inside=True)
    return None
