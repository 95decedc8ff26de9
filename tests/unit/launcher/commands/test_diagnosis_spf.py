"""SPF as RFC 7208 has it: what is refused, what is counted, and which addresses pass."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.diagnosis.spf import (
    Policy,
    SpfFault,
    Term,
    ending,
    lookups,
    parse,
    read,
    records,
    verdict,
    void_lookups,
)
from tests.unit.launcher.commands.nameserver import Written

pytestmark = pytest.mark.unit

HERE = "valmerande.example"


async def policy(record: str, **more: list[str]) -> Policy:
    found = await read(
        HERE, Written({f"{HERE} TXT": [record], **{name.replace("_", " "): v for name, v in more.items()}})
    )
    assert found is not None
    return found


def test_only_records_of_version_1_are_spf() -> None:
    assert records(("v=spf1 -all", "v=spf10 -all", "google-site-verification=x", "V=SPF1")) == ("v=spf1 -all", "V=SPF1")


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ("v=spf1 ipv4:192.0.2.1 -all", "no term"),
        ("v=spf1 ip4:192.0.2.256 -all", "no network"),
        ("v=spf1 ip4:2001:db8::/32 -all", "other kind"),
        ("v=spf1 ip6:192.0.2.1 -all", "other kind"),
        ("v=spf1 a:mail.valmerande.example/33 -all", "/33"),
        ("v=spf1 include: -all", "needs a domain"),
        ("v=spf1 -all:x", "takes nothing"),
        ("v=spf1 redirect=a.example redirect=b.example", "may stand once"),
        ("v=spf1 -all;", "no term"),
    ],
)
def test_misspelt_term_is_told(record: str, said: str) -> None:
    with pytest.raises(SpfFault, match=said):
        parse(record)


def test_what_stands_behind_all_counts_no_more() -> None:
    assert parse("v=spf1 ip4:192.0.2.0/24 ~all include:late.example redirect=other.example") == (
        Term("ip4", "+", "192.0.2.0/24"),
        Term("all", "~"),
    )


def test_unknown_modifiers_change_nothing() -> None:
    assert parse("v=spf1 exp=why.example moo=cow -all") == (Term("all", "-"),)


def test_prefixes_of_both_kinds_are_read() -> None:
    assert parse("v=spf1 a/24//64 mx:mail.example//48") == (
        Term("a", "+", "", 24, 64),
        Term("mx", "+", "mail.example", 32, 48),
    )


async def test_lookups_are_counted_through_includes_and_redirect() -> None:
    zone = Written(
        {
            "valmerande.example TXT": ["v=spf1 a mx include:a.example redirect=b.example"],
            "valmerande.example A": ["192.0.2.1"],
            "valmerande.example MX": ["10 mail.valmerande.example"],
            "mail.valmerande.example A": ["192.0.2.2"],
            "a.example TXT": ["v=spf1 exists:%{i}.a.example ptr ip4:198.51.100.0/24 -all"],
            "b.example TXT": ["v=spf1 include:a.example ~all"],
        }
    )
    found = await read("valmerande.example", zone)
    assert found is not None
    assert lookups(found) == 4 + 2 + 1 + 2  # the same include costs twice
    assert ending(found) == "softfail"


async def test_the_eleventh_lookup_is_counted() -> None:
    includes = " ".join(f"include:i{at}.example" for at in range(11))
    zone = Written(
        {f"{HERE} TXT": [f"v=spf1 {includes} -all"]} | {f"i{at}.example TXT": ["v=spf1 -all"] for at in range(11)}
    )
    found = await read(HERE, zone)
    assert found is not None and lookups(found) == 11


async def test_circle_ends_and_is_told() -> None:
    zone = Written({f"{HERE} TXT": ["v=spf1 include:b.example -all"], "b.example TXT": [f"v=spf1 include:{HERE} -all"]})
    with pytest.raises(SpfFault, match=f"{HERE} → b.example → {HERE}"):
        await read(HERE, zone)


async def test_two_records_are_told() -> None:
    with pytest.raises(SpfFault, match="2 SPF records"):
        await read(HERE, Written({f"{HERE} TXT": ["v=spf1 -all", "v=spf1 mx -all"]}))


async def test_include_of_a_domain_without_record_is_told() -> None:
    with pytest.raises(SpfFault, match="leads to a domain without"):
        await policy("v=spf1 include:gone.example -all")


async def test_terms_that_find_nothing_are_counted() -> None:
    assert void_lookups(await policy("v=spf1 a:x.example a:y.example mx:z.example -all")) == 3


async def test_no_record_is_none() -> None:
    assert await read(HERE, Written({f"{HERE} TXT": ["hello"]})) is None


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "pass"),
        ("192.0.2.77", "fail"),
        ("198.51.100.9", "pass"),
        ("203.0.113.5", "pass"),
        ("203.0.114.5", "softfail"),
        ("2001:db8:1::9", "pass"),
        ("2001:db8:2::9", "softfail"),
    ],
)
async def test_first_term_that_matches_decides(address: str, expected: str) -> None:
    found = await policy(
        "v=spf1 a:relay.example -ip4:192.0.2.0/24 include:provider.example mx/24 ip6:2001:db8:1::/48 ~all",
        **{
            "relay.example_A": ["192.0.2.1"],
            "provider.example_TXT": ["v=spf1 ip4:198.51.100.0/24 -all"],
            "valmerande.example_MX": ["10 mx.valmerande.example"],
            "mx.valmerande.example_A": ["203.0.113.200"],
        },
    )
    assert verdict(found, ipaddress.ip_address(address)) == expected


async def test_fail_of_an_include_is_no_fail_of_ours() -> None:
    found = await policy("v=spf1 include:p.example ?all", **{"p.example_TXT": ["v=spf1 -all"]})
    assert verdict(found, ipaddress.ip_address("192.0.2.1")) == "neutral"


@given(st.ip_addresses(), st.lists(st.ip_addresses(), max_size=5))
async def test_addresses_that_are_listed_pass_and_no_others(one: ipaddress.IPv4Address, listed: list[object]) -> None:
    terms = " ".join(f"ip{'6' if ':' in str(at) else '4'}:{at}" for at in listed)
    found = await policy(f"v=spf1 {terms} -all".replace("  ", " "))
    assert verdict(found, one) == ("pass" if one in listed else "fail")
