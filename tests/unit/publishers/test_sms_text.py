import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publishers.sms_text import BASIC, EXTENSION, Segments, encoding_of, segments, split, transliterate

pytestmark = pytest.mark.unit

gsm = st.text(st.sampled_from(sorted(BASIC | EXTENSION)), max_size=700)
anything = st.text(max_size=400)


def test_alphabet_has_the_127_characters_and_the_ten_of_the_extension() -> None:
    assert len(BASIC) == 127 and len(EXTENSION) == 10 and not BASIC & EXTENSION


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Segments("GSM-7", 0, 1)),
        ("a" * 160, Segments("GSM-7", 160, 1)),
        ("a" * 161, Segments("GSM-7", 161, 2)),
        ("a" * 306, Segments("GSM-7", 306, 2)),
        ("a" * 307, Segments("GSM-7", 307, 3)),
        ("€" * 80, Segments("GSM-7", 160, 1)),
        ("€" * 81, Segments("GSM-7", 162, 2)),
        # 153 is odd: the escape pair that would straddle moves on, so 152 units a segment
        ("€" * 153, Segments("GSM-7", 306, 3)),
        ("é" * 160, Segments("GSM-7", 160, 1)),
        ("ç" * 70, Segments("UCS-2", 70, 1)),
        ("ç" * 71, Segments("UCS-2", 71, 2)),
        ("ç" * 134, Segments("UCS-2", 134, 2)),
        ("😀" * 35, Segments("UCS-2", 70, 1)),
        # 67 is odd too: 33 pairs a segment
        ("😀" * 67, Segments("UCS-2", 134, 3)),
        ("Ça coûte", Segments("UCS-2", 8, 1)),
        ("ÇÉéèàù", Segments("GSM-7", 6, 1)),
    ],
)
def test_segments(text: str, expected: Segments) -> None:
    assert segments(text) == expected


@settings(deadline=None)
@given(st.one_of(gsm, anything))
def test_parts_make_the_text_again_and_each_fits(text: str) -> None:
    parts = split(text)
    counted = segments(text)
    room = {("GSM-7", True): 160, ("GSM-7", False): 153, ("UCS-2", True): 70, ("UCS-2", False): 67}
    assert "".join(parts) == text
    assert counted.count == len(parts)
    limit = room[counted.encoding, len(parts) == 1]
    for part in parts:
        if counted.encoding == "GSM-7":
            units = len(part) + sum(character in EXTENSION for character in part)
        else:
            units = len(part.encode("utf-16-be", "surrogatepass")) // 2
        assert units <= limit and (part or not text)


@settings(deadline=None)
@given(anything, anything)
def test_more_text_never_costs_less(text: str, more: str) -> None:
    assert segments(text + more).count >= segments(text).count


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("L’eau n’est pas potable…", "L'eau n'est pas potable..."),
        ("« Rue\u202fbarrée »", '"Rue barrée"'),
        ("Collecte reportée – merci", "Collecte reportée - merci"),
        ("Ça va, garçon ?", "Ça va, garcon ?"),
        ("cœur, Œuvre, Noël, forêt, où, çà", "coeur, OEuvre, Noel, foret, où, cà"),
        ("12\u00a0€ à 20 °C, n° 5", "12 € à 20 degrés C, no 5"),
        ("e\u0301cole", "école"),
        ("co\u00adopérative\u200b", "coopérative"),
        ("m², ½, 5 × 3", "m2, 1/2, 5 x 3"),
    ],
)
def test_transliteration_as_french_readers_write(text: str, expected: str) -> None:
    assert transliterate(text) == expected
    assert encoding_of(expected) == "GSM-7"


@pytest.mark.parametrize("text", ["Alerte 🚨 ça déborde", "Привет", "ça vaut 5 ₿"])
def test_what_cannot_be_spelled_keeps_its_accents_too(text: str) -> None:
    assert transliterate(text) == text


@settings(deadline=None)
@given(gsm)
def test_text_of_the_alphabet_is_never_changed(text: str) -> None:
    assert transliterate(text) == text


@settings(deadline=None)
@given(anything)
def test_transliteration_is_all_or_nothing_and_settled(text: str) -> None:
    proposal = transliterate(text)
    assert proposal == text or encoding_of(proposal) == "GSM-7"
    assert transliterate(proposal) == proposal
