"""Our weights of texts beside those of X's own library: npm's twitter-text, with the rules that X publishes."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from publishers.x.text import addresses, count

pytestmark = pytest.mark.contract

LIBRARY = "twitter-text@3.1.0"
_COUNTER = """
const { parseTweet, extractUrlsWithIndices } = require("twitter-text");
let given = "";
process.stdin.setEncoding("utf8").on("data", (part) => (given += part)).on("end", () => {
  const said = JSON.parse(given).map((text) => [parseTweet(text).weightedLength, extractUrlsWithIndices(text).length]);
  process.stdout.write(JSON.stringify(said));
});
"""

Library = Callable[[Sequence[str]], list[tuple[int, int]]]
"""Of each text: its weight, and how many addresses X makes links of."""


def absent(what: str) -> NoReturn:
    """Skip for want of a program; in CI, where it must be there, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        absent("node and npm are absent")
    folder: Path = tmp_path_factory.mktemp("twitter-text")
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), LIBRARY]
    installed = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if installed.returncode:
        absent(f"npm can't install {LIBRARY}: {installed.stderr[-300:]}")
    counter = folder / "counter.js"
    counter.write_text(_COUNTER)

    def ask(texts: Sequence[str]) -> list[tuple[int, int]]:
        done = subprocess.run(
            [node, str(counter)], input=json.dumps(texts), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return [(weight, links) for weight, links in json.loads(done.stdout)]

    yield ask


FAMILIES = "👨‍👩‍👧‍👦 👩‍❤️‍💋‍👨 👨‍❤️‍👨 👩‍👧 🏳️‍🌈 🏴‍☠️ 👁‍🗨 👩🏽‍🚒 👨‍⚕️ 🕵️‍♀️ 🏃🏾‍♂️ ⛹️‍♂️ 🤼‍♀️ 🧞‍♂️ 👩‍🦰"
SIGNS = "☝🏿 ☝️ ⚡️ ⭐️ ©️ ™️ 1️⃣ #⃣ ⚠️ 🚧 ℹ️ 🌊 🤏🏽 🧑‍🚒 🫶🏽 🦺 🇫🇷 🇪🇺 🇨🇶 🇽🇽 🏴󠁧󠁢󠁥󠁮󠁧󠁿 😀️ ☔︎"
PARTS = [
    *"👨👩👦👧❤💋♀♂⚕⚖✈🌈🏴🏳👁🗨☠🕵🏃⛹👍🧟⚡©®0#aé日…’« »€ \n",
    *"\u200d\ufe0f\ufe0e\u20e3🏻🏽🏿🇫🇷🇪🇺🇦",
    *FAMILIES.split(),
    *SIGNS.split(),
]
HOSTS = [
    "http://",
    "https://",
    "HTTP://",
    "www.",
    "valmerande",
    "mairie",
    "fr",
    "com",
    "co.uk",
    "bzh",
    "alsace",
    "example",
]
LETTERS = [
    "日本",
    "日本語",
    "é",
    "münchen",
    "à",
    "рф",
    "РФ",
    "中国",
    "嘉里大酒店",
    "xn--abc",
    "xn--",
    "a" * 64,
    "a",
    "B",
    "1",
]
SHORT = ["t.co", "t.co/abc", "http://t.co/abc", "https://t.co/" + "a" * 41]
MARKS = [*"./?#@$:-_()[]!’'\"«» \n\u00a0。、，+=&%~|;,＠＃\u200e\ufeff😀€…–", "(a)", "((b))", ":8080", "?a=1&b=2", "."]

emoji = st.lists(st.sampled_from(PARTS), min_size=1, max_size=10).map("".join)
links = st.lists(st.sampled_from([*HOSTS, *LETTERS, *SHORT, *MARKS]), min_size=1, max_size=12).map("".join)
hosts = st.tuples(
    st.sampled_from(["", " ", "é", "日", "@", "(", ".", "-", "/"]),
    st.sampled_from(["", "http://", "https://"]),
    st.lists(st.sampled_from([*HOSTS[3:], *LETTERS]), min_size=1, max_size=3).map(".".join),
    st.sampled_from([".fr", ".com", ".рф", ".example", ".xn--ab", ".bzh", ".FR"]),
    st.lists(st.sampled_from([*MARKS, *LETTERS]), max_size=6).map("".join),
).map("".join)
prose = st.text(st.characters(min_codepoint=32, max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=40)


@pytest.mark.parametrize("kind", ["emoji", "links", "hosts", "prose"])
def test_weights_and_links_are_those_of_x_own_library(library: Library, kind: str) -> None:
    texts: list[str] = []
    strategy = {"emoji": emoji, "links": links, "hosts": hosts, "prose": prose}[kind]

    @settings(
        max_examples=3000,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(strategy)
    def collect(text: str) -> None:
        texts.append(text)

    collect()
    theirs = library(texts)
    ours = [(count(text), len(addresses(text))) for text in texts]
    different = [(text, our, their) for text, our, their in zip(texts, ours, theirs, strict=True) if our != their]
    assert not different, f"{len(different)} of {len(texts)}, such as {min(different, key=lambda one: len(one[0]))}"


def test_towns_texts_weigh_what_x_says(library: Library) -> None:
    texts = [
        "⚠️ Vigilance crue : évacuez les bords de la Vère. Infos : https://valmerande.fr/alertes/2026-114",
        "Conseil municipal jeudi 26 à 19 h 30, salle des fêtes 🏛️. Ordre du jour : www.valmerande.fr/conseil.",
        "École fermée demain (grève). Garderie assurée dès 7 h 30 — inscriptions : mairie@valmerande.fr",
        "Fin d’alerte : l’eau est de nouveau potable rue des Tisserands, n° 2 à 48. Merci de votre patience !",
        "valmerande.fr:8080 valmerande.fr:8080/a http://valmerande.fr:8080 dépôt@valmerande.fr l'adresse.Fin",
        "臨時休校のお知らせ。詳しくはhttps://valmerande.fr/日本語をご覧ください🏫",
    ]
    assert [count(text) for text in texts] == [weight for weight, _ in library(texts)]
