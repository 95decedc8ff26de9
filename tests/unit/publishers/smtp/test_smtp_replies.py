"""A mail server's codes, and what they mean for one message."""

import pytest
import structlog.testing

from publishers.base import Permanent, Transient, Untried
from publishers.smtp import replies
from publishers.smtp.replies import BASIC, ENHANCED, SmtpSettingsError, accepted, refusal

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("code", "text", "kind", "short", "dead"),
    [
        (550, "5.1.1 no such user", Permanent, "550 5.1.1", True),
        (550, "5.1.10 null MX", Permanent, "550 5.1.10", True),
        (556, "domain takes no mail", Permanent, "556", True),
        (550, "user unknown", Permanent, "550", False),
        (552, "5.2.2 mailbox full", Permanent, "552 5.2.2", False),
        (554, "5.7.1 rejected", Permanent, "554 5.7.1", False),
        (450, "4.1.1 unverified", Transient, "450 4.1.1", False),
        (451, "greylisted", Transient, "451", False),
        (450, "5.1.1 a class that contradicts the code", Transient, "450 5.1.1", False),
    ],
)
def test_first_digit_decides_and_the_enhanced_code_explains(
    code: int, text: str, kind: type[Transient | Permanent], short: str, dead: bool
) -> None:
    error = refusal(code, text, "RCPT")
    assert type(error) is kind
    assert error.code == short
    assert getattr(error, "address_dead", False) is dead
    assert text in error.reason


def test_refusal_of_our_sender_says_nothing_about_the_recipient() -> None:
    error = refusal(550, "5.1.1 sender unknown", "MAIL")
    assert isinstance(error, Permanent)
    assert not error.address_dead


@pytest.mark.parametrize(
    ("code", "text"),
    [(530, "5.7.0 Must issue a STARTTLS command first"), (535, "bad password"), (554, "5.7.8 credentials")],
)
def test_refusal_of_ourselves_is_a_fault_of_the_settings(code: int, text: str) -> None:
    assert isinstance(refusal(code, text, "MAIL"), SmtpSettingsError)


def test_421_hands_nothing_over_except_after_the_content() -> None:
    assert type(refusal(421, "4.3.2 closing", "RCPT")) is Untried
    assert type(refusal(421, "4.7.0 slow down", "CONTENT")) is Transient


def test_unlisted_code_falls_to_its_class_and_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "_seen_new", set())
    with structlog.testing.capture_logs() as logs:
        assert type(refusal(499, "hm", "RCPT")) is Transient
        assert type(refusal(499, "hm", "RCPT")) is Transient
        assert type(refusal(550, "5.9.9 hm", "RCPT")) is Permanent
        assert type(refusal(550, "5.1.1 known", "RCPT")) is Permanent
    assert [(entry["event"], entry["log_level"], entry["code"]) for entry in logs] == [
        ("email.new_error_code", "error", "499"),
        ("email.new_error_code", "error", "550 5.9.9"),
    ]


DEAD = {"1.1", "1.2", "1.3", "1.6", "1.10", "7.17", "7.18"}
"""What a 5.x.y of these says of the address itself, at RCPT or later. A closed or full mailbox (2.1, 2.2) may open."""
OURS = {"7.8", "7.9", "7.10", "7.11", "7.12"}
"""What a 5.x.y of these says of our own settings."""


@pytest.mark.parametrize("detail", ENHANCED)
def test_every_enhanced_code_as_a_temporary_refusal_is_tried_again(detail: str) -> None:
    error = refusal(450, f"4.{detail} words of the server", "RCPT")
    assert type(error) is Transient
    assert (error.code, error.retry_after) == (f"450 4.{detail}", None)
    assert error.reason == f"{ENHANCED[detail].reason}; the server said: 4.{detail} words of the server"


@pytest.mark.parametrize("detail", ENHANCED)
def test_every_enhanced_code_as_a_lasting_refusal_is_for_good_or_for_us_to_mend(detail: str) -> None:
    error = refusal(550, f"5.{detail} words of the server", "RCPT")
    assert error.code == f"550 5.{detail}" and error.reason.startswith(ENHANCED[detail].reason)
    if detail in OURS:
        assert type(error) is SmtpSettingsError
    else:
        assert type(error) is Permanent
        assert error.address_dead is (detail in DEAD)
        assert refusal(550, f"5.{detail}", "MAIL") == Permanent(
            f"{ENHANCED[detail].reason}; the server said: 5.{detail}", code=f"550 5.{detail}"
        )


@pytest.mark.parametrize("code", BASIC)
def test_every_reply_code_is_judged_by_its_class_unless_it_is_about_us(code: int) -> None:
    error = refusal(code, "words of the server", "RCPT")
    assert error.code == str(code) and error.reason == f"{BASIC[code].reason}; the server said: words of the server"
    if code in (432, 525, 530, 534, 535, 538):
        assert type(error) is SmtpSettingsError
    elif code == 421:
        assert type(error) is Untried
    elif code < 500:
        assert type(error) is Transient
    else:
        assert type(error) is Permanent
        assert error.address_dead is (code == 556)


def test_every_row_has_words() -> None:
    assert all(meaning.reason for meaning in (*ENHANCED.values(), *BASIC.values()))


def test_pause_that_the_server_asks_for_is_kept() -> None:
    error = refusal(450, "4.7.1 Greylisted, come back in 5 minutes", "RCPT")
    assert isinstance(error, Transient) and error.retry_after == 300


def test_words_of_the_server_are_kept_on_one_line_and_short() -> None:
    error = refusal(550, "5.7.1 " + "x\n" * 1000, "RCPT")
    assert "\n" not in str(error)
    assert len(str(error)) < 500


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("2.0.0 Ok: queued as 4XyZ12", "4XyZ12"),  # Postfix
        ("OK id=1rABcd-0003X1-5b", "1rABcd-0003X1-5b"),  # Exim
        ("2.0.0 Accepted as 17", "17"),  # the sandbox
        ("2.6.0 <a@v.example> [InternalId=8435, Hostname=x.example] Queued mail for delivery", "8435"),  # Exchange
        ("ok 1700000000 qp 12345", "12345"),  # qmail
        ("2.0.0 4AB1C2d3012345 Message accepted for delivery", "4AB1C2d3012345"),  # Sendmail
        ("2.0.0 1a2b3c4d Message accepted for delivery", "1a2b3c4d"),  # OpenSMTPD
        ("2.0.0 OK  1700000000 ffacd0b85a97d-38259f0e1aasi123.456 - gsmtp", "ffacd0b85a97d-38259f0e1aasi123.456"),
        ("Ok 0100019372abcdef-1234-000000", "0100019372abcdef-1234-000000"),  # Amazon SES
        ("2.0.0 Ok", None),
        ("Ok, thank you", None),
        ("", None),
    ],
)
def test_receipt_carries_the_queue_id(text: str, reference: str | None) -> None:
    receipt = accepted(250, text)
    assert (receipt.reference, receipt.code) == (reference, "250")
