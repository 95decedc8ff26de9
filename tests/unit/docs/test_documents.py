"""Documents that can't go stale unnoticed: links lead somewhere, commands exist, both READMEs say the same."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from launcher.main import app
from sandbox import addresses, phones
from sandbox.faults import KINDS

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
DECISIONS = sorted(ROOT.glob("docs/adr/[0-9]*.md"))
LARGEST_IMAGE = 250 * 1024
NARROW, WIDE = "\u202f", "\u00a0"


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(text: str) -> str:
    """The text without code and without addresses of links."""
    return re.sub(r"\]\([^)]*\)", "]", re.sub(r"```.*?```|`[^`\n]*`|https?://\S+", "", text, flags=re.DOTALL))


def links(text: str) -> Iterator[str]:
    """Targets of links and images, code left out."""
    yield from re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_link_leads_to_something_that_is_there(document: Path) -> None:
    lost = []
    for found in links(read(document)):
        target = "".join(found)
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        place = (document.parent / path).resolve() if path else document
        if not place.exists() or (anchor and anchor not in anchors(read(place))):
            lost.append(target)
    assert lost == []


def anchors(text: str) -> set[str]:
    """The anchors that a code host makes of headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands() -> set[str]:
    """What may follow ``./tambour``: ``test`` and ``bench`` are the bootstrap's own."""
    group = get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    return {*group.commands, "test", "bench"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_command_that_is_shown_exists(document: Path) -> None:
    shown = set(re.findall(r"(?:\./tambour|python -m launcher) ([a-z][a-z-]*)", read(document)))
    assert shown - commands() == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_no_document_names_a_place_of_somebodys_machine(document: Path) -> None:
    assert not re.search(r"/(work|root|home)/|/opt/tenv", read(document))


@pytest.mark.parametrize("image", sorted(ROOT.glob("docs/images/*")), ids=named)
def test_every_image_is_small_and_shown(image: Path) -> None:
    assert image.suffix == ".png"
    assert image.stat().st_size <= LARGEST_IMAGE
    assert any(image.name in read(document) for document in DOCUMENTS)


def test_every_image_has_words_for_those_who_do_not_see_it() -> None:
    for document in DOCUMENTS:
        for tag in re.findall(r"<img [^>]*>", read(document)):
            assert re.search(r'alt="[^"]{20,}"', tag), tag
        for alternative in re.findall(r"!\[([^\]]*)\]", prose(read(document))):
            assert len(alternative) >= 20, alternative


def test_both_readmes_have_the_same_parts_commands_and_images() -> None:
    english, french = read(ROOT / "README.md"), read(ROOT / "README.fr.md")

    def parts(text: str) -> list[str]:
        return re.findall(r"^(#+) ", text, re.MULTILINE)

    def code(text: str) -> list[str]:
        blocks = re.findall(r"^```\w*\n.*?^```$", text, re.MULTILINE | re.DOTALL)
        return [re.sub(r"#.*", "", block).replace(";fr;", ";en;") for block in blocks]

    def images(text: str) -> list[str]:
        return re.findall(r"docs/images/([a-z]+)\.", text)

    assert parts(french) == parts(english)
    assert code(french) == code(english)
    assert images(french) == images(english)
    assert all(f"{name}.fr.png" in french and f"{name}.en.png" in english for name in images(english))


def test_french_is_set_as_it_should_be() -> None:
    text = prose(read(ROOT / "README.fr.md"))
    assert not re.search(rf"[^{NARROW}{WIDE}\s|:\-][:;?!](?=[\s*])", text.replace("\n", " "))
    assert not re.search(r" [;?!:](?=[\s*])", text)
    assert not re.search(r"\w'\w", text), "an apostrophe is ’"
    assert not re.search(rf"«[^{WIDE}{NARROW}]|[^{WIDE}{NARROW}]»", text)
    assert not re.search(r"\d \d{3}\b", text)


@pytest.mark.parametrize("record", DECISIONS, ids=named)
def test_decision_record_fits_a_page_and_is_listed(record: Path) -> None:
    text = read(record)
    assert re.match(rf"# {record.name[:4]}\. ", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert len(text.splitlines()) <= 60
    assert f"]({record.name})" in read(record.parent / "README.md")


def test_architecture_has_one_diagram_and_fits_about_a_page() -> None:
    text = read(ROOT / "docs/architecture.md")
    assert text.count("```mermaid") == 1
    assert len(text.split()) < 1500


def test_operations_name_the_log_lines_that_there_are() -> None:
    table = re.search(r"^\| event \| level \| says \|\n(.*?)\n\n", read(ROOT / "docs/operations.md"), re.M | re.DOTALL)
    assert table is not None
    code = "\n".join(
        read(path) for folder in ("hub", "streams", "publishers") for path in (ROOT / folder).rglob("*.py")
    )
    for row in table[1].splitlines()[1:]:
        for name in re.findall(r"`([\w.]+)`", row.split("|")[1]):
            assert f'"{name}"' in code or f'.{name.rpartition(".")[2]}"' in code, name  # or made of the channel's name


def test_operations_name_the_reasons_of_dead_letters_that_there_are() -> None:
    table = re.search(r"^\| reason \| usual cause \|\n(.*?)\n\n", read(ROOT / "docs/operations.md"), re.M | re.DOTALL)
    assert table is not None
    listed = set(re.findall(r"^\| `(\w+)`", table[1], re.MULTILINE))
    there_are = set(re.findall(r'_Poison\(\s*"(\w+)"', read(ROOT / "hub/intake.py")))
    assert listed == there_are


def test_licence_is_the_eupl() -> None:
    text = read(ROOT / "LICENSE")
    assert text.startswith("EUROPEAN UNION PUBLIC LICENCE v. 1.2\n")
    assert "Compatible Licences" in text and "15.Applicable Law" in text
    assert 'license = "EUPL-1.2"' in read(ROOT / "pyproject.toml")


def test_sandbox_page_lists_every_address_and_number_that_misbehaves() -> None:
    page = read(ROOT / "docs/sandbox.md")
    text = page.partition("## Addresses that misbehave")[2].partition("\n## ")[0]
    words = {
        word
        for row in re.findall(r"^\| (`[a-z].*?) \|", text, re.MULTILINE)
        for word in re.findall(r"`([a-z-]+)`", row)
    }
    digits = {number for row in re.findall(r"^\| (\d\d[\d, ]*) \|", text, re.MULTILINE) for number in row.split(", ")}
    assert words == set(addresses.BEHAVIOURS)
    assert digits == set(phones.BEHAVIOURS)
    assert all(f"`{kind}`" in page for kind in KINDS)
