"""Whose mail came back, by the names of ours that a returned mail carries."""

import pytest

from hub.addresses import Signer, key, message_id
from hub.bounces import original_key, signed_key
from schemas.deliveries import DeliveryId

pytestmark = pytest.mark.unit

KEY = key(DeliveryId(31, 42), 1)
SIGNER = Signer(b"a secret of the tests")
ID = message_id(KEY, "valmerande.example")


@pytest.mark.parametrize(
    "content",
    [
        f"Subject: Undelivered\n\n--b\nContent-Type: message/rfc822\n\nFrom: x\nMessage-ID: <{ID}>\n\nTexte\n",
        f"Subject: Undelivered\nIn-Reply-To: <{ID}>\n\nTexte\n",
        f"References: <other@example.org>\n <{ID}>\n\nTexte\n",
        f"\n\nX-Original-Message-ID: <{ID}>\n",
        f"\r\n\r\n> Message-Id:\r\n <{ID}>\r\n",
        f"\n\n  Message-id: <{ID.upper()}>\n",
    ],
)
def test_key_is_found_by_the_message_id_of_the_returned_mail(content: str) -> None:
    assert original_key(content.encode()) == KEY


@pytest.mark.parametrize(
    "content",
    [
        "",
        f"Message-ID: {ID}",
        f"Subject: <{ID}>",
        "Message-ID: <1-1.1000@valmerande.example>",
        "Message-ID: <1-1@valmerande.example>",
        "Message-ID: <CAX-1.1@example.org>",
        f"{'Message-ID: <x@y>' * 10_000}",
    ],
)
def test_no_key_is_found_where_none_is(content: str) -> None:
    assert original_key(content.encode()) is None


@pytest.mark.parametrize(
    "line",
    [
        "Return-Path: <{}>",
        "Original-Mail-From: {}",
        "Received: from x (envelope-from <{}>) by y",
        "Return-Path: <SRS0=ab=cd=relais.example={}>",
        "Authentication-Results: x; spf=pass smtp.mailfrom={}",
    ],
)
def test_signed_key_is_found_by_our_envelope_sender(line: str) -> None:
    sender = SIGNER.envelope_sender(KEY, "bounces.valmerande.example")
    report = f"Feedback-Type: abuse\n{line.format(sender)}\n".encode()
    assert signed_key(report, SIGNER) == KEY
    assert signed_key(report.upper(), SIGNER) == KEY
    assert signed_key(report, Signer(b"the secret of another hub")) is None


def test_forged_senders_before_the_true_one_are_passed_over_but_not_for_ever() -> None:
    forged = SIGNER.envelope_sender(KEY, "x.example").replace("b-", "b-f").encode()
    true = SIGNER.envelope_sender(KEY, "x.example").encode()
    assert signed_key(b"\n".join([*[forged] * 5, true]), SIGNER) == KEY
    assert signed_key(b"\n".join([*[forged] * 50, true]), SIGNER) is None
