from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.stop_words import IN, OUT, stop_word

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "text",
    [
        *("STOP", "stop", " Stop. ", "STOP !", "« STOP »", "STOP STOP", "Stop svp", "STOP merci", "Stop 36111"),
        *("ARRET", "ARRÊT", "arre\u0302t", "Arrêtez SVP", "STOP SMS", "S'il vous plaît STOP", "Bonjour, stop"),
        *("Je veux me désabonner", "désinscription s’il te plaît", "Unsubscribe please", "stop 🛑"),
    ],
)
def test_text_that_says_only_stop_leaves(text: str) -> None:
    assert stop_word(text) == "out"


@pytest.mark.parametrize("text", ["START", "Reprise svp", "unstop", "Me réabonner, merci"])
def test_text_that_says_only_start_comes_back(text: str) -> None:
    assert stop_word(text) == "in"


@pytest.mark.parametrize(
    "text",
    [
        *("Stop à la gare ?", "Stop à la gare", "STOP ?", "Ne pas STOP", "stop travaux", "non stop", "Arrêt 12"),
        *("L'arrêt du bus est-il déplacé", "STOP START", "", " ", "?", "merci", "36111", "🛑", "oui", "stopper"),
        *("stop " * 30, "Stationnement interdit : stop rue des Tisserands ?"),
    ],
)
def test_text_that_says_more_is_for_a_person(text: str) -> None:
    assert stop_word(text) is None


@settings(deadline=None)
@given(st.sampled_from(sorted(OUT)), st.booleans(), st.sampled_from(["", " ", ".", "!", "\r\n", " svp"]))
def test_every_word_counts_however_it_is_written(word: str, shouted: bool, ending: str) -> None:
    assert stop_word((word.upper() if shouted else word) + ending) == "out"


@settings(deadline=None)
@given(st.text(max_size=100))
def test_no_text_breaks_it(text: str) -> None:
    answer: Literal["out", "in"] | None = stop_word(text)
    assert answer in ("out", "in", None)


def test_no_word_means_both() -> None:
    assert not OUT & IN
