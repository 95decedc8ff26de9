import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publishers.sms.text import BASIC, EXTENSION, Segments, encoding_of, measure, proposal, split, transliterate

pytestmark = pytest.mark.unit

gsm = st.text(st.sampled_from(sorted(BASIC | EXTENSION)), max_size=700)
anything = st.text(max_size=400)


def test_alphabet_has_the_127_characters_and_the_ten_of_the_extension() -> None:
    assert len(BASIC) == 127 and len(EXTENSION) == 10 and not BASIC & EXTENSION


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Segments("GSM-7", 0, 1, 160)),
        ("a" * 160, Segments("GSM-7", 160, 1, 160)),
        ("a" * 161, Segments("GSM-7", 161, 2, 153)),
        ("a" * 306, Segments("GSM-7", 306, 2, 153)),
        ("a" * 307, Segments("GSM-7", 307, 3, 153)),
        ("€" * 80, Segments("GSM-7", 160, 1, 160)),
        ("€" * 81, Segments("GSM-7", 162, 2, 153)),
        # 153 is odd: the escape pair that would straddle moves on, so 152 units a segment
        ("€" * 153, Segments("GSM-7", 306, 3, 153)),
        ("é" * 160, Segments("GSM-7", 160, 1, 160)),
        ("ç" * 70, Segments("UCS-2", 70, 1, 70)),
        ("ç" * 71, Segments("UCS-2", 71, 2, 67)),
        ("ç" * 134, Segments("UCS-2", 134, 2, 67)),
        ("😀" * 35, Segments("UCS-2", 70, 1, 70)),
        # 67 is odd too: 33 pairs a segment
        ("😀" * 67, Segments("UCS-2", 134, 3, 67)),
        ("Ça coûte", Segments("UCS-2", 8, 1, 70)),
        ("ÇÉéèàù", Segments("GSM-7", 6, 1, 160)),
    ],
)
def test_measure(text: str, expected: Segments) -> None:
    assert measure(text) == expected


@settings(deadline=None)
@given(st.one_of(gsm, anything))
def test_parts_make_the_text_again_and_each_fits(text: str) -> None:
    parts = split(text)
    counted = measure(text)
    room = {("GSM-7", True): 160, ("GSM-7", False): 153, ("UCS-2", True): 70, ("UCS-2", False): 67}
    assert "".join(parts) == text
    assert counted.segments == len(parts)
    limit = room[counted.alphabet, len(parts) == 1]
    for part in parts:
        if counted.alphabet == "GSM-7":
            units = len(part) + sum(character in EXTENSION for character in part)
        else:
            units = len(part.encode("utf-16-be", "surrogatepass")) // 2
        assert units <= limit and (part or not text)


@settings(deadline=None)
@given(anything, anything)
def test_more_text_never_costs_less(text: str, more: str) -> None:
    assert measure(text + more).segments >= measure(text).segments


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


def test_proposal_says_what_is_changed_and_what_that_saves() -> None:
    given = "« Ça va, garçon ? » L’eau n’est pas potable…"
    found = proposal(given)
    assert found.text == "\"Ca va, garcon ?\" L'eau n'est pas potable...".replace("Ca", "Ça")
    assert (found.before.alphabet, found.after.alphabet) == ("UCS-2", "GSM-7")
    assert found.changed == (("«", '"'), ("ç", "c"), ("»", '"'), ("’", "'"), ("…", "..."))


def test_one_cedilla_doubles_the_price_and_the_proposal_tells() -> None:
    text = "Rue des Tisserands fermée lundi, façade en travaux. " * 2
    found = proposal(text)
    assert (found.before.segments, found.after.segments, found.saved) == (2, 1, 1)
    assert found.changed == (("ç", "c"),)


@pytest.mark.parametrize("text", ["Rue fermée, où ça coûte", "Alerte 🚨 ici", "Élagage à 8 h"])
def test_proposal_leaves_alone_what_it_cannot_make_cheaper(text: str) -> None:
    found = proposal(text)
    if found.text == text:
        assert found.changed == () and found.saved == 0


@settings(deadline=None)
@given(anything)
def test_proposal_never_costs_more_letters_kept_or_not(text: str) -> None:
    found = proposal(text)
    assert found.before == measure(text) and found.after == measure(found.text)
    assert (found.changed == ()) or found.after.alphabet == "GSM-7"
    for character, _ in found.changed:
        assert encoding_of(character) == "UCS-2"


@settings(deadline=None)
@given(st.one_of(gsm, anything))
def test_each_part_fits_the_140_octets_of_a_message_with_its_header(text: str) -> None:
    """3GPP TS 23.040, 9.2.3.24.1: the header of a part (8-bit reference) takes 6 octets, 7 septets with its padding."""
    parts = split(text)
    header = 6 if len(parts) > 1 else 0
    for part in parts:
        if encoding_of(text) == "GSM-7":
            septets = sum(2 if character in EXTENSION else 1 for character in part)
            octets = -(-septets * 7 // 8) if not header else -(-(septets + 7) * 7 // 8)
            assert octets <= 140
        else:
            assert header + len(part.encode("utf-16-be", "surrogatepass")) <= 140
