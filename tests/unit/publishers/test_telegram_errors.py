import httpx
import pytest
from structlog.testing import capture_logs

from publishers.base import Permanent, PublishError, Transient, Unknown
from publishers.telegram.errors import VERDICTS, refusal

pytestmark = pytest.mark.unit


def refused(status: int, description: str, **parameters: int) -> PublishError:
    body = {"ok": False, "error_code": status, "description": description, "parameters": parameters}
    return refusal(httpx.Response(status, json=body), "valmerande")


SETTINGS = [
    (400, "Bad Request: group chat was upgraded to a supergroup chat", "migrated"),
    (400, "Bad Request: chat not found", "chat_not_found"),
    (400, "Bad Request: chat_id is empty", "chat_not_found"),
    (400, "Bad Request: PEER_ID_INVALID", "chat_not_found"),
    (400, "Bad Request: group chat was deactivated", "chat_closed"),
    (400, "Bad Request: TOPIC_CLOSED", "chat_closed"),
    (400, "Bad Request: CHAT_RESTRICTED", "chat_restricted"),
    (400, "Bad Request: need administrator rights in the channel chat", "no_right"),
    (400, "Bad Request: CHAT_ADMIN_REQUIRED", "no_right"),
    (400, "Bad Request: CHAT_WRITE_FORBIDDEN", "no_right"),
    (400, "Bad Request: have no rights to send a message", "no_right"),
    (400, "Bad Request: not enough rights to send photos to the chat", "no_right"),
    (400, "Bad Request: Logged out", "logged_out"),
    (401, "Unauthorized", "unauthorized"),
    (403, "Forbidden: bot was kicked from the channel chat", "kicked"),
    (403, "Forbidden: bot is not a member of the channel chat", "kicked"),
    (403, "Forbidden: bot was blocked by the user", "blocked"),
    (403, "Forbidden: user is deactivated", "blocked"),
    (403, "Forbidden: not enough rights to send text messages to the chat", "no_right"),
    (403, "Forbidden: need administrator rights in the channel chat", "no_right"),
    (404, "Not Found", "unauthorized"),
]
REFUSED = [
    (400, "Bad Request: message is not modified: specified new message content and reply markup are …", "not_modified"),
    (400, "Bad Request: message to edit not found", "gone"),
    (400, "Bad Request: message to delete not found", "gone"),
    (400, "Bad Request: MESSAGE_ID_INVALID", "gone"),
    (400, "Bad Request: message can't be edited", "fixed"),
    (400, "Bad Request: message can't be deleted", "fixed"),
    (400, "Bad Request: message can't be deleted for everyone", "fixed"),
    (400, "Bad Request: message is too long", "too_long"),
    (400, "Bad Request: message caption is too long", "too_long"),
    (400, "Bad Request: MEDIA_CAPTION_TOO_LONG", "too_long"),
    (400, "Bad Request: message text is empty", "empty"),
    (400, "Bad Request: text must be non-empty", "empty"),
    (400, "Bad Request: can't parse entities: Can't find end of the entity starting at byte offset 8", "entities"),
    (400, "Bad Request: can't parse reply parameters JSON object", "defect"),
    (400, "Bad Request: message to be replied not found", "no_reply"),
    (400, "Bad Request: message to reply not found", "no_reply"),
    (400, "Bad Request: reply message not found", "no_reply"),
    (400, "Bad Request: message not found to reply", "no_reply"),
    (400, "Bad Request: PHOTO_INVALID_DIMENSIONS", "picture"),
    (400, "Bad Request: PHOTO_SAVE_FILE_INVALID", "picture"),
    (400, "Bad Request: IMAGE_PROCESS_FAILED", "picture"),
    (400, "Bad Request: wrong file identifier/HTTP URL specified", "picture"),
    (400, "Bad Request: file must be non-empty", "picture"),
    (400, "Bad Request: file is too big", "picture"),
    (400, "Bad Request: MEDIA_INVALID", "picture"),
    (400, "Bad Request: can't use the media of the specified type in the album", "picture"),
    (400, "Bad Request: WEBPAGE_CURL_FAILED", "link"),
    (413, "Request Entity Too Large", "too_large"),
]
PASSES = [
    (
        409,
        "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
        "conflict",
    ),
    (429, "Too Many Requests: retry after 7", "too_many"),
    (420, "FLOOD_WAIT_7", "too_many"),
]


def test_every_entry_of_the_table_is_tested_here() -> None:
    met = set()
    for status, description, _ in SETTINGS + REFUSED + PASSES:
        met.add(next(each for each in VERDICTS if each.status == status and each.words in description.lower()))
    assert met == set(VERDICTS)


@pytest.mark.parametrize(("status", "description", "code"), SETTINGS)
def test_what_somebody_must_mend_waits_and_is_told_loudly(status: int, description: str, code: str) -> None:
    with capture_logs() as logs:
        error = refused(status, description)
    assert (type(error), error.code) == (Transient, code)
    assert description in error.reason
    [line] = logs
    assert (line["event"], line["account"], line["log_level"]) == ("telegram.settings_fault", "valmerande", "error")


@pytest.mark.parametrize(("status", "description", "code"), REFUSED)
def test_message_that_is_wrong_in_itself_is_refused_for_good(status: int, description: str, code: str) -> None:
    with capture_logs() as logs:
        error = refused(status, description)
    assert (type(error), error.code, logs) == (Permanent, code, [])
    assert description in error.reason


@pytest.mark.parametrize(("status", "description", "code"), PASSES)
def test_what_passes_by_itself_is_tried_again_when_telegram_says(status: int, description: str, code: str) -> None:
    error = refused(status, description, retry_after=7)
    assert (type(error), error.code) == (Transient, code)
    assert isinstance(error, Transient) and error.retry_after == 7


def test_group_that_became_a_supergroup_is_told_with_its_new_number() -> None:
    with capture_logs() as logs:
        error = refused(400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=-100404)
    assert "write -100404 as the account's chat" in error.reason and "-100404" in logs[0]["message"]


@pytest.mark.parametrize(
    ("status", "expected"), [(400, Permanent), (403, Transient), (418, Permanent), (451, Permanent)]
)
def test_new_description_is_judged_by_its_class_and_logged(status: int, expected: type) -> None:
    with capture_logs() as logs:
        error = refused(status, "Bad Request: SOMETHING_NEW")
    assert (type(error), error.code) == (expected, str(status))
    assert [line["event"] for line in logs] == ["telegram.new_error_code"]


@pytest.mark.parametrize(("status", "expected"), [(500, Unknown), (502, Unknown), (503, Transient), (504, Unknown)])
def test_failure_of_the_server_may_have_taken_the_message_unless_it_says_no(status: int, expected: type) -> None:
    with capture_logs() as logs:
        error = refused(status, "Internal Server Error: restart")
    assert (type(error), error.code, logs) == (expected, str(status), [])


@pytest.mark.parametrize(("status", "expected"), [(502, Unknown), (503, Transient), (413, Permanent), (301, Transient)])
def test_answer_that_is_not_telegrams_is_judged_by_its_status(status: int, expected: type) -> None:
    with capture_logs() as logs:
        error = refusal(httpx.Response(status, text="<h1>Proxy</h1>"), "valmerande")
    assert type(error) is expected and logs[0]["event"] == "telegram.unreadable_error"
