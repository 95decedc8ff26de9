import json
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from publishers.base import Permanent, Transient, Unknown
from publishers.facebook.errors import CODES, SUBCODES, pause_asked, refusal, rest_needed

pytestmark = pytest.mark.unit


def reply(code: int, subcode: int | None = None, status: int = 400, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    error = {"message": "its own words", "type": "OAuthException", "code": code, "fbtrace_id": "A1", **more}
    if subcode is not None:
        error["error_subcode"] = subcode
    return httpx.Response(status, json={"error": error}, headers=headers)


WAITS = [4, 17, 32, 613, 80001, 341, 2]
MENDED = [3, 10, 102, 190, 2500, 368, *range(200, 300)]
REFUSED = [100, 506, 1500, 1609005, 324]
TOKEN = [458, 459, 460, 463, 464, 467, 492]
OWNER = [33, 1404078, 4854002]
CONTENT = [1346003, 1404102, 1366046, 1366051, 1366055, 2069019, 1609005, 1609008, 2061006]


def test_every_code_of_the_tables_is_tested_here() -> None:
    assert {*WAITS, *MENDED, *REFUSED, 1} - set(range(200, 300)) == set(CODES)
    assert {*TOKEN, *OWNER, *CONTENT, 1390008} == set(SUBCODES)


@pytest.mark.parametrize("code", WAITS)
def test_what_passes_by_itself_is_tried_again_and_blames_nobody(code: int) -> None:
    with capture_logs() as logs:
        error = refusal(reply(code), "valmerande")
    assert (type(error), error.code, logs) == (Transient, str(code), [])
    assert "its own words" in error.reason


@pytest.mark.parametrize("code", [4, 17, 32, 613, 80001, 341])
def test_quota_waits_some_minutes_when_nothing_says_how_long(code: int) -> None:
    error = refusal(reply(code), "valmerande")
    assert isinstance(error, Transient) and error.retry_after == 300


@pytest.mark.parametrize("code", MENDED)
def test_what_somebody_must_mend_waits_and_is_told_loudly(code: int) -> None:
    with capture_logs() as logs:
        error = refusal(reply(code), "valmerande")
    assert (type(error), error.code) == (Transient, str(code))
    [line] = logs
    assert (line["event"], line["account"], line["log_level"]) == ("facebook.settings_fault", "valmerande", "error")


@pytest.mark.parametrize("code", [190, 102])
@pytest.mark.parametrize("subcode", TOKEN)
def test_refused_token_says_what_mends_it(code: int, subcode: int) -> None:
    with capture_logs() as logs:
        error = refusal(reply(code, subcode), "valmerande")
    assert (type(error), error.code) == (Transient, f"{code}/{subcode}")
    assert error.reason.startswith(SUBCODES[subcode].reason) and logs[0]["event"] == "facebook.settings_fault"


@pytest.mark.parametrize("subcode", OWNER)
def test_what_the_pages_owner_must_do_waits_for_them(subcode: int) -> None:
    with capture_logs() as logs:
        assert type(refusal(reply(100, subcode), "valmerande")) is Transient
    assert [line["event"] for line in logs] == ["facebook.settings_fault"]


@pytest.mark.parametrize("code", REFUSED)
def test_post_that_is_wrong_in_itself_is_refused_for_good(code: int) -> None:
    assert type(refusal(reply(code), "valmerande")) is Permanent


@pytest.mark.parametrize("code", [1, 100, 200, 324, 368])
@pytest.mark.parametrize("subcode", CONTENT)
def test_content_that_facebook_refuses_is_refused_for_good_under_any_code(code: int, subcode: int) -> None:
    error = refusal(reply(code, subcode, is_transient=False), "valmerande")
    assert (type(error), error.code) == (Permanent, f"{code}/{subcode}")


def test_failure_without_a_place_is_unknown_even_when_called_transient() -> None:
    assert type(refusal(reply(1, status=500, is_transient=True), "valmerande")) is Unknown


def test_posting_too_fast_and_being_blocked_wait_an_hour() -> None:
    for subcode in (1390008, None):
        error = refusal(reply(368, subcode), "valmerande")
        assert isinstance(error, Transient) and error.retry_after == 3600


def test_proof_that_the_app_demands_is_a_matter_of_settings() -> None:
    with capture_logs() as logs:
        said = "API calls from the server require an appsecret_proof argument"
        error = refusal(reply(100, message=said), "valmerande")
    assert type(error) is Transient and "app_secret" in error.reason and logs


@pytest.mark.parametrize(
    ("status", "transient", "expected"),
    [
        (400, False, Permanent),
        (400, True, Transient),
        (500, True, Transient),
        (500, False, Unknown),
        (403, False, Transient),
    ],
)
def test_new_code_is_judged_by_its_class_and_logged(status: int, transient: bool, expected: type) -> None:
    with capture_logs() as logs:
        error = refusal(reply(987654, 12, status, is_transient=transient), "valmerande")
    assert (type(error), error.code) == (expected, "987654/12")
    assert logs[0]["event"] == "facebook.new_error_code" and logs[0]["log_level"] == "error"


@pytest.mark.parametrize(("status", "expected"), [(503, Transient), (502, Unknown), (413, Permanent), (401, Transient)])
def test_answer_that_is_not_facebooks_is_judged_by_its_status(status: int, expected: type) -> None:
    with capture_logs() as logs:
        error = refusal(httpx.Response(status, text="<h1>Proxy</h1>"), "valmerande")
    assert type(error) is expected and logs[0]["event"] == "facebook.unreadable_error"


def test_words_for_the_user_go_before_those_for_developers() -> None:
    assert "This is a duplicate" in refusal(reply(506, error_user_msg="This is a duplicate"), "valmerande").reason


def business(*uses: dict[str, Any]) -> dict[str, str]:
    return {"x-business-use-case-usage": json.dumps({"96001": list(uses)})}


USE = {"type": "pages", "call_count": 42, "total_cputime": 25, "total_time": 25}
SPENT = {"call_count": 100, "total_cputime": 1, "total_time": 1}


@pytest.mark.parametrize(
    ("headers", "asked", "rest"),
    [
        ({}, None, None),
        (business(USE | {"estimated_time_to_regain_access": 0}), None, None),
        (business(USE | {"estimated_time_to_regain_access": 7}), 420, None),
        (business(SPENT | {"estimated_time_to_regain_access": 7}), 420, 420),
        (business(USE, SPENT), None, 300),
        ({"x-app-usage": json.dumps(SPENT)}, None, 300),
        ({"x-page-usage": json.dumps({"total_time": 117})}, None, 300),
        ({"x-app-usage": json.dumps(USE)}, None, None),
        ({"retry-after": "9"}, 9, None),
        ({"x-app-usage": "soon", "x-page-usage": "[]", "x-business-use-case-usage": '{"1": ["x"]}'}, None, None),
        ({"x-app-usage": '{"call_count": "100"}', "x-page-usage": '{"call_count": null}'}, None, None),
    ],
)
def test_headers_say_how_long_to_wait_and_when_a_quota_is_used_up(
    headers: dict[str, str], asked: float | None, rest: float | None
) -> None:
    assert (pause_asked(headers), rest_needed(headers)) == (asked, rest)


def test_throttled_post_waits_as_long_as_the_headers_ask() -> None:
    use = business(SPENT | {"estimated_time_to_regain_access": 3})
    error = refusal(reply(32, headers=use), "valmerande")
    assert isinstance(error, Transient) and error.retry_after == 180
