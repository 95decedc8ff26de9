"""The layout of mails: logo and pictures where there are some, a preview that ends, colours for the dark."""

import email
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email import policy
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hub.mail_mime import Headers, InlineImage, MailSlots, Placeholders, compose
from hub.rendering import TEMPLATES
from hub.rendering.environment import environment, forms, pieces
from hub.rendering.layout import inlined
from hub.wording import Wording

pytestmark = pytest.mark.unit

HOLES = Placeholders.fresh()
LOGO = {"cid": "logo", "alt": "Blason de Valmerande"}
PICTURES = [
    {"cid": "photo-1", "alt": "Le quai Vauclair sous l'eau", "credit": "Photo : Ville de Valmerande"},
    {"cid": "photo-2", "alt": "La déviation", "credit": None},
]


def rendered(form: str, **more: Any) -> str:
    """The layout in one of its two forms."""
    html = form == "html"
    sandbox, wording = environment(TEMPLATES, html=html), Wording("fr", ZoneInfo("Europe/Paris"), 2026)
    scene: Mapping[str, Any] = {
        "language": "fr",
        "wording": wording,
        "words": sandbox.get_template("layouts/words.fr.j2").module,
        "identity": {
            "name": "Ville de Valmerande",
            "phone": None,
            "postal_address": "Place du Tambour, 96001 Valmerande",
            "website": "https://www.valmerande.example/",
        },
        "contact": None,
        "subject": "Rue des Tisserands barrée",
        "preheader": "Déviation par le quai Vauclair.",
        "body": "Bonjour",
        "recipient": HOLES.recipient,
        "unsubscribe_url": HOLES.unsubscribe_url,
        **pieces(forms(wording, html=html)),
    }
    said = sandbox.get_template(f"layouts/email.{form}.j2").render({**scene, **more})
    return inlined(said) if html else said


class Seen(HTMLParser):
    """Images with their attributes, and the text that a preview is made of: all of it, hidden or not."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.text = ""
        self.style = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.style = tag in ("style", "title")
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        self.style = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self.style else data


def test_logo_and_pictures_stand_in_the_page_with_their_alternative_text() -> None:
    page = rendered("html", logo=LOGO, pictures=PICTURES)
    logo, first, second = Seen(page).images
    assert (logo["src"], logo["alt"]) == ("cid:logo", "Blason de Valmerande")
    assert (first["src"], first["alt"]) == ("cid:photo-1", "Le quai Vauclair sous l'eau")
    assert second["alt"] == "La déviation"
    assert page.count("Photo&nbsp;: Ville de Valmerande") == 1 and page.count('class="credit"') == 1


def test_text_says_what_the_pictures_show() -> None:
    said = rendered("txt", logo=LOGO, pictures=PICTURES)
    assert "[Le quai Vauclair sous l'eau] Photo\u00a0: Ville de Valmerande\n" in said
    assert "[La déviation]\n" in said


@pytest.mark.parametrize("absent", [{}, {"logo": None, "pictures": []}])
def test_without_logo_and_pictures_there_is_no_trace_of_them(absent: dict[str, Any]) -> None:
    assert "<img" not in rendered("html", **absent) and "[" not in rendered("txt", **absent)
    assert rendered("txt", **absent) == rendered("txt")


def test_what_a_picture_is_called_is_never_markup() -> None:
    page = rendered("html", pictures=[{"cid": "x", "alt": '"><script>', "credit": "<b>"}])
    (image,) = Seen(page).images
    assert image["alt"] == '"><script>' and "&lt;b&gt;" in page and "<b>" not in page


@pytest.mark.parametrize("length", [1, 31, 100, 199, 200, 250])
def test_preview_ends_where_the_preheader_ends(length: int) -> None:
    preheader = ("Déviation par le quai Vauclair. " * 9)[: length - 1] + "!"
    text = Seen(rendered("html", preheader=preheader)).text.lstrip()
    assert text.startswith(preheader)
    filling = text.removeprefix(preheader).partition("Ville de Valmerande")[0]
    assert not re.sub(r"[\s\u2007\u034f]", "", filling), "nothing that can be read"
    shown = len(filling.strip("\n").replace("\u034f", ""))  # what takes room; a line end is a blank
    assert length + shown >= 199, "as long as any preview"
    assert length + shown < 220 or not shown, "no longer than that"


def test_whole_mail_with_images_is_one_that_programs_read() -> None:
    images = [InlineImage(cid, b"\x89PNG" + bytes(99), "image/png") for cid in ("logo", "photo-1", "photo-2")]
    now = datetime(2026, 11, 4, tzinfo=UTC)
    headers = Headers("Ville", "a@valmerande.example", None, "Rue barrée", now, "a.valmerande.example", "fr")
    page, text = (rendered(form, logo=LOGO, pictures=PICTURES) for form in ("html", "txt"))
    content = compose(headers, text, page, HOLES, images).splice(
        MailSlots("marie@courriel.example", "1@valmerande.example", "https://valmerande.example/u/1")
    )
    message = email.message_from_bytes(content, policy=policy.default)
    kinds = [part.get_content_type() for part in message.walk()]
    assert kinds == ["multipart/alternative", "text/plain", "multipart/related", "text/html", *["image/png"] * 3]
    assert not any(part.defects for part in message.walk())
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


# colours

LAYOUT = (TEMPLATES / "layouts/email.html.j2").read_text("utf-8")
LIGHT, DARK = re.search(r"<style>(.*?)@media \(prefers-color-scheme: dark\) \{(.*?)\n\}", LAYOUT, re.DOTALL).groups()  # type: ignore[union-attr]


def rules(sheet: str) -> dict[str, dict[str, str]]:
    """Selector → property → colour."""
    found: dict[str, dict[str, str]] = {}
    for selectors, declarations in re.findall(r"([^{}]+)\{([^{}]*)\}", sheet):
        colours = dict(re.findall(r"(?:^|[\s;])(color|background): (#[0-9a-f]{6})", declarations))
        for selector in selectors.split(","):
            found.setdefault(selector.strip(), {}).update(colours)
    return found


def luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_every_text_contrasts_with_what_it_stands_on(mode: str) -> None:
    colours = rules(LIGHT)
    if mode == "dark":
        for selector, changed in rules(DARK).items():
            colours.setdefault(selector, {}).update(changed)
    sheet = colours[".sheet"]["background"]
    for selector, own in colours.items():
        if "color" in own:
            paper = own.get("background", sheet)
            lighter, darker = sorted((luminance(own["color"]), luminance(paper)), reverse=True)
            ratio = (lighter + 0.05) / (darker + 0.05)
            if selector == "body" and mode == "dark":
                continue  # nothing stands on the page itself: all of it is on the sheet
            assert ratio >= 4.5, f"{selector}: {own['color']} on {paper} is {ratio:.1f}"  # WCAG 2.2, 1.4.3


def test_logo_stands_on_white_in_the_light_and_in_the_dark() -> None:
    assert rules(LIGHT)[".logo"]["background"] == rules(DARK)[".logo"]["background"] == "#ffffff"


def test_page_says_that_it_knows_both_modes() -> None:
    page = rendered("html")
    assert '<meta name="color-scheme" content="light dark">' in page
    assert '<meta name="supported-color-schemes" content="light dark">' in page
    assert "color-scheme: light dark" in page.partition("<body")[0]
