"""Who asks for less, by which words; and for how long."""

import pytest

from publishers.smtp.replies import Step, asked_pause
from publishers.smtp.throttles import Asker, asks_for_less

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("code", "text", "step", "asker"),
    [
        (421, "4.3.2 Service shutting down", "MAIL", Asker.RELAY),
        (421, "4.7.0 Too many connections from 192.0.2.1", "RCPT", Asker.RELAY),
        (450, "4.7.1 Error: too much mail from 192.0.2.1", "MAIL", Asker.RELAY),  # Postfix's anvil
        (450, "Requested action not taken", "MAIL", Asker.RELAY),
        (451, "4.7.0 rate limit reached", "MAIL", Asker.RELAY),
        (450, "4.7.1 Error: too many recipients from 192.0.2.1", "RCPT", Asker.RELAY),
        (450, "4.7.1 <hub>: Sender address rejected: policy: rate limit exceeded", "RCPT", Asker.RELAY),
        (452, "4.3.1 Insufficient system storage", "CONTENT", Asker.RELAY),
        (452, "Insufficient system storage", "RCPT", Asker.RELAY),
        (452, "4.5.3 Too many recipients this hour", "RCPT", Asker.RELAY),
        (451, "4.3.2 Please try again later", "RCPT", Asker.RELAY),
        (451, "4.4.5 System congested", "RCPT", Asker.RELAY),
        (451, "4.7.28 Our system has detected an unusual rate of mail", "CONTENT", Asker.DOMAIN),  # Gmail
        (450, "4.7.650 The mail server has been temporarily rate limited", "RCPT", Asker.DOMAIN),  # Microsoft
        (451, "4.7.0 [TSS04] Messages temporarily deferred", "CONTENT", Asker.DOMAIN),  # Yahoo
        (450, "4.7.0 OFR_999 Too many mails, slow down", "RCPT", Asker.DOMAIN),  # Orange
        (450, "Throttled, slow down", "RCPT", Asker.DOMAIN),
        # about one mail or one mailbox
        (450, "4.2.2 Mailbox full", "RCPT", None),
        (452, "4.2.2 Mailbox full", "RCPT", None),
        (452, "The mailbox is over quota", "RCPT", None),
        (450, "4.2.1 The user is receiving mail at a rate that prevents more", "RCPT", None),
        (450, "4.1.8 Sender address rejected: Domain not found", "MAIL", None),
        (451, "4.7.1 Greylisted, try again in 5 minutes", "RCPT", None),
        (450, "Greylisting in action", "RCPT", None),
        (451, "4.3.0 Local error", "CONTENT", None),
        (450, "4.7.1 Helo command rejected", "RCPT", None),
        (550, "5.7.1 rate limit exceeded", "RCPT", None),
        (250, "2.0.0 Ok", "CONTENT", None),
    ],
)
def test_who_asks_for_less(code: int, text: str, step: Step, asker: Asker | None) -> None:
    assert asks_for_less(code, text, step) is asker


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("4.7.1 Greylisted, please try again in 5 minutes", 300),
        ("4.7.1 Greylisting in action, please come back in 00:04:59", 299),
        ("4.7.0 Too many mails, retry after 7 seconds", 7),
        ("4.7.0 wait 30s", 30),
        ("4.7.0 delayed for at least 2 hours", 7200),
        ("4.7.0 try again in 99999 hours", 86_400),
        ("4.2.2 in 5 words", None),
        ("4.7.1 5 minutes", None),
        ("", None),
    ],
)
def test_pause_that_a_server_asks_for(text: str, seconds: float | None) -> None:
    assert asked_pause(text) == seconds
