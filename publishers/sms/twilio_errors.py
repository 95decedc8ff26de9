"""Twilio's errors: ``{"code", "message", "more_info", "status"}`` (www.twilio.com/docs/api/errors)."""

from collections.abc import Mapping
from types import MappingProxyType

import httpx
from pydantic import BaseModel, ValidationError

from publishers.base import Permanent, PublishError, Transient, Unknown
from publishers.sms.gateway import told, unreadable
from publishers.verdicts import Verdict, settings

_SENDER = "Twilio does not let the account send as this sender"
_DEFECT = Verdict(Permanent, "Twilio can't read the request", settings_fault=True)
_NOBODY = Verdict(Permanent, "Twilio says that no telephone has this number", address_dead=True)

CODES: Mapping[str, Verdict] = MappingProxyType(
    {
        # The account and its keys: somebody must mend them. Meanwhile messages wait.
        "20003": settings("Twilio refuses our keys: wrong, revoked, or of another account"),
        "20005": settings("the Twilio account is suspended or closed"),
        "20006": settings("our Twilio keys lack the right to send"),
        "20404": settings("there is no such Twilio account"),
        "30002": settings("the Twilio account is suspended"),
        # The sender: a number that is not the account's, or a name not registered where it is needed.
        "21212": settings(_SENDER),
        "21603": settings("no sender is set"),
        "21606": settings(_SENDER),
        "21659": settings(_SENDER),
        "21660": settings(_SENDER),
        "21661": settings(_SENDER),
        "21701": settings("there is no such Twilio Messaging Service"),
        "21703": settings("the Twilio Messaging Service has no sender"),
        "21704": settings("the Twilio Messaging Service has no sender"),
        "21609": settings("Twilio can't use the address in status_callback"),
        # The settings again, but only for some numbers: another gateway may reach them, and this one others.
        "21408": settings("the Twilio account may not send to that country", of_message=True),
        "21608": settings("a Twilio trial account sends to verified numbers only", of_message=True),
        # This number. E.164 reaches Twilio, so what it can't read exists nowhere; a fixed line gets no SMS.
        "21211": _NOBODY,
        "21614": Verdict(Permanent, "the number is not a mobile telephone's", address_dead=True),
        "21635": Verdict(Permanent, "the number is a fixed line's", address_dead=True),
        "30005": _NOBODY,
        # The number lives: its owner wants nothing of this sender, or this sender can't reach it.
        "30006": Verdict(Permanent, "the number is a fixed line's, or this sender can't reach its operator"),
        "21610": Verdict(Permanent, "the person has sent STOP to this sender"),
        "21612": Verdict(Permanent, "Twilio can't reach this number from this sender"),
        "30003": Verdict(Permanent, "the telephone can't be reached"),
        "30004": Verdict(Permanent, "the operator or the person blocks this message"),
        "30007": Verdict(Permanent, "the operator filters this message"),
        # The text is the same at every try.
        "21617": Verdict(Permanent, "the text is longer than Twilio takes (1,600 characters)"),
        "21602": Verdict(Permanent, "there is no text", settings_fault=True),
        "21604": _DEFECT,
        "20001": _DEFECT,
        "20422": _DEFECT,
        "21624": _DEFECT,
        "90007": _DEFECT,
        # Not taken, Twilio itself says so.
        "20429": Verdict(Transient, "Twilio asks to slow down"),
        "21611": Verdict(Transient, "this sender's queue at Twilio is full"),
        "30001": Verdict(Transient, "this sender's queue at Twilio is full"),
        "20503": Verdict(Transient, "Twilio takes nothing at present"),
        # Something broke, before or after Twilio took the message: nobody can tell.
        "20500": Verdict(Unknown, "something broke at Twilio"),
        "30008": Verdict(Unknown, "Twilio does not know what went wrong"),
    }
)
"""Twilio's error codes. One that is not here is judged by its HTTP status, and logged as new."""


class _Error(BaseModel):
    code: int
    message: str = ""


def refusal(response: httpx.Response) -> PublishError:
    """The error that a reply other than a success means: by Twilio's code, else by its HTTP status."""
    try:
        said = _Error.model_validate_json(response.content)
    except ValidationError:
        return unreadable(response, "Twilio")
    return told(CODES, str(said.code), said.message, response)
