"""A mail server's codes, and what they mean for one message."""

import pytest
import structlog.testing

from publishers import smtp_replies
from publishers.base import Permanent, Transient, Untried
from publishers.smtp_replies import BASIC, ENHANCED, SmtpSettingsError, accepted, refusal

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
    monkeypatch.setattr(smtp_replies, "_seen_new", set())
    with structlog.testing.capture_logs() as logs:
        assert type(refusal(499, "hm", "RCPT")) is Transient
        assert type(refusal(499, "hm", "RCPT")) is Transient
        assert type(refusal(550, "5.9.9 hm", "RCPT")) is Permanent
        assert type(refusal(550, "5.1.1 known", "RCPT")) is Permanent
    assert [entry["code"] for entry in logs] == ["499", "550 5.9.9"]


def test_every_row_has_words_and_only_a_permanent_kind_kills_an_address() -> None:
    assert all(meaning.reason for meaning in (*ENHANCED.values(), *BASIC.values()))
    assert not any(meaning.address_dead or meaning.settings for code, meaning in BASIC.items() if code < 500)
    assert {row for row, meaning in ENHANCED.items() if meaning.address_dead} == {
        "1.1", "1.2", "1.3", "1.6", "1.10", "2.1",
    }  # fmt: skip


def test_words_of_the_server_are_kept_on_one_line_and_short() -> None:
    error = refusal(550, "5.7.1 " + "x\n" * 1000, "RCPT")
    assert "\n" not in str(error)
    assert len(str(error)) < 500


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("2.0.0 Ok: queued as 4XyZ12", "4XyZ12"),  # Postfix
        ("OK id=1rABcd-0003X1-5b", "1rABcd-0003X1-5b"),  # Exim
        ("2.0.0 Ok", None),
    ],
)
def test_receipt_carries_the_queue_id(text: str, reference: str | None) -> None:
    receipt = accepted(250, text)
    assert (receipt.reference, receipt.code) == (reference, "250")
