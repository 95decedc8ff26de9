import pytest
from smpplib import consts
from structlog.testing import capture_logs

from publishers.base import Permanent, Transient
from publishers.smpp.statuses import OF_MESSAGE, STATUSES, THROTTLED, name_of, verdict_of

pytestmark = pytest.mark.unit

PERMANENT = {
    "RINVDSTADR", "RINVMSGLEN", "RX_P_APPN", "RX_R_APPN", "RINVCMDLEN", "RINVCMDID", "RINVPRTFLG", "RINVSCHED",
    "RINVREPFLAG", "RINVDFTMSGID", "RINVMSGID", "RCANCELFAIL", "RREPLACEFAIL", "RINVNUMDESTS", "RINVDLNAME",
    "RINVDESTFLAG", "RINVSUBREP", "RCNTSUBDL", "RINVNUMMSGS",
}  # fmt: skip
WAITS_FOR_SOMEBODY = {
    "RBINDFAIL", "RINVPASWD", "RINVSYSID", "RINVSYSTYP", "RALYBND", "RINVBNDSTS", "RINVSRCADR", "RINVSERTYP",
    "RINVSRCTON", "RINVSRCNPI", "RINVDSTTON", "RINVDSTNPI", "RINVEXPIRY", "RINVREGDLVFLG", "RINVESMCLASS",
    "RINVOPTPARSTREAM", "ROPTPARNOTALLWD", "RINVPARLEN", "RINVOPTPARAMVAL", "RMISSINGOPTPARAM",
}  # fmt: skip
TRIED_AGAIN = {
    "RTHROTTLED", "RMSGQFUL", "RSYSERR", "RX_T_APPN", "RUNKNOWNERR", "RSUBMITFAIL", "RDELIVERYFAILURE", "RQUERYFAIL",
}  # fmt: skip


def test_every_status_of_the_specification_is_judged() -> None:
    listed = {value for name, value in vars(consts).items() if name.startswith("SMPP_ESME_R")} - {0}
    assert set(STATUSES) == listed
    assert {f"ESME_{name}" for name in PERMANENT | WAITS_FOR_SOMEBODY | TRIED_AGAIN} == set(map(name_of, listed))


@pytest.mark.parametrize("status", STATUSES, ids=name_of)
def test_status_is_told_with_its_name_and_reason(status: int) -> None:
    name = name_of(status).removeprefix("ESME_")
    with capture_logs() as logs:
        error = verdict_of(status).error_of(name_of(status), 2.0)
    assert type(error) is (Permanent if name in PERMANENT else Transient)
    assert error.code == f"ESME_{name}" and error.reason == STATUSES[status].reason
    if isinstance(error, Transient):
        assert error.retry_after == 2.0
    events = [line["event"] for line in logs]
    assert "smpp.new_error_code" not in events
    assert ("smpp.settings_fault" in events) is bool(STATUSES[status].mend)
    assert name not in WAITS_FOR_SOMEBODY or "smpp.settings_fault" in events


@pytest.mark.parametrize("status", STATUSES, ids=name_of)
def test_no_status_kills_the_address_since_each_may_be_the_accounts_fault(status: int) -> None:
    with capture_logs():
        assert not getattr(verdict_of(status).error_of(name_of(status)), "address_dead", False)


def test_only_two_say_that_it_was_too_much_and_few_say_nothing_of_the_server() -> None:
    assert {name_of(status) for status in THROTTLED} == {"ESME_RTHROTTLED", "ESME_RMSGQFUL"}
    assert {"ESME_RX_T_APPN", "ESME_RINVSRCADR"} == OF_MESSAGE


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (0x09, Permanent, "0x00000009"),
        (0xC5, Permanent, "0x000000C5"),
        (0x68, Transient, "0x00000068"),
        (0x400, Transient, "0x00000400"),
        (0x4FF, Transient, "0x000004FF"),
        (0xFFFFFFFF, Transient, "0xFFFFFFFF"),
    ],
)
def test_status_that_is_new_goes_by_its_range_and_is_logged(status: int, kind: type, code: str) -> None:
    with capture_logs() as logs:
        error = verdict_of(status).error_of(name_of(status))
    assert type(error) is kind and error.code == code
    assert [line["code"] for line in logs if line["event"] == "smpp.new_error_code"] == [code]
