import pytest
from hypothesis import given
from hypothesis import strategies as st

from publishers.mastodon.instance import Instance
from publishers.mastodon.text import URL_CHARACTERS, length

pytestmark = pytest.mark.unit

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="@:/"), max_size=80)
PATHS = st.text(st.sampled_from("abcé0/-_=#%&.,;:!?()~[]'\"<> «»"), max_size=40)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("Rue barrée", 10),
        ("e\u0301te\u0301", 3),  # accents written apart
        ("👩‍👩‍👧‍👦", 1),
        ("🇫🇷🇪🇺", 2),
        ("👍🏽 ok", 4),
        ("\u1100\u1161\u11a8", 1),  # one Korean syllable, written apart
        ("https://valmerande.fr", 23),
        ("https://valmerande.fr/" + "a" * 300, 23),
        ("http://a.fr", 23),  # a short one counts the same
        ("https://valmerande.fr/a https://valmerande.fr/b", 47),
        ("Voir https://valmerande.fr/crue.", 5 + 23 + 1),  # the full stop is the sentence's
        ("(https://valmerande.fr/crue)", 25),
        ("https://fr.wiki.fr/Crue_(eau)", 23),  # parentheses that belong to it
        ("https://valmerande.fr/?a=1&b=2#ici", 23),
        ("https://valmerande.fr:8443/x", 23),
        ("https://mairie-de-l-île.fr/école", 23),
        ("https://xn--le-kia.xn--fiqs8s/x", 23),
        ("HTTPS://VALMERANDE.FR/X", 23),
        ("«https://valmerande.fr/x»", 24),  # the closing quotation mark goes with it, as on the network
        ("xhttps://valmerande.fr", 22),  # no link: something stands right before it
        ("https://localhost/x", 19),  # no link: no domain
        ("https://127.0.0.1/x", 19),
        ("valmerande.fr", 13),  # no link: no scheme
        ("ftp://valmerande.fr", 19),
        ("@mairie@social.valmerande.fr", 7),
        ("Avec @mairie.com@social.fr !", 5 + 11 + 2),
        ("mairie@valmerande.fr", 20),  # a mail address
        ("@mairie", 7),
        ("https://social.fr/@mairie@autre.fr", 23),
    ],
)
def test_text_counts_as_the_network_counts_it(text: str, expected: int) -> None:
    assert length(text) == expected


@given(WORDS)
def test_text_without_links_and_mentions_counts_its_graphemes_and_never_more_than_its_characters(text: str) -> None:
    assert length(text) <= len(text)
    assert length(text + " | " + text) == 2 * length(text) + 3 or any(ord(one) > 127 for one in text)


@given(WORDS, PATHS)
def test_link_counts_the_same_however_long_it_is(before: str, path: str) -> None:
    tail = path.rstrip() and f"/{''.join(one for one in path if one.isalnum())}"
    link = f"https://valmerande.fr{tail}"
    assert length(f"{before} {link}") == length(f"{before} ") + URL_CHARACTERS


@given(PATHS)
def test_any_address_is_counted_without_being_lost(path: str) -> None:
    text = f"https://valmerande.fr/{path}"
    assert URL_CHARACTERS <= length(text) <= URL_CHARACTERS + len(path)


@given(st.integers(1, 60))
def test_reserved_characters_are_the_servers(reserved: int) -> None:
    assert length("a https://valmerande.fr/x b", url_characters=reserved) == reserved + 4


def test_counting_takes_no_time_on_a_text_made_to_hurt() -> None:
    assert length("https://a.fr/" + "(" * 5000) > 0
    assert length("https://a.fr/" + "a(" * 3000 + "!" * 3000) > 0
    assert length("@" + "a." * 5000 + "@") > 0
    assert length("https://" + "a." * 5000) > 0


@pytest.mark.parametrize(
    ("said", "characters"),
    [
        ("{}", 500),
        ('{"max_toot_chars": 1000}', 1000),
        ('{"max_toot_chars": 1000, "configuration": {"statuses": {"max_characters": 700}}}', 700),
        ('{"max_toot_chars": 1000, "configuration": {"statuses": {"max_media_attachments": 9}}}', 1000),
    ],
)
def test_limits_are_read_wherever_a_server_says_them(said: str, characters: int) -> None:
    assert Instance.model_validate_json(said).characters == characters


def test_form_fits_exactly_what_the_server_takes() -> None:
    form = Instance().form(None)
    link = " https://valmerande.fr/" + "a" * 100
    assert form.fits("é" * 476 + link) and not form.fits("é" * 477 + link)
