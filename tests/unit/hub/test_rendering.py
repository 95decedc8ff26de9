"""Announcements as people read them: golden files for all of them, and the rules that any of them keeps."""

import email
import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from hub.rendering import TEMPLATES, Fault, MailSlots, Renderer, TemplateError
from hub.rendering.check import examples_of
from publishers.sms.text import measure
from schemas.announcements import Action, Content
from schemas.authorities import Identity
from schemas.events import TYPES, template_of
from schemas.lanes import Lane

pytestmark = pytest.mark.unit

GOLDEN = Path(__file__).parents[2] / "golden"
RECORD = os.environ.get("TAMBOUR_RECORD_GOLDEN") == "1"
NOW = datetime(2026, 11, 4, 7, 30, tzinfo=UTC)
SLOTS = MailSlots(
    "camille.o'brien+mairie@lettres.example",
    "1f-2a.1@valmerande.example",
    "https://www.valmerande.example/desabonnement?de=1f.abcdefghijklmnop&langue=fr",
)
IDENTITY = Identity.model_validate(
    {
        "name": "Ville de Valmerande",
        "short_name": "Valmerande",
        "mail_from": "annonces@valmerande.example",
        "reply_to": "mairie@valmerande.example",
        "list_id": "annonces.valmerande.example",
        "website": "https://www.valmerande.example/",
        "postal_address": "Mairie, place du Marché, 96001 Valmerande",
        "phone": "+33261910000",
        "sms_sender": "+33639980001",
    }
)
RENDERER = Renderer()
CONTENTS = [content for type_ in TYPES for content in examples_of(RENDERER, type_)]
CASES = [
    pytest.param(content, language, id=f"{content.template}-{index}-{content.action}-{language}")
    for type_ in TYPES
    for index, content in enumerate(examples_of(RENDERER, type_), 1)
    for language in ("fr", "en")
]


def read(content: Content, language: str, renderer: Renderer = RENDERER) -> EmailMessage:
    spliced = renderer.mail(content, IDENTITY, language, now=NOW).splice(SLOTS)
    message = email.message_from_bytes(spliced, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def body(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def example(type_: str, action: Action = Action.ANNOUNCE) -> Content:
    return next(content for content in examples_of(RENDERER, type_) if content.action is action)


def with_data(content: Content, **data: object) -> Content:
    return content.model_copy(update={"data": {**content.data, **data}})


def golden(name: str, said: str) -> None:
    """Compare with the recorded file, or record it (TAMBOUR_RECORD_GOLDEN=1)."""
    path = GOLDEN / name
    if RECORD:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(said, encoding="utf-8")
    assert path.exists(), f"{name} was never recorded: run with TAMBOUR_RECORD_GOLDEN=1, and read what it writes"
    assert said == path.read_text("utf-8")


@pytest.mark.parametrize(("content", "language"), CASES)
def test_every_example_reads_as_recorded(content: Content, language: str, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.id.removeprefix(f"{content.template}-")
    message = read(content, language)
    headers = "".join(f"{header}: {value}\n" for header, value in message.items())
    folder = content.template
    golden(f"{folder}/{name}.email.txt", f"{headers}\n{body(message, 'plain')}")
    golden(f"{folder}/{name}.email.html", body(message, "html"))
    golden(f"{folder}/{name}.sms.txt", RENDERER.text(content, IDENTITY, language) + "\n")
    said = RENDERER.post(content, IDENTITY, language)
    golden(f"{folder}/{name}.social.txt", said.text + (f"\n\n{said.link}" if said.link else "") + "\n")


def test_no_golden_file_is_left_over() -> None:
    recorded = {str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*.*") if path.suffix in (".txt", ".html")}
    expected = {
        f"{content.template}/{index}-{content.action}-{language}.{kind}"
        for type_ in TYPES
        for index, content in enumerate(examples_of(RENDERER, type_), 1)
        for language in ("fr", "en")
        for kind in ("email.txt", "email.html", "sms.txt", "social.txt")
    }
    assert recorded == expected


@pytest.mark.parametrize("type_", TYPES)
def test_examples_take_every_action(type_: str) -> None:
    assert {content.action for content in examples_of(RENDERER, type_)} == set(Action)


def test_every_type_has_its_templates_and_nothing_is_wrong_with_them() -> None:
    assert RENDERER.check() == []


# ---------------------------------------------------------------- mail


class Page(HTMLParser):
    """What the accessibility rules ask of a page: its elements, and the words inside links."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.links: list[tuple[str, str]] = []
        self._open_link: str | None = None
        self._words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "a":
            self._open_link, self._words = dict(attrs)["href"], ""

    def handle_data(self, data: str) -> None:
        self._words += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self.links.append((self._open_link or "", self._words.strip()))


@pytest.mark.parametrize(("content", "language"), CASES)
def test_html_part_is_accessible(content: Content, language: str) -> None:
    message = read(content, language)
    page = Page(body(message, "html"))
    tags = [tag for tag, _ in page.elements]
    assert dict(page.elements[0][1])["lang"] == language
    assert any(
        attributes.get("role") == "article" and attributes["lang"] == language for _, attributes in page.elements
    )
    assert all(attributes.get("alt") is not None for tag, attributes in page.elements if tag == "img")
    assert all(attributes.get("role") == "presentation" for tag, attributes in page.elements if tag == "table")
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert page.links
    for address, words in page.links:
        assert address.startswith(("https://", "mailto:", "tel:"))
        assert len(words) > 3 and "://" not in words
    sizes = re.findall(r"font-size: (\d+)px", body(message, "html"))
    assert sizes and min(map(int, sizes)) >= 16


def luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("ink", "paper"),
    [
        ("#1c2026", "#ffffff"),
        ("#ffffff", "#173a5e"),
        ("#0b5394", "#ffffff"),
        ("#5f1212", "#fdf0ef"),
        ("#454c56", "#ffffff"),
        ("#f2f4f7", "#1c2129"),
        ("#a9cdff", "#1c2129"),
        ("#ffdcd8", "#3a1717"),
        ("#c9ced6", "#1c2129"),
    ],
)
def test_mail_colours_contrast_enough_in_light_and_dark(ink: str, paper: str) -> None:
    layout = (TEMPLATES / "layouts/email.html.j2").read_text("utf-8")
    assert ink in layout and paper in layout
    lighter, darker = sorted((luminance(ink), luminance(paper)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5  # WCAG 2.2, 1.4.3


@pytest.mark.parametrize(("content", "language"), CASES)
def test_both_parts_name_the_reader_the_sender_and_the_way_out(content: Content, language: str) -> None:
    message = read(content, language)
    page = Page(body(message, "html"))
    assert SLOTS.recipient in body(message, "plain")
    assert SLOTS.unsubscribe_url in body(message, "plain")
    assert IDENTITY.postal_address in body(message, "plain")
    assert SLOTS.unsubscribe_url in [address for address, _ in page.links]
    assert message["List-Unsubscribe"] == f"<{SLOTS.unsubscribe_url}>"


def test_styles_are_on_the_elements_and_dark_mode_stays_a_rule() -> None:
    page = body(read(example("fr.tambour.water-quality"), "fr"), "html")
    assert 'class="callout" style="' in page
    assert "@media (prefers-color-scheme: dark)" in page
    assert page.count("<style") == 1 and "url(" not in page


def test_what_an_event_says_is_never_markup_nor_a_template() -> None:
    hostile = {"fr": "<script>alert(1)</script> {{ data }} {%for%} & \"'", "en": "<b>x</b>"}
    content = with_data(example("fr.tambour.road-works"), reason=hostile)
    message = read(content, "fr")
    page = body(message, "html")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; {{ data }} {%for%} &amp;" in page
    assert "<script>alert(1)</script> {{ data }} {%for%} &" in body(message, "plain")


def test_placeholders_can_not_be_guessed_from_another_mail() -> None:
    content = example("fr.tambour.road-works")
    first = RENDERER.mail(content, IDENTITY, "fr", now=NOW)
    assert first.form == RENDERER.mail(content, IDENTITY, "fr", now=NOW).form
    assert b"unsubscribe-" not in first.form and b"recipient-" not in first.form


def notice(markdown: str) -> EmailMessage:
    content = with_data(example("fr.tambour.notice"), body={"fr": markdown, "en": None})
    return read(content, "fr")


def test_markdown_of_a_notice_becomes_html_and_plain_text() -> None:
    message = notice("# Titre\n\nUn **mot** et [le plan](https://www.valmerande.example/plan).\n\n1. un\n2. deux")
    page = body(message, "html")
    assert re.search(r"<h2[^>]*>Titre</h2>", page)
    assert "<strong>mot</strong>" in page
    assert re.search(r'<a href="https://www.valmerande.example/plan"[^>]*>le plan</a>', page)
    text = body(message, "plain")
    assert "Un mot et le plan (https://www.valmerande.example/plan)." in text
    assert "1. un\n2. deux" in text


@pytest.mark.parametrize(
    "markdown",
    [
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](data:text/html,x)",
        "[x](/relative)",
        "<javascript:alert(1)>",
        "![x](https://tracker.example/pixel.gif)",
    ],
)
def test_markdown_lets_no_html_image_or_strange_link_through(markdown: str) -> None:
    page = Page(body(notice(markdown), "html"))
    assert not any(tag in ("img", "script") for tag, _ in page.elements)
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert all(address.startswith(("https://", "mailto:", "tel:")) for address, _ in page.links)


def test_a_markdown_link_without_words_shows_its_address() -> None:
    page = Page(body(notice("[](https://www.valmerande.example/plan)"), "html"))
    assert ("https://www.valmerande.example/plan", "https://www.valmerande.example/plan") in page.links


# ---------------------------------------------------------------- SMS and posts


@pytest.mark.parametrize(("content", "language"), CASES)
def test_sms_says_who_speaks_fits_two_gsm_segments_and_how_to_stop(content: Content, language: str) -> None:
    text = RENDERER.text(content, IDENTITY, language)
    assert text.startswith("Valmerande")
    assert measure(text).alphabet == "GSM-7"
    assert measure(text).segments <= 2
    assert "STOP" in text
    assert "\n" not in text and "  " not in text and "None" not in text


def test_urgent_sms_has_no_room_for_stop() -> None:
    content = example("fr.tambour.flood-vigilance").model_copy(update={"lane": Lane.URGENT})
    assert "STOP" not in RENDERER.text(content, IDENTITY, "fr")


def test_sms_from_a_sender_that_takes_no_answer_gives_an_address() -> None:
    named = IDENTITY.model_copy(update={"sms_sender": "VALMERANDE"})
    text = RENDERER.text(example("fr.tambour.road-works"), named, "fr")
    assert "STOP" not in text and text.endswith("https://www.valmerande.example/")


@pytest.mark.parametrize(("content", "language"), CASES)
def test_a_post_leads_to_a_page(content: Content, language: str) -> None:
    said = RENDERER.post(content, IDENTITY, language)
    assert "https://" in (said.link or said.text) and "None" not in said.text


def test_a_network_may_have_a_template_of_its_own(folder: Path) -> None:
    (folder / "road-works/mastodon.fr.j2").write_text("Bref : {{ headline }}", encoding="utf-8")
    content = example("fr.tambour.road-works")
    assert Renderer(folder).post(content, IDENTITY, "fr", channel="mastodon").text.startswith("Bref")
    assert not Renderer(folder).post(content, IDENTITY, "fr", channel="facebook").text.startswith("Bref")
    (folder / "road-works/mastodon.fr.j2").write_text("{{ data.strete }}", encoding="utf-8")
    [fault, *_] = Renderer(folder).check()
    assert fault.file == "road-works/mastodon.fr.j2"


def test_a_post_mentions_nobody_whatever_the_event_says() -> None:
    content = with_data(example("fr.tambour.road-works"), reason={"fr": "merci @tous et a@b.example", "en": None})
    text = RENDERER.post(content, IDENTITY, "fr").text
    assert "@\u200btous" in text and "a@b.example" in text


# ---------------------------------------------------------------- languages and actions


def test_headline_is_one_line_with_a_capital_and_french_spaces() -> None:
    content = example("fr.tambour.road-works", Action.UPDATE)
    assert RENDERER.headline(content, "fr") == ("Mise à jour\u00a0: rue des Tisserands barrée du 4 au 13 novembre")
    assert RENDERER.headline(content, "en") == "Update: rue des Tisserands closed from 4 to 13 November"


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: f"{content.template}-{content.action}")
def test_headline_says_what_an_action_does(content: Content) -> None:
    words = {
        Action.ANNOUNCE: "",
        Action.UPDATE: "Mise à jour",
        Action.CANCEL: "Annulé",
        Action.END: "Fin d’alerte" if content.template in ("water-quality", "flood-vigilance") else "Terminé",
    }
    assert RENDERER.headline(content, "fr").startswith(words[content.action])


def test_a_language_the_announcement_lacks_falls_back_on_its_first() -> None:
    content = example("fr.tambour.road-works").model_copy(update={"languages": ("fr",)})
    assert RENDERER.headline(content, "en") == RENDERER.headline(content, "fr")
    assert read(content, "en")["Content-Language"] == "fr"


def test_french_stands_in_for_a_sentence_without_translation() -> None:
    content = with_data(example("fr.tambour.road-works"), reason={"fr": "élagage des platanes", "en": None})
    assert "- Why: élagage des platanes" in body(read(content, "en"), "plain")


def test_hours_are_told_in_the_zone_of_the_authority() -> None:
    content = example("fr.tambour.council-meeting")
    assert RENDERER.headline(content, "fr").endswith("du lundi 16 novembre à 18\u00a0h\u00a030")
    assert RENDERER.headline(content, "fr", zone="Indian/Reunion").endswith("à 21\u00a0h\u00a030")


def test_fields_left_out_of_stored_data_read_as_nothing() -> None:
    content = example("fr.tambour.road-works")
    kept = ("authority", "matter", "revision", "onset", "expires", "street", "traffic", "starts", "ends", "reason")
    bare = content.model_copy(update={"data": {name: content.data[name] for name in kept}})
    text = body(read(bare, "fr"), "plain")
    assert "Déviation" not in text and "None" not in text


# ---------------------------------------------------------------- what may go wrong with a template


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    copy = tmp_path / "templates"
    shutil.copytree(TEMPLATES, copy)
    yield copy


def spoil(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    source = path.read_text("utf-8")
    assert old in source
    path.write_text(source.replace(old, new, 1), encoding="utf-8")


SPOILT = [
    ("road-works/sms.fr.j2", "{{ data.reason |", "{{ data.raison |", 9, "no field 'raison'"),
    ("road-works/sms.en.j2", "{{ headline }}", "{{ title }}", 1, "'title' is undefined"),
    ("notice/sms.en.j2", "{{ headline |", "{% if headline %}{{ headline |", 9, "endif"),
    ("road-works/social.en.j2", "| clause", "| claus", 9, "No filter named 'claus'"),
    ("school-disruption/email.en.j2", "{% block preheader %}", "{% block teaser %}", 1, "no block named 'preheader'"),
    ("council-meeting/sms.fr.j2", "data.place.name", "data.place.nom", 7, "'nom'"),
    ("layouts/words.fr.j2", "it.name", "it.nom", 12, "'nom'"),
    ("council-meeting/email.en.j2", "link(data.live_url", "link('javascript:' ~ data.live_url", 43, "must begin"),
]
"""Template, text, what replaces it, and the line and words of the fault that this must make."""


def test_check_tells_file_line_and_reason_of_every_fault_at_once(folder: Path) -> None:
    for name, old, new, _, _ in SPOILT:
        spoil(folder, name, old, new)
    found = [(fault.file, fault.line, fault.reason) for fault in Renderer(folder).check()]
    for name, _, _, line, reason in SPOILT:
        assert any((name, line) == (file, at) and reason in words for file, at, words in found), (name, found)
    assert {file for file, _, _ in found} == {name for name, *_ in SPOILT}


def test_check_finds_a_misspelt_field_that_no_example_meets(folder: Path) -> None:
    never = '{% if data.street == "nowhere" %}{{ data.strete }}{% endif %}'
    (folder / "road-works/sms.fr.j2").write_text(f"{{{{ headline }}}}\n{never}\n", encoding="utf-8")
    [fault] = Renderer(folder).check()
    assert (fault.file, fault.line) == ("road-works/sms.fr.j2", 2)
    assert "'strete'" in fault.reason


def test_check_misses_no_missing_template(folder: Path) -> None:
    names = sorted(f"{template_of(type_)}/social.en.j2" for type_ in TYPES)
    for name in names:
        (folder / name).unlink()
    assert Renderer(folder).check() == [Fault(name, 1, "there is no such template") for name in names]


def test_check_tells_of_examples_that_do_not_fit(folder: Path) -> None:
    spoil(folder, "notice/examples.json", '"headline"', '"title"')
    [fault] = Renderer(folder).check()
    assert fault.file == "notice/examples.json" and "title" in fault.reason
    (folder / "notice/examples.json").write_text("[\n{]", encoding="utf-8")
    [fault] = Renderer(folder).check()
    assert (fault.file, fault.line) == ("notice/examples.json", 2)


def test_rendering_a_template_with_an_undefined_name_tells_its_line(folder: Path) -> None:
    spoil(folder, "road-works/email.fr.j2", "{{ data.street }} {{ data.starts", "{{ data.rue }} {{ data.starts")
    with pytest.raises(TemplateError) as caught:
        Renderer(folder).headline(example("fr.tambour.road-works", Action.CANCEL), "fr")
    assert caught.value.file == "road-works/email.fr.j2"
    assert "'rue'" in caught.value.reason
    source = (folder / "road-works/email.fr.j2").read_text("utf-8").splitlines()
    assert "data.rue" in source[caught.value.line - 1]


def test_a_layout_without_unsubscribe_link_does_not_render(folder: Path) -> None:
    spoil(folder, "layouts/email.txt.j2", "{{ unsubscribe_url }}", "")
    with pytest.raises(TemplateError, match="no unsubscribe link"):
        Renderer(folder).mail(example("fr.tambour.road-works"), IDENTITY, "fr")


@pytest.mark.parametrize(
    "expression",
    [
        "data.__class__",
        "data['__class__'].mro()",
        "''.__class__.__mro__",
        "words.__init__.__globals__",
        "data.keys()",
        "data.update({'a': 1})",
        "areas.__len__()",
        "wording.zone",
        "onset.year",
        "link.__func__.__globals__",
        "facts.__self__",
        "'{0.__class__}'.format(data)",
        "self._TemplateReference__context",
        "range(10)",
        "lipsum()",
        "data | attr('__class__')",
        "cycler.__init__.__globals__.os",
    ],
)
def test_a_template_reaches_nothing_but_its_values(folder: Path, expression: str) -> None:
    (folder / "road-works/sms.fr.j2").write_text(f"ok\n{{{{ {expression} }}}}\n", encoding="utf-8")
    with pytest.raises(TemplateError) as caught:
        Renderer(folder).text(example("fr.tambour.road-works"), IDENTITY, "fr")
    assert (caught.value.file, caught.value.line) == ("road-works/sms.fr.j2", 2)
