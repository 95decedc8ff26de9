"""How each server words it: bounces of the forms that mail servers and gateways are known for, written by us."""

import csv
from pathlib import Path

import pytest

from hub.bounces import classify

pytestmark = pytest.mark.unit

FOLDER = Path(__file__).parent / "returned"
RETURNED = (
    "Content-Type: message/rfc822\n\n"
    "From: mairie@valmerande.example\nTo: voisin@example.org\nSubject: Travaux\n\nRue des Tisserands\n"
)


def samples() -> list[dict[str, str]]:
    with (FOLDER / "expectations.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


def test_every_sample_is_expected_to_be_something() -> None:
    assert {path.stem for path in FOLDER.glob("*.eml")} == {row["file"] for row in samples()}


@pytest.mark.parametrize("row", samples(), ids=lambda row: row["file"])
def test_bounce_in_the_form_of(row: dict[str, str]) -> None:
    bounce = classify((FOLDER / f"{row['file']}.eml").read_bytes())
    assert bounce is not None
    assert bounce.kind == row["kind"]
    assert (bounce.address_dead, bounce.gave_up) == (row["address_dead"] == "yes", row["gave_up"] == "yes")


def parts(*bodies: str) -> bytes:
    """A mail of a mail system, of parts that each have their own headers."""
    top = (
        "From: MAILER-DAEMON@relais.example\nSubject: Undelivered Mail Returned to Sender\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
    )
    return (top + "".join(f"--b\n{body}\n" for body in bodies) + "--b--\n").encode()


def dsn(status: str, diagnostic: str = "", action: str = "failed", text: str = "Undeliverable.") -> bytes:
    """A report about one recipient."""
    said = f"Diagnostic-Code: smtp; {diagnostic}\n" if diagnostic else ""
    fields = f"Final-Recipient: rfc822; voisin@example.org\nAction: {action}\nStatus: {status}\n{said}"
    return parts(
        f"Content-Type: text/plain\n\n{text}",
        f"Content-Type: message/delivery-status\n\nReporting-MTA: dns; relais.example\n\n{fields}",
        RETURNED,
    )


@pytest.mark.parametrize(
    ("status", "diagnostic", "kind", "dead"),
    [
        # the address
        ("5.1.1", "550 5.1.1 <voisin@example.org>: Recipient address rejected: User unknown", "hard", True),
        ("5.1.10", "556 5.1.10 Recipient address has null MX", "hard", True),
        ("5.1.2", "550 5.1.2 Host unknown", "hard", True),
        ("5.4.4", "Host or domain name not found. Name service error for name=example.org", "hard", True),
        ("5.4.310", "550 5.4.310 DNS domain example.org does not exist", "hard", True),
        ("5.4.1", "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)", "hard", True),
        ("5.5.0", "550 5.5.0 Requested action not taken: mailbox unavailable", "hard", True),
        ("5.1.351", "550 5.1.351 Remote server returned unknown recipient or mailbox unavailable", "hard", True),
        ("5.0.0", "550 Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416", "hard", True),
        ("5.0.0", "554 delivery error: dd This user doesn't have an example.org account", "hard", True),
        ("5.0.350", "550 5.0.350 Remote server returned an error -> 550 5.1.1 no such user", "hard", True),
        ("5.0.0", "550 Mailbox not found. http://service.example/cgi-bin/help?id=20022", "hard", True),
        ("4.0.0", "DNS Error: DNS type 'mx' lookup responded with code NXDOMAIN", "hard", True),
        # room
        ("5.2.2", "552 5.2.2 Over quota", "soft", False),
        ("5.1.1", "552 5.1.1 Boite du destinataire pleine. Recipient overquota. OFR_417", "soft", False),
        ("5.0.0", "550 User is over the quota. You can try again later", "soft", False),
        ("5.2.2", "552-5.2.2 The recipient's inbox is out of storage space", "soft", False),
        # the mail, or us
        ("5.3.4", "552 5.3.4 Message size exceeds fixed limit", "hard", False),
        ("5.2.3", "552 5.2.3 Message exceeds the mailbox's size limit for one mail", "hard", False),
        ("5.7.1", "550 5.7.1 Message rejected due to SPF", "hard", False),
        ("5.7.1", "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using a list", "hard", False),
        ("5.7.26", "550-5.7.26 This mail is unauthenticated", "hard", False),
        ("5.7.1", "554 5.7.1 <voisin@example.org>: Relay access denied", "hard", False),
        ("5.1.8", "553 5.1.8 Domain of sender address does not exist", "hard", False),
        ("5.0.0", "550 Sender address rejected: Domain not found", "hard", False),
        ("5.4.6", "554 5.4.6 Too many hops", "hard", False),
        ("5.0.0", "550 Mailbox unavailable or access denied", "hard", False),
        ("5.2.1", "550 5.2.1 The email account that you tried to reach is disabled", "hard", False),
        # time
        ("4.4.7", "", "soft", False),
        ("5.4.7", "delivery time expired", "soft", False),
        ("5.4.316", "550 5.4.316 Message expired, connection refused", "soft", False),
        ("4.4.1", "connect to mx.example.org[192.0.2.1]:25: Connection timed out", "soft", False),
        ("4.1.1", "450 4.1.1 unverified address: unknown user", "soft", False),
        ("5.0.0", "421 4.7.0 Try again later", "soft", False),
    ],
)
def test_report_is_judged_by_code_and_words(status: str, diagnostic: str, kind: str, dead: bool) -> None:
    bounce = classify(dsn(status, diagnostic))
    assert bounce is not None
    assert (bounce.kind, bounce.address_dead, bounce.gave_up) == (kind, dead, True)


@pytest.mark.parametrize("action", ["delayed", "Delayed (will retry)", "deferred"])
def test_report_of_a_delay_is_never_final(action: str) -> None:
    bounce = classify(dsn("4.1.1", "450 4.1.1 unknown user", action))
    assert bounce is not None
    assert (bounce.kind, bounce.address_dead, bounce.gave_up) == ("soft", False, False)


def test_report_that_says_nothing_is_explained_by_the_part_for_people() -> None:
    text = "   ----- Transcript of session follows -----\n<<< 550 5.1.1 <voisin@example.org>... User unknown\n"
    bounce = classify(dsn("5.0.0", "", text=text))
    assert bounce is not None
    assert (bounce.kind, bounce.status, bounce.address_dead) == ("hard", "5.1.1", True)


@pytest.mark.parametrize(
    ("diagnostic", "lasting"),
    [
        ("552 5.2.2 Over quota", True),
        ("550 5.2.1 The account is disabled", True),
        ("connect to mx.example.org: Connection timed out", True),
        ("421 4.7.0 Messages from 192.0.2.1 temporarily deferred due to volume", False),
        ("554 5.7.1 blocked", False),
        ("552 5.3.4 Message too big", False),
    ],
)
def test_lasting_fault_of_the_mailbox_is_told_from_one_of_ours(diagnostic: str, lasting: bool) -> None:
    bounce = classify(dsn("4.4.1" if diagnostic.startswith("connect") else "5.0.0", diagnostic))
    assert bounce is not None
    assert bounce.mailbox is lasting
