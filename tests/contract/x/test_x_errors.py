"""What X says when it does not take something: each entry of the table, and what is in none."""

from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from publishers.base import (
    Permanent,
    Transient,
    Unknown,
)
from publishers.x.channel import X
from tests.contract.fault_server import Reply
from tests.contract.suite import (
    outcome,
)
from tests.contract.x.peers import (
    ACCOUNT,
    CLIENT_FORBIDDEN,
    CREDITS,
    INVALID,
    PROBLEMS,
    REPLY_GONE,
    SUBSET,
    TOKEN,
    TOO_LONG,
    OverFaults,
    numbered,
    problem,
)

pytestmark = pytest.mark.contract

USAGE_CAPPED = {
    "account_id": 96001,
    "product_name": "standard-basic",
    "title": "UsageCapExceeded",
    "period": "Monthly",
    "scope": "Product",
    "detail": "Usage cap exceeded: Monthly product cap",
    "type": f"{PROBLEMS}/usage-capped",
}
OAUTH1 = {
    "title": "Forbidden",
    "status": 403,
    "detail": "Your client app is not configured with the appropriate oauth1 app permissions for this endpoint.",
    "type": f"{PROBLEMS}/oauth1-permissions",
}
APPLICATION_ONLY = {
    "title": "Unsupported Authentication",
    "detail": "Authenticating with OAuth 2.0 Application-Only is forbidden for this endpoint.",
    "type": f"{PROBLEMS}/unsupported-authentication",
    "status": 403,
}
SUSPENDED = "Your account is suspended and is not permitted to access this feature."
LOCKED = (
    "To protect our users from spam and other malicious activity, this account is temporarily locked. Please log in to "
    "https://twitter.com to unlock your account."
)


@pytest.mark.parametrize(
    ("reply", "expected", "code"),
    [
        (problem(400, TOO_LONG, "Bad Request"), Permanent, "too_long"),
        (numbered(403, 186, "Tweet needs to be a bit shorter."), Permanent, "too_long"),
        (INVALID, Permanent, "invalid"),
        (problem(400, "its own words", "Bad Request"), Permanent, "invalid"),
        (numbered(403, 385, REPLY_GONE), Permanent, "gone"),
        (problem(403, REPLY_GONE), Permanent, "gone"),
        (numbered(403, 183), Permanent, "fixed"),
        (numbered(404, 34), Permanent, "gone"),
        (numbered(404, 144), Permanent, "gone"),
        (problem(404, "Not Found", "Not Found"), Permanent, "gone"),
        (problem(400, "Your media IDs are invalid.", "Bad Request"), Transient, "media_refused"),
        (Reply(429, USAGE_CAPPED), Transient, "usage_cap"),
        (numbered(403, 185, "User is over daily status update limit."), Transient, "daily_limit"),
        (numbered(403, 226, "This request looks like it might be automated."), Transient, "looks_automated"),
        (problem(429, "Too Many Requests", "Too Many Requests"), Transient, "rate_limit"),
        (numbered(429, 88, "Rate limit exceeded"), Transient, "rate_limit"),
        (problem(503, "Service Unavailable", "Service Unavailable"), Transient, "overloaded"),
        (numbered(503, 130, "Over capacity"), Transient, "overloaded"),
        (Reply(503, b"<html>Over capacity</html>"), Transient, "overloaded"),
        (numbered(403, 63, "User has been suspended."), Transient, "suspended"),
        (numbered(403, 64, SUSPENDED), Transient, "suspended"),
        (problem(403, SUSPENDED), Transient, "suspended"),
        (numbered(403, 326, LOCKED), Transient, "locked"),
        (problem(403, LOCKED), Transient, "locked"),
        (numbered(401, 135, "Timestamp out of bounds."), Transient, "clock"),
        (Reply(403, OAUTH1), Transient, "permissions"),
        (numbered(403, 261, "Application cannot perform write actions."), Transient, "permissions"),
        (Reply(403, CLIENT_FORBIDDEN), Transient, "no_project"),
        (numbered(403, 453, SUBSET), Transient, "access_level"),
        (Reply(403, APPLICATION_ONLY), Transient, "no_user"),
        (Reply(402, CREDITS), Transient, "credits"),
        (
            Reply(403, CREDITS | {"title": "SpendCapReached", "detail": "…its billing cycle spend cap."}),
            Transient,
            "credits",
        ),
        (problem(401, "Unauthorized", "Unauthorized"), Transient, "unauthorized"),
        (numbered(401, 32, "Could not authenticate you."), Transient, "unauthorized"),
        (numbered(401, 89, "Invalid or expired token."), Transient, "unauthorized"),
        (numbered(400, 215, "Bad Authentication data."), Transient, "unauthorized"),
        (problem(403, "You are not permitted to perform this action."), Transient, "forbidden"),
        (problem(500, "Internal Server Error", "Internal Server Error"), Unknown, "internal"),
        (numbered(500, 131, "Internal error"), Unknown, "internal"),
    ],
)
async def test_each_thing_that_x_says_means_what_the_table_says(
    peer: OverFaults, publisher: X, reply: Reply, expected: type, code: str
) -> None:
    peer.server.next.append(reply)
    with capture_logs() as logs:
        error = await outcome(publisher, peer.message())
    assert (type(error), error.code) == (expected, code)
    assert not [line for line in logs if line["event"] == "x.new_error_code"]
    if isinstance(reply.content, dict) and "detail" in reply.content:
        assert reply.content["detail"] in error.reason, "its own words are kept"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (numbered(403, 999, "something new"), Transient),
        (numbered(422, 998, "something new"), Permanent),
        (numbered(504, 997, "something new"), Unknown),
        (Reply(302, b"", {"Location": "https://x.com/elsewhere"}), Transient),
    ],
)
async def test_what_x_never_said_before_is_judged_by_its_class_and_told(
    peer: OverFaults, publisher: X, reply: Reply, expected: type
) -> None:
    peer.server.next.append(reply)
    with capture_logs() as logs:
        error = await outcome(publisher, peer.message())
    assert (type(error), error.code) == (expected, str(reply.status))
    [line] = [line for line in logs if line["event"] == "x.new_error_code"]
    assert (line["account"], line["code"], line["log_level"]) == (ACCOUNT, str(reply.status), "error")


async def test_text_that_is_too_long_is_told_so_even_where_x_says_nothing(peer: OverFaults, publisher: X) -> None:
    peer.server.next.append(problem(403, "You are not permitted to perform this action."))
    with capture_logs():
        error = await outcome(publisher, peer.message("日" * 141))
    assert (type(error), error.code) == (Permanent, "too_long")


async def test_used_up_plan_waits_for_the_next_month(peer: OverFaults, publisher: X) -> None:
    peer.server.next.append(Reply(429, USAGE_CAPPED))
    error = await outcome(publisher, peer.message())
    assert isinstance(error, Transient) and error.retry_after is not None
    back = datetime.now(UTC) + timedelta(seconds=error.retry_after)
    assert back.day == 1 or (back + timedelta(seconds=2)).day == 1


async def test_refused_keys_are_told_loudly_and_not_written(peer: OverFaults) -> None:
    publisher = peer.open(token="1-a-token-to-keep")
    with capture_logs() as logs:
        error = await outcome(publisher, peer.message())
    [line] = [line for line in logs if line["event"] == "x.settings_fault"]
    assert (line["account"], line["code"], line["log_level"]) == (ACCOUNT, "unauthorized", "error")
    assert "to-keep" not in repr(logs) + repr(error) + repr(publisher) + repr(vars(publisher))
    await publisher.aclose()


async def test_keys_are_in_no_debug_log(peer: OverFaults, publisher: X, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    await publisher.publish(peer.message())
    assert TOKEN not in caplog.text and "oauth_signature" not in caplog.text
