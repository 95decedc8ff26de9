"""The sandbox's rules that need no process."""

import hmac
import re
from pathlib import Path

import pytest

from sandbox import addresses, entities, mime, phones
from sandbox.addresses import rule_of
from sandbox.alphabet import measure
from sandbox.journal import Journal, needle
from sandbox.options import secret_key
from sandbox.tally import Tally
from sandbox.webhooks import signature
from sandbox.wording import ENGLISH, FRENCH

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "encoding", "segments"),
    [
        ("a" * 160, "GSM-7", 1),
        ("a" * 161, "GSM-7", 2),
        ("€" * 80, "GSM-7", 1),
        ("a" * 152 + "€" + "a" * 152, "GSM-7", 3),
        ("ê" * 70, "UCS-2", 1),
        ("ê" * 71, "UCS-2", 2),
        ("ê" * 66 + "😀" + "ê" * 66, "UCS-2", 3),
    ],
)
def test_segments_are_counted_as_handsets_do(text: str, encoding: str, segments: int) -> None:
    size = measure(text)
    assert (size.encoding, size.segments) == (encoding, segments)


@pytest.mark.parametrize(
    ("address", "name", "times"),
    [
        ("later2.alice@x.example", "later2", 2),
        ("later.alice@x.example", "later", 1),
        ("full@x.example", "full", None),
        ("Bounce-Hard+a@x.example", "bounce-hard", None),
        ("alice@dropdata.example", "dropdata", 1),
    ],
)
def test_an_address_tells_its_rule(address: str, name: str, times: int | None) -> None:
    rule = rule_of(address)
    assert rule is not None and (rule.name, rule.times) == (name, times)


@pytest.mark.parametrize("address", ["alice@x.example", "fuller.b@x.example", "a.refuse@x.example", "latergreat@x.e"])
def test_an_ordinary_address_has_no_rule(address: str) -> None:
    assert rule_of(address) is None


def test_both_languages_say_the_same_things_and_every_behaviour_is_explained() -> None:
    assert FRENCH.keys() == ENGLISH.keys()
    assert {f"address_{name}" for name in addresses.BEHAVIOURS} <= FRENCH.keys()
    assert {f"number_{ending}" for ending in phones.BEHAVIOURS} <= FRENCH.keys()


def test_every_behaviour_is_documented() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "sandbox.md").read_text()
    assert all(f"`{name}`" in page for name in addresses.BEHAVIOURS)
    digits = {ending for row in re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE) for ending in row.split(", ")}
    assert digits == set(phones.BEHAVIOURS)


def test_the_signature_is_the_one_of_the_specification() -> None:
    key = secret_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert hmac.compare_digest(made, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")


def test_a_journal_gives_back_what_any_text_was(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    offsets = journal.append_all([{"t": "é\n\ud800"}, {"t": "x" * 10_000}])
    assert journal.read(offsets[0]) == {"t": "é\n\ud800"} and len(journal.read(offsets[1])["t"]) == 10_000
    assert [offset for offset, _ in journal.scan(needle("t", "é\n\ud800"))] == offsets[:1]
    assert [offset for offset, _ in journal.scan()] == offsets


def test_counts_tell_a_duplicate_from_a_repetition_after_a_drop() -> None:
    tally = Tally()
    for outcome in ("accepted", "accepted"):
        tally.record(outcome, "a")
    for outcome in ("dropped", "accepted"):
        tally.record(outcome, "b")
    tally.record("refused", "c")
    told = tally.as_json()
    assert (told["accepted"], told["distinct"], told["duplicates"], told["repeated_after_drop"]) == (3, 2, 1, 1)


def test_post_html_links_and_escapes() -> None:
    made = entities.content("a <b>\nhttps://x.example/?a=1&b=2.\n\n#Crue & co", "http://s")
    assert made.startswith('<p>a &lt;b&gt;<br /><a href="https://x.example/?a=1&amp;b=2"')
    assert "</a>.</p><p><a href=" in made and made.endswith("#<span>Crue</span></a> &amp; co</p>")


def test_a_broken_mail_is_shown_as_well_as_can_be() -> None:
    content = b"Subject: =?nope?q?x?=\r\nContent-Type: text/plain; charset=nope\r\n\r\ncaf\xc3\xa9\xff"
    assert mime.summary(content)["subject"] == "=?nope?q?x?="
    assert mime.bodies(content).text == "café\ufffd"


def test_picture_within_a_mail_is_shown_and_no_other_is_fetched() -> None:
    html = '<img src="cid:crest"><img src="https://elsewhere.example/pixel"><img src="cid:lost"> cid:crest'
    content = (
        b'Content-Type: multipart/related; boundary="b"\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n'
        + html.encode()
        + b"\r\n--b\r\nContent-Type: image/png\r\nContent-ID: <crest>\r\nContent-Transfer-Encoding: base64\r\n"
        + b"Content-Disposition: inline\r\n\r\nAAEC\r\n--b--\r\n"
    )
    shown = mime.bodies(content)
    assert shown.html == html.replace('"cid:crest"', '"data:image/png;base64,AAEC"')
    assert [one.kind for one in shown.attachments] == ["image/png"]
