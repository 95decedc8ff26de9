"""OVHcloud's errors: ``{"message", "httpCode", "errorCode" or "class"}`` (the keys' errors as ovh/python-ovh has
them, docs.ovhcloud.com, "First steps with the API"; the classes as the console shows them)."""

from collections.abc import Mapping
from types import MappingProxyType

import httpx
from pydantic import BaseModel, Field, ValidationError

from publishers.base import Permanent, PublishError, Transient, Unknown
from publishers.sms.gateway import told, unreadable
from publishers.verdicts import Verdict, settings

_KEYS = "OVHcloud refuses our keys"
_DEFECT = Verdict(Permanent, "OVHcloud can't read the request", settings_fault=True)

CODES: Mapping[str, Verdict] = MappingProxyType(
    {
        # The keys: somebody must make new ones, or grant the calls. Meanwhile messages wait.
        "INVALID_KEY": settings(f"{_KEYS}: there is no such application"),
        "NOT_CREDENTIAL": settings(f"{_KEYS}: there is no such consumer key"),
        "INVALID_CREDENTIAL": settings(f"{_KEYS}: the consumer key has expired"),
        "INVALID_SIGNATURE": settings(f"{_KEYS}: the application secret is wrong"),
        "NOT_GRANTED_CALL": settings("our keys lack the right to send SMS"),
        "FORBIDDEN": settings("OVHcloud does not allow our keys this call"),
        "Client::Forbidden": settings("OVHcloud does not allow our keys this call"),
        # Ours or theirs went wrong; the clock is asked for again before the next message.
        "QUERY_TIME_OUT": Verdict(Transient, "OVHcloud's clock and ours disagree"),
        # The account.
        "Client::NotFound": settings("there is no such SMS account at OVHcloud"),
        "Client::PaymentRequired": settings("the SMS account has no credit left"),
        "Client::BadRequest credit": settings("the SMS account has no credit left"),
        "Client::BadRequest sender": settings("the sender is not declared at OVHcloud, or not yet validated"),
        # This message to this number. OVHcloud's own list of STOPs ends here too, so the number may well live.
        "invalidReceivers": Verdict(Permanent, "OVHcloud sends nothing to that number: invalid, or on its STOP list"),
        "Client::BadRequest receiver": Verdict(Permanent, "OVHcloud can't read that number"),
        "Client::BadRequest message": Verdict(Permanent, "the text is longer than OVHcloud takes (6 segments)"),
        # Our request is wrong and will be at every try: a defect, to be seen rather than repeated.
        "Client::BadRequest": _DEFECT,
        "Client::MethodNotAllowed": _DEFECT,
        # Not taken, OVHcloud itself says so.
        "Client::TooManyRequests": Verdict(Transient, "OVHcloud asks to slow down"),
        "Server::ServiceUnavailable": Verdict(Transient, "OVHcloud takes nothing at present"),
        # Something broke on its side, before or after it took the message: nobody can tell.
        "Server::InternalServerError": Verdict(Unknown, "something broke at OVHcloud"),
        "Client::Conflict": Verdict(Unknown, "OVHcloud says that it has something like it already"),
    }
)
"""``errorCode``, else ``class``, of OVHcloud's errors; a bad request is told apart by the field that its message
names. One that is not here is judged by its HTTP status, and logged as new."""

_FIELDS = ("credit", "sender", "receiver", "message")


class _Error(BaseModel):
    message: str
    errorCode: str | None = None
    kind: str | None = Field(default=None, alias="class")


def refusal(response: httpx.Response) -> PublishError:
    """The error that a reply other than a success means: by OVHcloud's code, else by its HTTP status."""
    try:
        said = _Error.model_validate_json(response.content)
    except ValidationError:
        return unreadable(response, "OVHcloud")
    code = said.errorCode or said.kind or str(response.status_code)
    if code == "Client::BadRequest":
        words = said.message.lower()
        code = next((f"{code} {field}" for field in _FIELDS if field in words), code)
    return told(CODES, code, said.message, response)
