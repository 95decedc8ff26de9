"""Splitting a text into a thread, and shortening it."""

import re

import pytest
import regex
from hypothesis import assume, example, given
from hypothesis import strategies as st

from hub.fitting import MOST_PARTS, CannotFit, shortened, split
from publishers.base import PostForm

pytestmark = pytest.mark.unit

_WORDS = st.sampled_from(
    [
        "rue",
        "Tisserands",
        "barrée.",
        "déviation",
        "02 61 91 00 10",
        "12 h 30",
        "1 200,50 €",
        "https://www.valmerande.example/travaux/2026?rue=tisserands",
        "👩‍👩‍👧‍👦",
        "5️⃣",
        "🇫🇷",
        "水道水",
        "e\u0301te\u0301",
        "«\u00a0Non\u00a0!\u00a0»",
        "x" * 70,
    ]
)
_SPACES = st.sampled_from([" ", "  ", "\n", "\n\n", "\t"])
_TEXTS = st.lists(st.tuples(_WORDS, _SPACES), min_size=1, max_size=80).map(lambda pairs: "".join(map("".join, pairs)))
_GRAPHEMES = PostForm(100, count=lambda text: len(regex.findall(r"\X", text)), octets=400)
_UNITS = PostForm(120, count=lambda text: len(text.encode("utf-16-le")) // 2)
_FORMS = st.sampled_from([_GRAPHEMES, _UNITS])


@given(_TEXTS, _FORMS)
def test_no_part_exceeds_the_networks_count_and_joined_parts_are_the_text(text: str, form: PostForm) -> None:
    try:
        parts = split(text, form.fits)
    except CannotFit:
        assume(False)
    assert "".join(part.body for part in parts) == text
    assert all(form.fits(part.shown) for part in parts)
    assert len(parts) <= MOST_PARTS


@given(_TEXTS, _FORMS)
def test_counters_tell_each_parts_place(text: str, form: PostForm) -> None:
    try:
        parts = split(text, form.fits)
    except CannotFit:
        assume(False)
    if len(parts) == 1:
        assert parts[0].shown == text.strip()
    for number, part in enumerate(parts, 1):
        if len(parts) > 1:
            assert part.shown == f"{part.body.strip()} ({number}/{len(parts)})"


@given(_TEXTS, _FORMS)
@example("x" * 88 + " 1 200,50 € ", _GRAPHEMES)
@example("x" * 92 + " 12 h 30 fin", _GRAPHEMES)
@example("x" * 90 + " 30 °C demain", _GRAPHEMES)
@example("x" * 85 + " 02 61 91 00 10 02 61 91 00 10 " + "rue " * 20, _UNITS)
def test_no_cut_falls_inside_an_address_a_number_or_a_grapheme(text: str, form: PostForm) -> None:
    try:
        parts = split(text, form.fits)
    except CannotFit:
        assume(False)
    cuts = set()
    position = 0
    for part in parts[:-1]:
        position += len(part.body)
        cuts.add(position)
    whole = [*re.finditer(r"https?://\S+|02 61 91 00 10|12 h 30|1 200,50 €|30 °C", text), *regex.finditer(r"\X", text)]
    assert not any(match.start() < cut < match.end() for match in whole for cut in cuts)


@given(st.text(), st.integers(20, 60))
def test_any_text_at_all_is_split_within_bounds_or_refused(text: str, size: int) -> None:
    form = PostForm(size)
    try:
        parts = split(text, form.fits)
    except CannotFit:
        return
    assert "".join(part.body for part in parts) == text
    assert all(form.fits(part.shown) for part in parts)


def test_a_paragraphs_end_is_preferred_to_a_sentences_and_that_to_a_word() -> None:
    form = PostForm(60)
    text = "Rue des Tisserands barrée du 4 au 8.\n\nDéviation par le quai. Bus détourné, arrêt reporté place du Marché."
    assert [part.shown for part in split(text, form.fits)] == [
        "Rue des Tisserands barrée du 4 au 8. (1/3)",
        "Déviation par le quai. Bus détourné, arrêt reporté (2/3)",
        "place du Marché. (3/3)",
    ]


def test_an_address_longer_than_a_post_cannot_fit() -> None:
    with pytest.raises(CannotFit, match="alone is longer"):
        split("Voir https://example.org/" + "a" * 300 + " pour la suite", PostForm(280).fits)


def test_more_parts_than_anybody_reads_are_refused() -> None:
    with pytest.raises(CannotFit, match="more than 25"):
        split("mot " * 2000, PostForm(100).fits)


def test_a_long_word_is_cut_between_graphemes() -> None:
    parts = split("é" * 100 + " fin", PostForm(50).fits)
    assert "".join(part.body for part in parts) == "é" * 100 + " fin"


@given(_TEXTS, _FORMS)
def test_a_shortened_text_fits_and_keeps_its_link(text: str, form: PostForm) -> None:
    try:
        found = shortened(text, "https://www.valmerande.example/", form.fits)
    except CannotFit:
        assume(False)
    assert form.fits(found)
    assert found.endswith("https://www.valmerande.example/")


def test_a_text_that_fits_is_left_as_it_is() -> None:
    assert shortened("Rue barrée.", "", PostForm(20).fits) == "Rue barrée."


def test_a_long_text_is_cut_after_a_word() -> None:
    assert shortened("Rue des Tisserands barrée, déviation par le quai", "", PostForm(30).fits) == (
        "Rue des Tisserands barrée…"
    )
