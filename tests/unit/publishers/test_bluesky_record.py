from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publishers.base import Permanent
from publishers.bluesky.channel import FORM
from publishers.bluesky.record import Reference, facets, graphemes, record, record_key
from schemas.messages import Picture, Post

pytestmark = pytest.mark.unit

AT = datetime(2026, 11, 24, 8, 30, 0, 123456, tzinfo=UTC)
POST = Post("order-1.1", "valmerande", "Fin d'alerte crue", "fr", AT)
ALPHABET = "234567abcdefghijklmnopqrstuvwxyz"

moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


def number(key: str) -> int:
    """The 64 bits of a TID."""
    value = 0
    for character in key:
        value = value << 5 | ALPHABET.index(character)
    return value


@given(moments, st.text(max_size=40))
def test_key_is_a_tid_that_says_its_millisecond(at: datetime, key: str) -> None:
    tid = record_key(at, key)
    assert len(tid) == 13 and set(tid) <= set(ALPHABET) and tid[0] in "234567abcdefghij"
    said = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=number(tid) >> 10)
    assert said.replace(microsecond=said.microsecond // 1000 * 1000) == at.replace(
        microsecond=at.microsecond // 1000 * 1000
    )
    assert record_key(at, key) == tid


@given(moments, moments, st.text(max_size=10), st.text(max_size=10))
def test_keys_sort_as_their_moments(first: datetime, second: datetime, one: str, other: str) -> None:
    if second - first >= timedelta(milliseconds=1):
        assert record_key(first, one) < record_key(second, other)


def test_key_is_the_same_in_every_process_and_zone() -> None:
    assert record_key(AT, "order-1.1") == "3n32a44dgv2pn"
    assert record_key(AT.astimezone(timezone(timedelta(hours=-11))), "order-1.1") == "3n32a44dgv2pn"


def test_posts_of_one_millisecond_differ() -> None:
    keys = {record_key(AT, f"order-{number}.1") for number in range(100)}
    assert len(keys) == 100 and len({key[:8] for key in keys}) == 1


def cut(text: str) -> list[tuple[str, str]]:
    """What each facet stands over, and what it says."""
    found = []
    for facet in facets(text):
        start, end = facet["index"]["byteStart"], facet["index"]["byteEnd"]
        [feature] = facet["features"]
        found.append((text.encode()[start:end].decode(), feature.get("uri") or feature["tag"]))
    return found


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [
                    "https://valmerande.example/é?a=1",
                    "http://x.example",
                    "#Travaux",
                    "#été2026",
                    "👨‍👩‍👧",
                    "é",
                    "e\u0301",
                    " ",
                    "\n",
                ]
            ),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        )
    ).map("".join)
)
def test_facets_stand_over_what_they_say_in_order_and_apart(text: str) -> None:
    ends = 0
    for facet in facets(text):
        start, end = facet["index"]["byteStart"], facet["index"]["byteEnd"]
        assert ends <= start < end <= len(text.encode())
        ends = end
    for shown, says in cut(text):
        assert shown in (says, f"#{says}", f"＃{says}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Voir https://valmerande.example/travaux.", ["https://valmerande.example/travaux"]),
        ("(https://valmerande.example/a_(b))", ["https://valmerande.example/a_(b)"]),
        (
            "« https://valmerande.example/x » et «https://y.example»",
            ["https://valmerande.example/x", "https://y.example"],
        ),
        ("HTTPS://VALMERANDE.EXAMPLE/A", ["HTTPS://VALMERANDE.EXAMPLE/A"]),
        ("https://a.example/?x=1&y=2#z!", ["https://a.example/?x=1&y=2#z"]),
        ("https:// https:///x http://", []),
        ("xhttps://a.example", []),
        ("https://[::1 et ftp://a.example", []),
        ("https://a.example\ufeffb", ["https://a.example"]),
        ("écrire à mairie@valmerande.example ou @mairie.example", []),
        ("#Travaux, #Eau-potable ! #100 #", ["Travaux", "Eau-potable"]),
        ("n#Travaux /#Travaux", []),
        ("#COVID19 #2026été ＃eau", ["COVID19", "2026été", "eau"]),
        (f"#{'é' * 64} #{'é' * 65}", ["é" * 64]),
        ("#https://a.example", ["https://a.example"]),
    ],
)
def test_what_can_be_followed(text: str, expected: list[str]) -> None:
    assert [says for _, says in cut(text)] == expected


def test_record_is_the_same_at_every_try_whatever_the_zone() -> None:
    elsewhere = replace(POST, at=AT.astimezone(timezone(timedelta(hours=2))))
    assert record(POST) == record(elsewhere)
    assert record(POST)["createdAt"] == "2026-11-24T08:30:00.123Z"


def test_answer_names_its_parent_and_its_head() -> None:
    head, parent = (
        Reference("at://did:plc:v/app.bsky.feed.post/3a", "bafy1"),
        "at://did:plc:v/app.bsky.feed.post/3b bafy2",
    )
    made = record(replace(POST, reply_to=parent, root=str(head)))
    assert made["reply"] == {
        "root": {"uri": "at://did:plc:v/app.bsky.feed.post/3a", "cid": "bafy1"},
        "parent": {"uri": "at://did:plc:v/app.bsky.feed.post/3b", "cid": "bafy2"},
    }


def test_pictures_come_before_a_card() -> None:
    picture = Picture(b"", "image/jpeg", "Le pont", 4, 3)
    made = record(replace(POST, pictures=(picture,), link="https://valmerande.example/"), [{"$type": "blob"}])
    assert made["embed"]["$type"] == "app.bsky.embed.images"


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("été", 3), ("e\u0301", 1), ("👨‍👩‍👧‍👦🇫🇷", 2), ("a\r\nb", 3), ("각", 1)],
)
def test_graphemes_are_what_readers_take_for_characters(text: str, count: int) -> None:
    assert graphemes(text) == count


def test_form_counts_both_graphemes_and_bytes() -> None:
    family = "👨‍👩‍👧‍👦"  # 25 bytes
    assert FORM.fits("é" * 300) and not FORM.fits("é" * 301)
    assert FORM.fits(family * 120) and not FORM.fits(family * 121)


@given(st.from_regex(r"at://did:plc:[a-z2-7]{24}/app\.bsky\.feed\.post/[a-z2-7]{13} bafy[a-z2-7]{10}", fullmatch=True))
def test_reference_survives_being_written_and_read(text: str) -> None:
    parsed = Reference.parse(text)
    assert str(parsed) == text
    assert f"at://{parsed.repository}/app.bsky.feed.post/{parsed.key}" == parsed.uri


@pytest.mark.parametrize(
    "text", ["", "1", "at://did:plc:v/app.bsky.feed.post/3a", "at://did:plc:v bafy", "https://a/b/c/d e"]
)
def test_what_is_no_reference_is_refused_for_good(text: str) -> None:
    with pytest.raises(Permanent):
        Reference.parse(text)
