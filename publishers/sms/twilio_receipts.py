"""What Twilio tells later, by posting a form (www.twilio.com/docs/messaging/guides/track-outbound-message-status, and
…/docs/usage/security for the signature)."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from urllib.parse import urlsplit

from publishers.sms.twilio_errors import CODES
from schemas.webhooks import BadSignature, BadWebhook, SmsInbound, SmsReceipt

Form = Sequence[tuple[str, str]]

STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "accepted": "accepted",
        "scheduled": "accepted",
        "queued": "accepted",
        "sending": "accepted",
        "sent": "sent",
        "delivered": "delivered",
        "read": "delivered",
        "undelivered": "undelivered",
        "failed": "failed",
        "canceled": "failed",
    }
)
"""Twilio's words in ours (schemas.webhooks.STATES). Another one proves nothing, and is kept."""

_ALSO: Mapping[str, str] = MappingProxyType(
    {
        "30001": "Twilio's queue overflowed before its turn came",
        "30008": "the operator did not say why",
        "30036": "its time was over before its turn came",
        "30010": "it would have cost more than the account allows",
    }
)
"""Reasons that mean something else in a receipt than in an answer, or come there only."""


def signature(token: str, url: str, form: Form) -> str:
    """X-Twilio-Signature: base64 of HMAC-SHA1 over the whole address, query included, and the sorted form."""
    signed = url + "".join(name + value for name, value in sorted(set(form)))
    return base64.b64encode(hmac.digest(token.encode(), signed.encode(), hashlib.sha1)).decode()


def verify(token: str, url: str, form: Form, given: str | None) -> None:
    """Raises BadSignature unless Twilio has signed this, in a time that tells nothing.

    Of an https address with a port Twilio signs the one without it, or with it: both are compared.
    """
    if given is None:
        raise BadSignature("no header x-twilio-signature")
    found = [hmac.compare_digest(signature(token, one, form).encode(), given.encode()) for one in _spellings(url)]
    if not any(found):
        raise BadSignature("no signature matches")


def _spellings(url: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.port is None:
        return (url,)
    return (url, parts._replace(netloc=parts.hostname or "").geturl())


def read(form: Mapping[str, str], key: str | None) -> SmsReceipt | SmsInbound:
    """What a signed form says; ``key`` is ours, from the query. Raises BadWebhook."""
    sid = form.get("MessageSid") or form.get("SmsSid")
    if not sid:
        raise BadWebhook("MessageSid: is missing")
    status = form.get("MessageStatus") or form.get("SmsStatus") or ""
    if "Body" in form and status in ("", "received", "receiving"):
        if not form.get("From") or not form.get("To"):
            raise BadWebhook("From or To: is missing")
        # Twilio has its own list of words, and has acted on them: what it understood is what holds
        understood = form.get("OptOutType")
        text = understood if understood in ("STOP", "START") else form["Body"]
        return SmsInbound.model_validate({"id": sid, "from": form["From"], "to": form["To"], "text": text})
    if not status:
        raise BadWebhook("MessageStatus: is missing")
    code = form.get("ErrorCode") or None
    verdict = CODES.get(code) if code else None
    return SmsReceipt(
        id=sid,
        client_reference=key or None,
        status=STATUSES.get(status, status),
        error=code,
        reason=_ALSO.get(code or "") or (verdict.reason if verdict else None) or form.get("ErrorMessage") or None,
        address_dead=verdict is not None and verdict.address_dead,
    )


def arrival(form: Mapping[str, str]) -> str:
    """What tells a repeat of a form from another one."""
    return ":".join(form.get(name, "") for name in ("MessageSid", "MessageStatus", "ErrorCode"))
