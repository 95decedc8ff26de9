"""DMARC: records, whose they are, and which domains may speak for each other."""

import pytest

from launcher.diagnosis.dmarc import DmarcFault, Record, aligned, find, parse
from tests.unit.launcher.commands.nameserver import Written

pytestmark = pytest.mark.unit

REJECT = "v=DMARC1; p=reject; sp=quarantine; rua=mailto:dmarc@valmerande.example"


def test_record_is_read() -> None:
    assert parse(f"{REJECT}; adkim=s", "valmerande.example") == Record(
        "valmerande.example",
        "reject",
        "quarantine",
        dkim_strict=True,
        reports=("mailto:dmarc@valmerande.example",),
    )


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ("v=DMARC1", "p=is missing"),
        ("v=DMARC1; p=refuse", "none, quarantine, reject"),
        ("v=DMARC1; p=none; adkim=strict", "r or s"),
        ("v=DMARC1; p=none; rua=dmarc@valmerande.example", "mailto:"),
        ("v=DMARC1; p=none; reports", "no tag"),
    ],
)
def test_fault_of_a_record_is_told(record: str, said: str) -> None:
    with pytest.raises(DmarcFault, match=said):
        parse(record, "valmerande.example")


async def test_record_of_a_domain_above_holds_with_its_policy_for_subdomains() -> None:
    found = await find("annonces.valmerande.example", Written({"_dmarc.valmerande.example TXT": [REJECT]}))
    assert found is not None
    assert found.policy_for("annonces.valmerande.example") == "quarantine"
    assert found.policy_for("valmerande.example") == "reject"


async def test_no_record_is_none() -> None:
    assert await find("valmerande.example", Written({"_dmarc.valmerande.example TXT": ["v=spf1 -all"]})) is None


async def test_two_records_are_as_good_as_none_and_are_told() -> None:
    with pytest.raises(DmarcFault, match="2 DMARC records"):
        await find("valmerande.example", Written({"_dmarc.valmerande.example TXT": [REJECT, REJECT]}))


@pytest.mark.parametrize(
    ("domain", "other", "strict", "expected"),
    [
        ("valmerande.example", "valmerande.example", True, True),
        ("valmerande.example", "retours.valmerande.example", False, True),
        ("valmerande.example", "retours.valmerande.example", True, False),
        ("mail.valmerande.example", "retours.valmerande.example", False, True),  # one organisation has the record
        ("valmerande.example", "prestataire.example", False, False),
        ("mail.autre.example", "retours.autre.example", False, False),  # nobody says that they are one
    ],
)
async def test_domains_of_one_organisation_speak_for_each_other(
    domain: str, other: str, strict: bool, expected: bool
) -> None:
    zone = Written({"_dmarc.valmerande.example TXT": [REJECT]})
    assert await aligned(domain, other, zone, strict=strict) is expected
