"""What comes back to our envelope senders, in samples of our own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.bounces import Bounce, classify

pytestmark = pytest.mark.unit


def report(fields: str, text: str = "Votre message n'a pas pu être remis.", outer: str = "report") -> bytes:
    """A delivery status notification with these per-recipient fields."""
    return f"""\
Return-Path: <>
From: MAILER-DAEMON@relais.example
To: retour+1@valmerande.example
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
Content-Type: multipart/{outer}; report-type=delivery-status; boundary="b"
MIME-Version: 1.0

--b
Content-Type: text/plain; charset=utf-8

{text}

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; relais.example

{fields}

--b
Content-Type: message/rfc822

From: mairie@valmerande.example
To: voisin@example.org
Subject: 550 5.1.1 user unknown

Mailbox full

--b--
""".encode()


def plain(text: str, **headers: str) -> bytes:
    """A mail of one text, with these headers (underscores stand for hyphens)."""
    head = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in headers.items())
    return f"{head}Content-Type: text/plain; charset=utf-8\n\n{text}".encode()


FAILED = "Final-Recipient: rfc822; voisin@example.org\nAction: failed\n"


def test_dsn_of_an_unknown_mailbox_is_hard_and_the_address_dead() -> None:
    fields = FAILED + "Status: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1\n    <voisin@example.org>: no such user"
    assert classify(report(fields)) == Bounce(
        "hard",
        "5.1.1",
        "550 5.1.1 <voisin@example.org>: no such user",
        ("voisin@example.org",),
        address_dead=True,
    )


@pytest.mark.parametrize(
    ("fields", "kind", "status", "dead", "gave_up"),
    [
        ("Status: 4.4.1\nDiagnostic-Code: X-Relay; connection timed out", "soft", "4.4.1", False, True),
        ("Status: 5.2.2\nDiagnostic-Code: smtp; 552 5.2.2 Mailbox full", "soft", "5.2.2", False, True),
        ("Status: 5.0.0\nDiagnostic-Code: smtp; 554 5.7.1 Relay denied", "hard", "5.7.1", False, True),
        ("Status: 5.0.0\nDiagnostic-Code: smtp; 550 : User unknown", "hard", "5.0.0", True, True),
        ("Status: 5.7.1\nDiagnostic-Code: smtp; 550 5.7.1 user unknown", "hard", "5.7.1", False, True),
        ("Status: 5.2.1 (refused)\nDiagnostic-Code: smtp;550 No such user", "hard", "5.2.1", True, True),
        ("Diagnostic-Code: smtp; 450 try later", "soft", None, False, True),
        ("Diagnostic-Code: smtp; 550 from 192.0.2.192 no", "hard", None, False, True),
    ],
)
def test_dsn_kind_is_told_by_its_codes_and_where_they_say_little_by_its_words(
    fields: str, kind: str, status: str | None, dead: bool, gave_up: bool
) -> None:
    bounce = classify(report(FAILED + fields))
    assert bounce is not None
    assert (bounce.kind, bounce.status, bounce.address_dead, bounce.gave_up) == (kind, status, dead, gave_up)


def test_delay_is_soft_and_the_server_goes_on_trying() -> None:
    fields = "Final-Recipient: rfc822; voisin@example.org\nAction: delayed\nStatus: 4.4.1"
    bounce = classify(report(fields))
    assert bounce is not None
    assert (bounce.kind, bounce.gave_up) == ("soft", False)


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded"])
def test_notification_of_success_is_no_bounce(action: str) -> None:
    fields = f"Final-Recipient: rfc822; voisin@example.org\nAction: {action}\nStatus: 2.0.0"
    assert classify(report(fields)) is None


def test_dsn_of_several_recipients_tells_the_worst_and_names_all() -> None:
    fields = (
        "Final-Recipient: rfc822; a@example.org\nAction: failed\nStatus: 4.4.7\n\n"
        "Final-Recipient: rfc822; b@example.org\nAction: failed\nStatus: 5.1.1\n\n"
        "Final-Recipient: rfc822; c@example.org\nAction: delivered\nStatus: 2.0.0"
    )
    bounce = classify(report(fields))
    assert bounce is not None
    assert (bounce.kind, bounce.status) == ("hard", "5.1.1")
    assert bounce.recipients == ("a@example.org", "b@example.org")


def test_dsn_is_read_though_its_wrapping_is_wrong() -> None:
    fields = (
        "Action : failed\nStatus : 5.0.0\nDiagnostic-Code : smtp;550 5.1.1 no\nFinal-Recipient : rfc/822;<v@x.example>"
    )
    bounce = classify(report(fields, outer="mixed"))
    assert bounce == Bounce("hard", "5.1.1", "550 5.1.1 no", ("v@x.example",), address_dead=True)


def test_dsn_without_a_reason_takes_it_from_the_part_for_people() -> None:
    bounce = classify(report(FAILED + "Status: 5.0.0", "voisin@example.org: Domain does not exist"))
    assert bounce is not None
    assert (bounce.diagnostic, bounce.address_dead) == ("Domain does not exist", True)


def feedback(kind: str) -> bytes:
    return f"""\
From: fbl@boites.example
Subject: complaint
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

Un abonné a signalé ce message.
--b
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: Boites/1.0
Original-Rcpt-To: <voisin@example.org>

--b
Content-Type: message/rfc822

To: voisin@example.org
Subject: Travaux

--b--
""".encode()


def test_feedback_report_is_a_complaint() -> None:
    assert classify(feedback("abuse")) == Bounce("complaint", diagnostic="abuse", recipients=("voisin@example.org",))


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure"])
def test_report_that_is_not_of_a_reader_who_complains_is_nothing(kind: str) -> None:
    assert classify(feedback(kind)) is None


def test_prose_of_a_mail_system_is_read() -> None:
    text = """\
This message was created automatically by mail delivery software.
A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  voisin@example.org
    SMTP error from remote mail server after RCPT TO:<voisin@example.org>:
    host mx.example.org [192.0.2.1]: 550 User unknown

------ This is a copy of the message, including all the headers. ------

Subject: 451 4.7.1 this is the original and says nothing
"""
    mail = plain(text, From="Mailer-Daemon <mailer-daemon@x.example>", X_Failed_Recipients="voisin@example.org")
    assert classify(mail) == Bounce("hard", None, "550 User unknown", ("voisin@example.org",), address_dead=True)


def test_warning_of_a_mail_system_is_soft_and_not_final() -> None:
    text = "Your message to <voisin@example.org> has not yet been delivered. Delivery attempts will continue."
    bounce = classify(plain(text, From="mailer-daemon@x.example", Subject="Warning: message delayed 24 hours"))
    assert bounce is not None
    assert (bounce.kind, bounce.gave_up, bounce.recipients) == ("soft", False, ("voisin@example.org",))


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"Auto_Submitted": "auto-replied", "Subject": "Re: Travaux"}, "Je suis absente jusqu'au 12."),
        ({"Subject": "=?utf-8?q?R=C3=A9ponse_automatique_=3A_Travaux?="}, "De retour lundi."),
        (
            {"Auto_Submitted": "auto-generated", "In_Reply_To": "<1@v.example>", "Subject": "Travaux"},
            "Absent.",
        ),
        ({"Precedence": "auto_reply", "Subject": "Travaux"}, "Absent."),
        ({"X_Autoreply": "yes", "Subject": "Travaux"}, "Absent."),
        ({"Subject": "Automatic reply: Travaux", "Return_Path": "<>"}, "Out until Monday."),
    ],
)
def test_absence_note_is_an_autoreply(headers: dict[str, str], text: str) -> None:
    assert classify(plain(text, From="Zoé <zoe@example.org>", **headers)) == Bounce("autoreply")


@pytest.mark.parametrize(
    "subject",
    [
        "Please confirm your message to zoe@example.org",
        "Your email requires verification verify#abc",
        "=?utf-8?q?Merci_de_vous_authentifier_-_v=C3=A9rification_de_l'exp=C3=A9diteur?=",
    ],
)
def test_request_to_prove_ourselves_is_a_challenge(subject: str) -> None:
    mail = plain("Cliquez : https://filtre.example/ok", From="zoe@example.org", Subject=subject)
    assert classify(mail) == Bounce("challenge")


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"Subject": "Question"}, "Bonjour, la rue sera-t-elle barrée lundi ? Merci."),
        ({"Subject": "Re: Travaux"}, "Le facteur dit que le colis n'a pas pu être remis, 550 5.1.1."),
        ({"Subject": "Nouvelles", "Auto_Submitted": "auto-generated"}, "Notre lettre du mois."),
        ({"Subject": "Nouvelles", "Auto_Submitted": "no"}, "Notre lettre du mois."),
        ({"Subject": "Notification", "Return_Path": "<>"}, "A copy of your message was read."),
        ({}, ""),
    ],
)
def test_ordinary_mail_is_nothing(headers: dict[str, str], text: str) -> None:
    assert classify(plain(text, From="Zoé <zoe@example.org>", **headers)) is None


def test_forwarded_bounce_of_somebody_else_is_nothing() -> None:
    inner = report(FAILED + "Status: 5.1.1")
    mail = b'From: zoe@example.org\nSubject: Fwd\nContent-Type: multipart/mixed; boundary="o"\n\n--o\n'
    mail += b"Content-Type: text/plain\n\nRegardez\n--o\nContent-Type: message/rfc822\n\n" + inner + b"\n--o--\n"
    assert classify(mail) is None


HOSTILE = {
    "nothing": b"",
    "no header": b"\xff\xfe\x00" * 1000,
    "one endless line": b"From: mailer-daemon@x.example\n\n" + b"-" * 3_000_000,
    "endless header": b"X-Failed-Recipients: " + b"a@b," * 500_000 + b"\n\ncould not be delivered",
    "deep": b"".join(b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(2000)),
    "wide": b'Content-Type: multipart/report; boundary="b"\n\n' + b"--b\n\nx\n" * 50_000,
    "no such charset": b"From: mailer-daemon@x\nContent-Type: text/plain; charset=nope\n\nundeliverable",
    "broken encoded word": b"Subject: =?utf-8?b?///?=\nFrom: =?x?y?z?= <mailer-daemon@x>\n\ndelivery failed",
    "no boundary": b"Content-Type: multipart/report\n\n--b\nContent-Type: message/delivery-status\n\nStatus: 5\n",
    "status is text": report("Action:\nStatus: x\nFinal-Recipient:"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.timeout(10)
def test_hostile_mail_neither_raises_nor_takes_long(name: str) -> None:
    classify(HOSTILE[name])


@given(st.binary(max_size=400), st.integers(0, 900))
def test_damaged_report_never_raises(noise: bytes, at: int) -> None:
    whole = report(FAILED + "Status: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 no")
    classify(whole[:at] + noise + whole[at:])
