import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publishers.smpp.gsm import GSM, OCTETS, UCS2, decode, encode, reference_of
from publishers.sms.text import BASIC, EXTENSION, split

pytestmark = pytest.mark.unit

gsm = st.text(st.sampled_from(sorted(BASIC | EXTENSION)), max_size=900)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=500)


def test_alphabet_is_the_one_that_segments_are_counted_with() -> None:
    assert set(OCTETS) == BASIC | EXTENSION
    assert {c for c, octets in OCTETS.items() if len(octets) == 2} == EXTENSION
    assert len(set(OCTETS.values())) == len(OCTETS)


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("@£$", "000102"),
        ("Été à Ç", "1f74052 07f2009".replace(" ", "")),
        ("§`", None),  # a back-quote is no character of the alphabet: UCS-2
        ("§¿", "5f60"),
        ("€{}[]~|\\^\f", "1b651b281b291b3c1b3e1b3d1b401b2f1b141b0a"),
    ],
)
def test_octets_are_those_of_the_standard(text: str, octets: str | None) -> None:
    encoded = encode(text, "k", "udh")
    if octets is None:
        assert encoded.data_coding == UCS2
    else:
        assert (encoded.data_coding, encoded.parts[0].hex()) == (GSM, octets)


@settings(deadline=None)
@given(st.one_of(gsm, anything))
def test_parts_say_the_text_again_and_none_is_too_long(text: str) -> None:
    encoded = encode(text, "1f-2a.1", "udh")
    headers = encoded.has_headers
    assert "".join(decode(part, encoded.data_coding, has_header=headers) for part in encoded.parts) == text
    assert len(encoded.parts) == len(split(text))
    # 140 octets a message: 160 septets, or 153 after a header of six octets and a fill bit
    room = (159 if headers else 160) if encoded.data_coding == GSM else 140
    assert all(len(part) <= room for part in encoded.parts)


@settings(deadline=None)
@given(st.one_of(gsm, anything))
def test_no_part_ends_in_an_escape_or_in_half_a_character(text: str) -> None:
    encoded = encode(text, "k", "udh")
    for part in encoded.parts:
        body = part[6:] if encoded.has_headers else part
        if encoded.data_coding == GSM:
            assert not body.endswith(b"\x1b") or body.endswith(b"\x1b\x1b")
        else:
            body.decode("utf-16-be")  # a lone surrogate would not


@given(st.text(min_size=1), st.integers(161, 900))
def test_headers_count_the_parts_under_one_reference_of_the_key(key: str, length: int) -> None:
    encoded = encode("a" * length, key, "udh")
    total = len(encoded.parts)
    for number, part in enumerate(encoded.parts, 1):
        assert part[:6] == bytes([5, 0, 3, reference_of(key), total, number])
    assert encode("a" * length, key, "udh") == encoded


def test_payload_carries_a_long_text_whole_and_a_short_one_as_usual() -> None:
    long = encode("é" * 400, "k", "payload")
    assert long.payload and not long.has_headers and decode(long.parts[0], long.data_coding) == "é" * 400
    assert not encode("é", "k", "payload").payload


@pytest.mark.parametrize(
    ("octets", "data_coding", "text"),
    [
        (b"STOP", 0, "STOP"),
        (b"STOP", 1, "STOP"),
        (b"Arr\xeat", 3, "Arrêt"),
        ("Arrêt".encode("utf-16-be"), 8, "Arrêt"),
        (b"STOP", 0xF1, "STOP"),
        (b"A\x1b\x41", 0, "AA"),  # an escape nobody knows shows the basic character
        (b"\x1b", 0, ""),
        (b"\x80", 0, "\ufffd"),
        (b"\xff\xff", 8, "\uffff"),
        (b"\xd8", 8, "\ufffd"),
    ],
)
def test_incoming_text_is_read_in_the_coding_it_names(octets: bytes, data_coding: int, text: str) -> None:
    assert decode(octets, data_coding) == text


@given(st.binary(max_size=300), st.integers(0, 255), st.booleans())
def test_no_incoming_octets_break_it(octets: bytes, data_coding: int, has_header: bool) -> None:
    assert isinstance(decode(octets, data_coding, has_header=has_header), str)
