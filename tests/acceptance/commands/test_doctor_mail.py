"""What the doctor says of the domains of mails, asked of a name server on loopback."""

import json
from pathlib import Path

import pytest
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from launcher import diagnosis
from launcher.commands import doctor
from launcher.diagnosis import mail
from launcher.diagnosis.dkim import published_by_us, record_of
from launcher.diagnosis.findings import Finding, Grade
from launcher.diagnosis.mail import Sending, examine, findings
from launcher.diagnosis.resolver import Resolver, Unanswered, is_reserved
from launcher.faults import Fault
from publishers.smtp.options import SmtpOptions
from tests.acceptance.commands.test_doctor_diagnosis import environment
from tests.unit.launcher.commands.nameserver import Records, Written, name_server

pytestmark = pytest.mark.acceptance

TOWN = "valmerande.example"
BOUNCES = "retours.valmerande.example"

GOOD: dict[str, list[str]] = {
    f"{TOWN} MX": [f"10 mail.{TOWN}"],
    f"mail.{TOWN} A": ["203.0.113.25"],
    f"{TOWN} TXT": ["some-verification=1", "v=spf1 mx -all"],
    f"{BOUNCES} MX": [f"10 tambour.{TOWN}"],
    f"tambour.{TOWN} A": ["203.0.113.84"],
    f"{BOUNCES} TXT": [f"v=spf1 a:relais.{TOWN} -all"],
    f"relais.{TOWN} A": ["203.0.113.26"],
    f"_dmarc.{TOWN} TXT": [f"v=DMARC1; p=quarantine; rua=mailto:dmarc@{TOWN}"],
}


@pytest.fixture
def sending(tmp_path: Path) -> Sending:
    path = tmp_path / "dkim.pem"
    key = Ed25519PrivateKey.generate()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    options = {
        "relays": {"main": {"host": f"relais.{TOWN}"}},
        "dkim": {"town": {"domain": TOWN, "selector": "t1", "key_file": path}},
    }
    return Sending((TOWN,), BOUNCES, SmtpOptions.model_validate(options))


def signed(sending: Sending) -> Records:
    """Good records, the key's among them."""
    record = record_of(published_by_us(sending.keys[0].key_file))
    return {**GOOD, f"t1._domainkey.{TOWN} TXT": [record]}


async def asked(sending: Sending, records: Records) -> list[Finding]:
    async with name_server(records) as server:
        return await examine(sending, server)


async def test_domains_in_order_have_nothing_to_mend(sending: Sending) -> None:
    found = await asked(sending, signed(sending))
    assert [(one.grade, one.mend) for one in found] == [(Grade.OK, "")] * len(found)
    told = {(one.part, one.what) for one in found}
    assert (f"dns {BOUNCES}", f"MX: tambour.{TOWN}") in told
    assert (f"dns {BOUNCES}", "SPF: 1 of 10 look-ups, ends in fail") in told
    assert (f"dns {TOWN}", "DKIM: selector t1 has the key that we sign with (ed25519)") in told
    assert (f"dns {TOWN}", "DMARC: p=quarantine, passed by SPF and DKIM") in told


CASES: list[tuple[str, dict[str, list[str] | None], Grade, str, str]] = [
    ("no SPF", {f"{BOUNCES} TXT": None}, Grade.FAULT, "SPF: none", f"v=spf1 a:relais.{TOWN} -all"),
    ("SPF misspelt", {f"{BOUNCES} TXT": ["v=spf1 ipv4:192.0.2.1"]}, Grade.FAULT, "no term", "permerror"),
    ("SPF twice", {f"{BOUNCES} TXT": ["v=spf1 -all", "v=spf1 mx -all"]}, Grade.FAULT, "2 SPF records", "Mend"),
    ("SPF for all", {f"{BOUNCES} TXT": ["v=spf1 +all"]}, Grade.FAULT, "anybody may send", "-all"),
    ("SPF says nothing", {f"{BOUNCES} TXT": ["v=spf1 mx"]}, Grade.WARNING, "says nothing of other", "-all"),
    ("SPF without our relay", {f"{BOUNCES} TXT": ["v=spf1 mx -all"]}, Grade.WARNING, "203.0.113.26", "Add them"),
    ("SPF with dead names", {f"{BOUNCES} TXT": ["v=spf1 a:a.example a:b.example a:c.example -all"]},
     Grade.WARNING, "find nothing", "Take out"),
    ("SPF too long", {f"{BOUNCES} TXT": ["v=spf1 " + "ptr " * 11 + "-all"]},
     Grade.FAULT, "needs 11 look-ups", "includes"),
    ("SPF of the From absent", {f"{TOWN} TXT": ["x"]}, Grade.WARNING, "SPF: none", "-all"),
    ("no MX", {f"{BOUNCES} MX": None}, Grade.FAULT, "no bounce comes back", "MX 10"),
    ("null MX", {f"{BOUNCES} MX": ["0 ."]}, Grade.FAULT, "takes no mail", "MX 10"),
    ("MX without address", {f"tambour.{TOWN} A": None}, Grade.FAULT, f"tambour.{TOWN} has no address", "A or AAAA"),
    ("no replies", {f"{TOWN} MX": None}, Grade.WARNING, "replies come back", "mail_from"),
    ("no DKIM", {f"t1._domainkey.{TOWN} TXT": None}, Grade.FAULT, "has no record", "v=DKIM1; k=ed25519; p="),
    ("DKIM withdrawn", {f"t1._domainkey.{TOWN} TXT": ["v=DKIM1; p="]}, Grade.FAULT, "withdrawn", "Publish"),
    ("DKIM of another", {f"t1._domainkey.{TOWN} TXT": ["v=DKIM1; k=ed25519; p=" + "A" * 44]},
     Grade.FAULT, "another key", "Publish"),
    ("no DMARC", {f"_dmarc.{TOWN} TXT": None}, Grade.WARNING, "DMARC: none", "v=DMARC1; p=none"),
    ("DMARC misspelt", {f"_dmarc.{TOWN} TXT": ["v=DMARC1; p=strict"]}, Grade.FAULT, "p=strict", "Mend"),
    ("DMARC without reports", {f"_dmarc.{TOWN} TXT": ["v=DMARC1; p=none"]}, Grade.WARNING, "reports", "rua="),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "grade", "what", "mend"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
async def test_what_is_wrong_is_found_with_the_way_to_mend_it(
    sending: Sending, changes: dict[str, list[str] | None], grade: Grade, what: str, mend: str
) -> None:
    records = {name: values for name, values in {**signed(sending), **changes}.items() if values is not None}
    found = [one for one in await asked(sending, records) if what in one.what]
    assert [one.grade for one in found] == [grade], await asked(sending, records)
    assert mend in found[0].mend


@pytest.mark.parametrize(("policy", "grade"), [("none", Grade.WARNING), ("reject", Grade.FAULT)])
async def test_mails_that_nothing_vouches_for_are_told(sending: Sending, policy: str, grade: Grade) -> None:
    options = sending.options.model_copy(update={"dkim": {}})
    stranger = Sending((TOWN,), "retours.prestataire.example", options)
    zone = Written({**GOOD, f"_dmarc.{TOWN} TXT": [f"v=DMARC1; p={policy}"]})
    (found,) = [one for one in await findings(stranger, zone) if "vouches" in one.what]
    assert (found.part, found.grade) == (f"dns {TOWN}", grade)
    assert "links.bounce_domain" in found.mend


async def test_unsigned_mails_are_told_unless_a_relay_signs(sending: Sending) -> None:
    options = SmtpOptions.model_validate({"relays": {"main": {"host": f"relais.{TOWN}"}}})
    unsigned = [one for one in await findings(Sending((TOWN,), BOUNCES, options), Written(GOOD)) if "DKIM" in one.what]
    assert [one.grade for one in unsigned if one.what.startswith("DKIM")] == [Grade.WARNING]
    options = SmtpOptions.model_validate({"relays": {"main": {"host": f"relais.{TOWN}", "signs": True}}})
    assert not [
        one for one in await findings(Sending((TOWN,), BOUNCES, options), Written(GOOD)) if one.what.startswith("DKIM")
    ]


async def test_relay_inside_our_network_is_not_held_against_spf(sending: Sending) -> None:
    found = await asked(sending, {**signed(sending), f"relais.{TOWN} A": ["10.0.0.25"]})
    assert not any("does not allow" in one.what for one in found)


async def test_one_domain_in_trouble_is_a_warning_and_the_rest_is_looked_at(sending: Sending) -> None:
    found = await asked(sending, {**signed(sending), f"{BOUNCES} TXT": ["servfail"]})
    (trouble,) = [one for one in found if one.grade is not Grade.OK]
    assert (trouble.part, trouble.grade) == (f"dns {BOUNCES}", Grade.WARNING)
    assert "servers fail" in trouble.what
    assert any(one.what.startswith("DMARC") for one in found)


async def test_no_resolver_is_one_honest_warning(
    sending: Sending, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "Resolver", lambda server: Resolver(server, patience_s=0.1))
    (found,) = await examine(sending, f"127.0.0.1:{free_port}")
    assert found.grade is Grade.WARNING
    assert "not looked at" in found.what and "--no-dns" in found.mend


async def test_machine_without_resolver_is_one_honest_warning(
    sending: Sending, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launcher.diagnosis.resolver._RESOLV_CONF", tmp_path / "absent")
    (found,) = await examine(sending)
    assert found.grade is Grade.WARNING and "no resolver" in found.what


async def test_resolver_that_is_cut_off_from_the_world_is_one_honest_warning(
    sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says of every name that there is none: believed, everything would be missing."""
    public = Sending(("ville.fr",), "retours.ville.fr", sending.options)
    async with name_server({}) as server:
        monkeypatch.setattr(mail, "Resolver", lambda _: Resolver(server))
        (found,) = await examine(public)
    assert found.grade is Grade.WARNING and "does not know the public DNS" in found.what
    async with name_server({". NS": ["a.root-servers.example."]}) as server:
        monkeypatch.setattr(mail, "Resolver", lambda _: Resolver(server))
        assert any(one.grade is Grade.FAULT for one in await examine(public))


async def test_silence_is_waited_for_no_longer_than_agreed() -> None:
    async with name_server({"quiet.example TXT": ["silent"]}) as server:
        with pytest.raises(Unanswered, match=r"within 0\.2 s"):
            await Resolver(server, patience_s=0.2).texts("quiet.example")


async def test_answer_too_long_for_a_datagram_is_fetched_whole() -> None:
    long = "v=spf1 " + " ".join(f"ip4:192.0.2.{at}" for at in range(120)) + " -all"
    async with name_server({"long.example TXT": [long]}) as server:
        assert await Resolver(server).texts("long.example") == (long,)


async def test_each_question_is_asked_once_and_no_name_is_no_error() -> None:
    questions: list[str] = []
    async with name_server({"a.example A": ["192.0.2.1"], "a.example AAAA": ["2001:db8::1"]}, questions) as server:
        resolver = Resolver(server)
        for _ in range(2):
            assert [str(one) for one in await resolver.addresses("a.example")] == ["192.0.2.1", "2001:db8::1"]
            assert await resolver.texts("gone.example") == ()
            assert await resolver.exchangers("a.example") == ()
        assert sorted(questions) == ["a.example A", "a.example AAAA", "a.example MX", "gone.example TXT"]


async def test_name_that_dns_can_not_have_is_told() -> None:
    async with name_server({}) as server:
        with pytest.raises(Unanswered, match="no name"):
            await Resolver(server).texts(f"{'x' * 64}.example")


@pytest.mark.parametrize("server", ["ns.valmerande.example", "192.0.2.1:x", "[::1"])
def test_server_that_is_no_address_is_a_fault(server: str) -> None:
    with pytest.raises(Fault, match="DNS server"):
        Resolver(server)


@pytest.mark.parametrize(
    ("domain", "expected"),
    [("valmerande.example", True), ("bounces.localhost", True), ("ville.fr", False), ("example.com", True),
     ("myexample.com", False)],
)  # fmt: skip
def test_domains_for_examples_are_known(domain: str, expected: bool) -> None:
    assert is_reserved(domain) is expected


RELAY = {
    "TAMBOUR_CHANNELS__EMAIL__RELAYS__MAIN__HOST": "127.0.0.1",
    "TAMBOUR_CHANNELS__EMAIL__RELAYS__MAIN__TLS": "none",
}


async def test_round_asks_the_server_it_is_told_and_without_dns_none(tmp_path: Path, free_port: int) -> None:
    settings = environment(tmp_path, free_port, **RELAY, TAMBOUR_LINKS__BOUNCE_DOMAIN=BOUNCES)
    questions: list[str] = []
    async with name_server(GOOD, questions) as server:
        found = await diagnosis.examine(settings, dns_server=server)
        assert [one.grade for one in found if one.part == f"dns {BOUNCES}"] == [Grade.OK, Grade.OK]
        assert questions
        questions.clear()
        found = await diagnosis.examine(settings, dns=False, dns_server=server)
        assert not questions
        assert not [one for one in found if one.part.startswith("dns")]


async def test_domains_for_examples_are_passed_over_by_the_machines_resolver(tmp_path: Path, free_port: int) -> None:
    found = await diagnosis.examine(environment(tmp_path, free_port, **RELAY, TAMBOUR_LINKS__BOUNCE_DOMAIN=BOUNCES))
    (passed_over,) = [one for one in found if one.part.startswith("dns")]
    assert passed_over.grade is Grade.OK and "reserved" in passed_over.what


def test_command_takes_a_server_and_refuses_what_is_none(tmp_path: Path, free_port: int) -> None:
    app = typer.Typer(pretty_exceptions_enable=False)
    doctor.register(app)
    runner = CliRunner(env=environment(tmp_path, free_port, **RELAY))
    ran = runner.invoke(app, ["--json", "--dns-server", "ns.valmerande.example"])
    (fault,) = [one for one in json.loads(ran.stdout) if one["part"] == "dns"]
    assert fault["grade"] == "fault" and "is no DNS server" in fault["what"]
