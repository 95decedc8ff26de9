import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publishers.x.text import ADDRESS, CHARACTERS, addresses, count

pytestmark = pytest.mark.unit

EMOJI = "😀 ⚡️ ☝🏿 👍🏽 🇫🇷 1️⃣ #⃣ 👨‍👩‍👧‍👦 👩‍❤️‍💋‍👨 👩🏽‍🚒 🕵️‍♀️ 🏃🏾‍♂️ 🏳️‍🌈 🏴‍☠️ 👁‍🗨 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ©️".split()
LINKS = [
    "https://valmerande.fr",
    "http://a.fr",
    "HTTPS://VALMERANDE.FR/Rue",
    "valmerande.fr",
    "www.valmerande.bzh",
    "https://valmerande.fr:8080",
    "https://valmerande.fr:8080/travaux?rue=Tisserands&n=2#plan",
    "https://valmerande.fr/a_(b)",
    "https://mümchen.de",
    "https://xn--mmchen-3ya.de",
    "https://правительство.рф",
    "https://valmerande.fr/" + "a" * 400,
]
words = st.text(st.sampled_from("abcdéèàùç ’«»"), max_size=20)


@pytest.mark.parametrize("text", ["a", "é", "œ", "Ω", "ж", "ש", "ع", "ก", "’", "“", "–", "\u2009", " ", "\n"])
def test_letters_of_most_scripts_weigh_one(text: str) -> None:
    assert count(text) == 1


@pytest.mark.parametrize("text", ["日", "あ", "ア", "한", "€", "…", "™", "→", "😀", "𠮷", "🥱"])
def test_other_characters_weigh_two(text: str) -> None:
    assert count(text) == 2


@pytest.mark.parametrize("text", EMOJI)
def test_emoji_weighs_two_however_many_code_points_make_it_up(text: str) -> None:
    assert count(text) == 2
    assert count(text * 3) == 6


@pytest.mark.parametrize(("text", "weight"), [("🤏🏽", 4), ("🧑‍🚒", 5), ("🇨🇶", 4), ("😀️", 4), ("👩‍👩", 5)])
def test_emoji_that_x_does_not_know_weighs_what_it_is_made_of(text: str, weight: int) -> None:
    assert count(text) == weight


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("around", ["{}", "Voir {}.", "({})", "« {} »", "infos : {}, merci", "詳しくは{}。"])
def test_address_weighs_23_wherever_it_stands(link: str, around: str) -> None:
    before, after = around.split("{}")
    assert count(around.format(link)) == count(before) + ADDRESS + count(after)
    [(start, end)] = addresses(around.format(link))
    assert around.format(link)[start:end] == link


@pytest.mark.parametrize(
    "text",
    [
        "valmerande.example",
        "https://valmerande.example/x",
        "mairie@valmerande.fr",
        "fin.Début",
        "v2.0",
        "3.5",
        "http://",
        "-a.fr",
    ],
)
def test_what_x_makes_no_link_of_weighs_what_it_is_written_with(text: str) -> None:
    assert addresses(text) == []
    assert count(text) == len(text)


def test_port_and_question_without_a_scheme_and_a_path_do_not_belong_to_the_address() -> None:
    assert count("a.fr:8080") == ADDRESS + 5
    assert count("a.fr?x=1") == ADDRESS + 4
    assert count("a.fr:8080/x?y=1") == ADDRESS


def test_x_own_short_address_ends_where_it_must() -> None:
    assert count("https://t.co/abc/more") == ADDRESS + len("/more")
    assert addresses("https://t.co/" + "a" * 41) == []


def test_text_is_measured_in_composed_form() -> None:
    assert count("e\u0301") == count("é") == 1
    assert count("か\u3099") == count("が") == 2


@given(words, st.sampled_from(LINKS), words, st.sampled_from(EMOJI), words)
def test_weight_of_a_text_is_that_of_its_parts(first: str, link: str, second: str, sign: str, third: str) -> None:
    parts = [f"{first} ", link, f" {second}", sign, third]
    assert count("".join(parts)) == sum(map(count, parts)) == len(first + second + third) + 2 + ADDRESS + 2


@given(st.text(max_size=60))
def test_weight_is_never_below_what_the_code_points_outside_addresses_and_emoji_have(text: str) -> None:
    assert 0 <= count(text) <= 2 * len(text) + ADDRESS * len(addresses(text))
    assert (count(text) == 0) is (text == "")


@given(st.text(max_size=40), st.text(max_size=40))
def test_words_apart_weigh_no_less_together(left: str, right: str) -> None:
    assert count(f"{left} \n {right}") >= max(count(left.rstrip()), 1)


@pytest.mark.parametrize(
    "text",
    [
        "a." * 300,
        "日本語" * 1000 + ".fr",
        "http://a.fr/" + "(a" * 1000,
        "a.fr/" + "(((a)" * 400,
        "http://a.fr/?" + "!" * 2000,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    started = time.perf_counter()
    count(text)
    assert time.perf_counter() - started < 2


def test_longest_post_is_280() -> None:
    assert CHARACTERS == 280
