"""Automatic answers, and reports that are neither bounces nor complaints."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import bounces_phrases
from hub.bounces import Bounce, classify

pytestmark = pytest.mark.unit


def plain(text: str, **headers: str) -> bytes:
    """A mail of one text, with these headers (underscores stand for hyphens)."""
    head = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in headers.items())
    return f"{head}Content-Type: text/plain; charset=utf-8\n\n{text}".encode()


@pytest.mark.parametrize(
    "subject",
    [
        "Réponse automatique : Travaux rue des Tisserands",
        "Re: Absence jusqu'au 12 novembre",
        "Absent du bureau",
        "Je suis absente",
        "Automatic reply: Travaux",
        "Auto: Travaux",
        "AUTO: Zoé is out of the office (returning 12/11/2026)",
        "Out of Office: Travaux",
        "[Auto-Reply] Travaux",
        "Automatische Antwort: Travaux",
        "Abwesenheitsnotiz: Travaux",
        "Respuesta automática: Travaux",
        "Fuera de la oficina",
        "Risposta automatica: Travaux",
        "Resposta automática: Travaux",
        "Automatisch antwoord: Travaux",
        "Autosvar: Travaux",
        "Odpowiedź automatyczna: Travaux",
        "Автоматический ответ: Travaux",
        "自動返信: Travaux",
        "不在通知",
        "自动回复: Travaux",
    ],
)
def test_absence_is_told_by_its_subject_in_many_languages(subject: str) -> None:
    assert classify(plain("De retour lundi.", From="zoe@example.org", Subject=subject)) == Bounce("autoreply")


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Autorespond": "Travaux"},
        {"X_Auto_Response_Suppress": "DR, OOF, AutoReply"},
        {"Precedence": "vacation"},
        {"X_Precedence": "auto_reply"},
        {"X_POST_MessageClass": "9; Autoresponder"},
        {"Auto_Submitted": "auto-replied; owner-email=zoe@example.org", "Return_Path": "<>"},
    ],
)
def test_absence_is_told_by_its_headers(headers: dict[str, str]) -> None:
    mail = plain("Votre message n'a pas été lu.", From="zoe@example.org", Subject="Re: Travaux", **headers)
    assert classify(mail) == Bounce("autoreply")


@pytest.mark.parametrize(
    ("subject", "text", "headers"),
    [
        ("Re: Travaux [confirm 1234]", "https://filtre.example/c/1", {}),
        ("Veuillez confirmer votre envoi à Zoé", "https://filtre.example/c/1", {}),
        ("Your mail to zoe@example.org is awaiting approval", "https://filtre.example/c/1", {}),
        ("Bitte bestätigen Sie Ihre Nachricht", "https://filtre.example/c/1", {}),
        ("Re: Travaux", "Nothing to see", {"X_TMDA_Fingerprint": "1", "X_TMDA": "1"}),
        (
            "Re: Travaux",
            "I use a filter. Please confirm that you sent this message: https://filtre.example/c/1",
            {"Auto_Submitted": "auto-replied"},
        ),
    ],
)
def test_challenge_is_told_from_an_absence(subject: str, text: str, headers: dict[str, str]) -> None:
    assert classify(plain(text, From="zoe@example.org", Subject=subject, **headers)) == Bounce("challenge")


def report(kind: str, fields: str, subject: str = "Lu : Travaux", sender: str = "zoe@example.org") -> bytes:
    return f"""\
From: {sender}
Subject: {subject}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type={kind}; boundary="b"

--b
Content-Type: text/plain

Your message was displayed, or was deleted without being read, or could not be delivered to a person's eyes.
--b
Content-Type: message/{kind}

{fields}
--b--
""".encode()


@pytest.mark.parametrize("sender", ["zoe@example.org", "postmaster@example.org"])
@pytest.mark.parametrize("disposition", ["displayed", "deleted"])
def test_receipt_of_display_is_nothing(sender: str, disposition: str) -> None:
    fields = (
        "Reporting-UA: a client\nFinal-Recipient: rfc822; zoe@example.org\n"
        f"Disposition: automatic-action/MDN-sent-automatically; {disposition}\n"
    )
    assert classify(report("disposition-notification", fields, sender=sender)) is None


def test_aggregate_report_of_authentication_is_nothing() -> None:
    subject = "Report Domain: valmerande.example Submitter: boites.example Report-ID: 1"
    mail = plain("See the attachment.", From="noreply-dmarc@boites.example", Subject=subject)
    assert classify(mail) is None
    assert classify(b"Auto-Submitted: auto-replied\n" + mail) is None


@pytest.mark.parametrize(
    ("kind", "complains"),
    [
        ("abuse", True),
        ("fraud", True),
        ("opt-out", True),
        ("opt-out-list", True),
        ("other", True),
        ("Abuse", True),
        ("not-spam", False),
        ("auth-failure", False),
        ("virus", False),
    ],
)
def test_only_a_reader_complains(kind: str, complains: bool) -> None:
    fields = f"Feedback-Type: {kind}\nUser-Agent: Boites/1.0\nVersion: 1\nRemoval-Recipient: <zoe@example.org>\n"
    bounce = classify(report("feedback-report", fields, sender="fbl@boites.example"))
    if complains:
        assert bounce == Bounce("complaint", diagnostic=kind.lower(), recipients=("zoe@example.org",))
    else:
        assert bounce is None


def test_feedback_report_is_found_though_it_is_a_text_in_a_mail_without_parts() -> None:
    text = "This is an email abuse report.\n\nFeedback-Type: abuse\nVersion: 1\nOriginal-Rcpt-To: zoe@example.org\n"
    mail = plain(text, From="fbl@boites.example", Subject="Abuse report")
    assert classify(mail) == Bounce("complaint", diagnostic="abuse", recipients=("zoe@example.org",))


@pytest.mark.parametrize(
    "text",
    [
        "user " * 8_000,
        "mailbox is " * 4_000,
        "550 5.1.1 " * 4_000,
        "550-5.1.1 user\n550 5.1.1 unknown\n\n" * 2_000,
        "domain " * 6_000,
        "error: reason: " * 3_000,
        "------ " * 6_000,
        "> " * 20_000,
        "Final-Recipient: rfc822; a@b\nAction: failed\n\n" * 3_000,
        "<" * 40_000,
        "<style " * 6_000,
        "a@" * 20_000,
        "delivery to the following " * 2_000,
        "Message-ID: <1-1.1@" * 3_000,
    ],
)
@pytest.mark.parametrize("kind", ["plain", "html"])
def test_text_made_to_be_slow_is_read_in_time(text: str, kind: str) -> None:
    mail = f"From: mailer-daemon@x.example\nSubject: {text[:900]!r}\nContent-Type: text/{kind}\n\n{text}".encode()
    started = time.process_time()
    classify(mail)
    assert time.process_time() - started < 2


_WORDS = st.sampled_from(
    "user mailbox unknown not found full 550 5.1.1 4.2.2 <a@b.example> delivery failed Final-Recipient: Action: Status:"
    " --b Content-Type: message/delivery-status message/rfc822 Subject: From: postmaster: \r\n \n\n \x00 é 不在".split(
        " "
    )
)


@given(st.lists(_WORDS, max_size=60))
def test_shuffled_words_of_bounces_never_raise(words: list[str]) -> None:
    body = " ".join(words).encode("utf-8", "replace")
    classify(b"From: mailer-daemon@x.example\nContent-Type: multipart/report; boundary=b\n\n" + body)
    classify(b"From: mailer-daemon@x.example\n\n" + body)
    classify(body)


@given(st.text(max_size=300))
def test_phrases_search_any_text(text: str) -> None:
    for pattern in (bounces_phrases.DEAD, bounces_phrases.FULL, bounces_phrases.SAYS_BOUNCE, bounces_phrases.ORIGINAL):
        pattern.search(text)
