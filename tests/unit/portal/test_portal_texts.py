"""Every word a page asks for exists, in both languages, with the same blanks to fill in."""

import base64
import hashlib
import re
from string import Formatter

import pytest

from portal.pages import HERE, Formats
from portal.texts import TEXTS, Words, preferred
from schemas.deliveries import State

pytestmark = pytest.mark.unit

TEMPLATES = sorted((HERE / "templates").rglob("*.html"))


def _blanks(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_every_text_a_template_names_exists() -> None:
    asked = {
        key
        for path in TEMPLATES
        for key in re.findall(r"""\bt(?:\.rich)?\((?:'|")([a-z][\w.-]*[\w])(?:'|")[,)]""", path.read_text())
    }
    assert len(asked) > 80
    assert asked - TEXTS.keys() == set()


@pytest.mark.parametrize("key", TEXTS)
def test_both_languages_say_it_with_the_same_blanks(key: str) -> None:
    french, english = TEXTS[key]
    assert french.strip() and english.strip()
    assert _blanks(french) == _blanks(english)


def test_every_state_has_a_word_of_its_own() -> None:
    for language in ("fr", "en"):
        words = [Words(language).named("state", state.word) for state in State]
        assert len(set(words)) == len(words)


def test_a_word_without_text_is_shown_as_it_is() -> None:
    assert Words("fr").named("channel", "fax") == "fax"
    assert Words("fr").named("state", None) == "néant"


def test_values_put_into_a_page_are_escaped_unless_they_are_markup() -> None:
    words = Words("fr")
    assert words.rich("announcement.held", reason="<b>") == "suspendue : &lt;b&gt;"
    time = Formats("fr").when("2026-11-04T07:00:00+00:00")
    assert words.rich("version.created", at=time) == (
        'du <time datetime="2026-11-04T07:00:00+00:00">4 nov. 2026, 08:00:00</time>'
    )


@pytest.mark.parametrize(
    ("query", "cookie", "accept", "language"),
    [
        (None, None, None, "fr"),
        (None, None, "en", "en"),
        (None, None, "en-GB,en;q=0.9,fr;q=0.8", "en"),
        (None, None, "de,fr;q=0.4,en;q=0.5", "en"),
        (None, None, "de", "fr"),
        (None, None, "en;q=0, fr;q=0.1", "fr"),
        (None, None, "en;q=oops", "fr"),
        (None, "en", "fr", "en"),
        ("fr", "en", "en", "fr"),
        ("xx", None, "en", "en"),
    ],
)
def test_the_language_asked_for_wins_then_the_one_chosen_then_the_browsers(
    query: str | None, cookie: str | None, accept: str | None, language: str
) -> None:
    assert preferred(query, cookie, accept) == language


@pytest.mark.parametrize(
    ("value", "french"),
    [(None, "–"), (0.84, "0,84 s"), (4.0, "4,0 s"), (12.4, "12 s"), (200.0, "3 min 20 s"), (7500.0, "2 h 5 min")],
)
def test_a_length_of_time_is_said_with_as_many_digits_as_help(value: float | None, french: str) -> None:
    assert Formats("fr").seconds(value).replace("\u00a0", " ") == french


def test_the_subject_of_an_event_is_in_the_readers_language() -> None:
    data = {"headline": {"fr": "Marché déplacé", "en": "Market moved"}}
    assert (Formats("fr").subject(data), Formats("en").subject(data)) == ("Marché déplacé", "Market moved")
    assert Formats("en").subject({"headline": {"fr": "Marché déplacé"}}) == "Marché déplacé"
    assert Formats("fr").subject({"kinds": ["glass", "paper"]}) == "glass, paper"
    assert Formats("fr").subject({"place": {}}) == ""


def test_the_vendored_htmx_is_the_published_one() -> None:
    """dist/htmx.min.js of npm's htmx.org 2.0.11 (0BSD, licence beside it); pages name the same digest."""
    script = (HERE / "static" / "htmx.min.js").read_bytes()
    digest = base64.b64encode(hashlib.sha384(script).digest()).decode()
    assert digest == "2OatzQy1H+Zd/IIrjr1TcuDGqLXeHhbooAyJY1KdQMKnr4LZ22k31GBLdYKHmVjg"
    assert f'integrity="sha384-{digest}"' in (HERE / "templates" / "livebase.html").read_text()
    assert b'version:"2.0.11"' in script
