"""What the answers of an SMSC mean: command_status (SMPP 3.4, 5.1.3), and what somebody can do about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import structlog
from smpplib import consts

from publishers.base import Permanent, PublishError, Transient
from publishers.verdicts import error_of

log = structlog.get_logger(__name__)

OK = consts.SMPP_ESME_ROK
THROTTLED = frozenset({consts.SMPP_ESME_RTHROTTLED, consts.SMPP_ESME_RMSGQFUL})
"""Too much at once: the window shrinks."""

_NAMES = {value: name.removeprefix("SMPP_") for name, value in vars(consts).items() if name.startswith("SMPP_ESME_R")}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a command_status means.

    ``mend`` says what somebody of ours must do: a fault of the settings. ``of_message``: a Transient that says
    nothing of the SMSC's health, because it is about this number, this text or this sender.
    """

    error: type[Transient] | type[Permanent]
    reason: str
    mend: str | None = None
    of_message: bool = False

    def error_of(self, code: str, pause: float | None = None) -> PublishError:
        """The error to tell; ``pause`` in seconds where waiting helps."""
        return error_of(self.error, self.reason, code, pause)


_PASSWORD = "Check system_id, password and system_type, and that the operator allows this machine's address."
_TON = "Check source_ton, source_npi, destination_ton and destination_npi against the operator's paper."
_OPTIONAL = "Switch off message_reference and key_tag, or choose the other way of long_messages."
_DEFECT = Verdict(Permanent, "the SMSC can't read the request", mend="Report this as a defect of Tambour.")
_SETTINGS = Verdict(Transient, "the SMSC refuses the account", mend=_PASSWORD)
_ADDRESSING = Verdict(Transient, "the SMSC takes no address written this way", mend=_TON)
_PARAMETERS = Verdict(Transient, "the SMSC takes no optional parameter of ours", mend=_OPTIONAL)
_UNUSED = Verdict(
    Permanent, "the SMSC answers about something we never ask", mend="Report this as a defect of Tambour."
)

STATUSES: Mapping[int, Verdict] = MappingProxyType(
    {
        # A number that exists nowhere, but also a network that the account has no route to (docs.smsportal.com,
        # "SMPP usage"): the address must not be given up for what may be the account's fault.
        consts.SMPP_ESME_RINVDSTADR: Verdict(
            Permanent, "the SMSC has no way to that number: it does not exist, or the account may not write to it"
        ),
        # The text is the same at every try.
        consts.SMPP_ESME_RINVMSGLEN: Verdict(Permanent, "the text is longer than the SMSC takes"),
        # This message to this number, for the SMSC's own reasons (a list of refusals, content). The number lives.
        consts.SMPP_ESME_RX_P_APPN: Verdict(Permanent, "the SMSC refuses this message for good"),
        consts.SMPP_ESME_RX_R_APPN: Verdict(Permanent, "the SMSC rejects this message"),
        # Not taken, the SMSC itself says so: worth another try.
        consts.SMPP_ESME_RTHROTTLED: Verdict(Transient, "the SMSC asks to slow down"),
        consts.SMPP_ESME_RMSGQFUL: Verdict(Transient, "the SMSC's queue is full"),
        consts.SMPP_ESME_RSYSERR: Verdict(Transient, "something broke at the SMSC"),
        consts.SMPP_ESME_RX_T_APPN: Verdict(Transient, "the SMSC can't take this message now", of_message=True),
        consts.SMPP_ESME_RUNKNOWNERR: Verdict(Transient, "the SMSC refuses and does not say why"),
        # Vendors use it for everything from an empty account to a route that is down: tried again, a few times.
        consts.SMPP_ESME_RSUBMITFAIL: Verdict(Transient, "the SMSC could not take the message"),
        consts.SMPP_ESME_RDELIVERYFAILURE: Verdict(Transient, "the SMSC could not pass the message on"),
        # The account, not the message: messages wait while somebody mends it, and expire when their time is over.
        consts.SMPP_ESME_RBINDFAIL: _SETTINGS,
        consts.SMPP_ESME_RINVPASWD: _SETTINGS,
        consts.SMPP_ESME_RINVSYSID: _SETTINGS,
        consts.SMPP_ESME_RINVSYSTYP: _SETTINGS,
        consts.SMPP_ESME_RALYBND: Verdict(
            Transient,
            "the SMSC allows no further connection of this account",
            mend="Ask the operator for as many binds as there are delivery workers, and one receiver.",
        ),
        consts.SMPP_ESME_RINVBNDSTS: Verdict(
            Transient,
            "the account may not do this",
            mend="Ask the operator to allow a transmitter and a receiver bind.",
        ),
        consts.SMPP_ESME_RINVSRCADR: Verdict(
            Transient,
            "the SMSC does not allow the sender",
            mend="Have the operator allow this sender.",
            of_message=True,
        ),
        consts.SMPP_ESME_RINVSERTYP: Verdict(
            Transient, "the SMSC wants another service type", mend="Set service_type as the operator says."
        ),
        consts.SMPP_ESME_RINVSRCTON: _ADDRESSING,
        consts.SMPP_ESME_RINVSRCNPI: _ADDRESSING,
        consts.SMPP_ESME_RINVDSTTON: _ADDRESSING,
        consts.SMPP_ESME_RINVDSTNPI: _ADDRESSING,
        consts.SMPP_ESME_RINVEXPIRY: Verdict(
            Transient, "the SMSC can't read until when the message is good", mend="Choose the other validity format."
        ),
        consts.SMPP_ESME_RINVREGDLVFLG: Verdict(
            Transient, "the SMSC gives no such receipts", mend="Choose another registered_delivery."
        ),
        consts.SMPP_ESME_RINVESMCLASS: Verdict(
            Transient, "the SMSC takes no parts of long messages", mend='Set long_messages to "payload".'
        ),
        consts.SMPP_ESME_RINVOPTPARSTREAM: _PARAMETERS,
        consts.SMPP_ESME_ROPTPARNOTALLWD: _PARAMETERS,
        consts.SMPP_ESME_RINVPARLEN: _PARAMETERS,
        consts.SMPP_ESME_RINVOPTPARAMVAL: _PARAMETERS,
        consts.SMPP_ESME_RMISSINGOPTPARAM: Verdict(
            Transient, "the SMSC wants an optional parameter of its own", mend="Ask the operator which one it needs."
        ),
        # Our request is wrong and will be at every try: to be seen rather than repeated.
        consts.SMPP_ESME_RINVCMDLEN: _DEFECT,
        consts.SMPP_ESME_RINVCMDID: _DEFECT,
        consts.SMPP_ESME_RINVPRTFLG: _DEFECT,
        consts.SMPP_ESME_RINVSCHED: _DEFECT,
        consts.SMPP_ESME_RINVREPFLAG: _DEFECT,
        consts.SMPP_ESME_RINVDFTMSGID: _DEFECT,
        # Of query_sm alone.
        consts.SMPP_ESME_RINVMSGID: Verdict(Permanent, "the SMSC knows no such message"),
        consts.SMPP_ESME_RQUERYFAIL: Verdict(Transient, "the SMSC can't say what became of the message"),
        # Of cancel_sm, replace_sm and submit_multi.
        consts.SMPP_ESME_RCANCELFAIL: _UNUSED,
        consts.SMPP_ESME_RREPLACEFAIL: _UNUSED,
        consts.SMPP_ESME_RINVNUMDESTS: _UNUSED,
        consts.SMPP_ESME_RINVDLNAME: _UNUSED,
        consts.SMPP_ESME_RINVDESTFLAG: _UNUSED,
        consts.SMPP_ESME_RINVSUBREP: _UNUSED,
        consts.SMPP_ESME_RCNTSUBDL: _UNUSED,
        consts.SMPP_ESME_RINVNUMMSGS: _UNUSED,
    }
)
"""Every status that the specification lists. One that is not here is judged by its range, and logged as new."""


def name_of(status: int) -> str:
    """``ESME_RTHROTTLED``, or ``0x00000407`` for a vendor's own."""
    return str(_NAMES.get(status, f"0x{status:08X}"))


OF_MESSAGE = frozenset(name_of(status) for status, verdict in STATUSES.items() if verdict.of_message)
"""The codes that say nothing of the SMSC's health."""


def verdict_of(status: int) -> Verdict:
    """What a status means, in the table or not. Logs new ones, and faults of the settings."""
    verdict = STATUSES.get(status)
    if verdict is None:
        log.error("smpp.new_error_code", code=name_of(status))
        return _by_range(status)
    if verdict.mend:
        log.error("smpp.settings_fault", code=name_of(status), message=verdict.reason, mend=verdict.mend)
    return verdict


def _by_range(status: int) -> Verdict:
    """5.1.3: up to 0x63 and from 0xC0 to 0xC4 the request's own fields are blamed; from 0x400 it is the vendor's.

    A refusal is at least the SMSC's word that it has not taken the message, so trying again repeats nothing.
    """
    if status < 0x64 or 0xC0 <= status < 0xFE:
        return Verdict(Permanent, f"the SMSC refuses the request ({name_of(status)})")
    return Verdict(Transient, f"the SMSC refuses with a code of its own ({name_of(status)})")
