"""The pieces that an e-mail template is written with, in both its forms: HTML and plain text.

An author writes one body: paragraphs between blank lines, and pieces such as ``facts`` or ``callout``. Each
piece exists twice here under one name, so that the two parts of a mail can't drift apart.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

Pairs = Iterable[tuple[str, str | None]]

_LINK = re.compile(r"(?:https?://|mailto:|tel:)[^\s<>\"]+", re.IGNORECASE)
_BLANK_LINE = re.compile(r"[ \t\r]*\n(?:[ \t\r]*\n)+")
_BLOCK = re.compile(r"<(?:ul|ol|p|h[2-6]|div|table|blockquote|hr|pre)\b")
_SPACES = re.compile(r"[ \t\r\n]+")
_TAG = re.compile(r"(<[^>]*>)")
# Stands for a line end that filling a paragraph must keep; events may not hold this character.
_LINE_END = "\u2028"


class Forms(Protocol):
    """What a template can call."""

    def facts(self, pairs: Pairs) -> str:
        """A list of labels and values; a value that is None or empty leaves its line out."""
        ...

    def bullets(self, items: Iterable[str]) -> str:
        """A list."""
        ...

    def callout(self, text: str) -> str:
        """The one sentence that must be seen."""
        ...

    def heading(self, text: str) -> str:
        """The title of a part."""
        ...

    def link(self, url: str, label: str) -> str:
        """A link with its text. Only http, https, mailto and tel; any other raises ValueError."""
        ...

    def markdown(self, text: str) -> str:
        """An officer's text; raw HTML in it is shown, never obeyed."""
        ...

    def body(self, text: str) -> str:
        """A whole rendered body, paragraphs made and typography applied."""
        ...


@dataclass(frozen=True, slots=True)
class HtmlForms:
    """Pieces as HTML; plain strings given to them are escaped. ``spaced`` is the language's typography."""

    spaced: Callable[[str], str]
    colon: str

    def facts(self, pairs: Pairs) -> str:
        """A list whose labels stand in bold."""
        return self._list(
            Markup("<strong>{}{}</strong> {}").format(name, self.colon.rstrip(), value)
            for name, value in pairs
            if value
        )

    def bullets(self, items: Iterable[str]) -> str:
        """An unordered list."""
        return self._list(items)

    def callout(self, text: str) -> str:
        """A paragraph set apart by more than its colour."""
        return Markup('\n\n<div class="callout"><strong>{}</strong></div>\n\n').format(text)

    def heading(self, text: str) -> str:
        """A heading of the second level: the subject is the first."""
        return Markup("\n\n<h2>{}</h2>\n\n").format(text)

    def link(self, url: str, label: str) -> str:
        """An anchor."""
        return Markup('<a href="{}">{}</a>').format(_permitted(url), label)

    def markdown(self, text: str) -> str:
        """Markdown (CommonMark) as HTML, its headings one level down."""
        tokens = _MARKDOWN.parse(text)
        _adapt(tokens)
        return Markup("\n\n<div>{}</div>\n\n").format(
            Markup(_BLANK_LINE.sub("\n", _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})))
        )

    def body(self, text: str) -> str:
        """Blank lines make paragraphs; tags are left as they are."""
        chunks = (chunk.strip() for chunk in _BLANK_LINE.split(text) if chunk.strip())
        page = "\n".join(chunk if _BLOCK.match(chunk) else f"<p>{chunk}</p>" for chunk in chunks)
        parts = _TAG.split(page)  # odd ones are tags, in which no space may change
        return "".join(part if index % 2 else self.spaced(part) for index, part in enumerate(parts))

    def _list(self, items: Iterable[str]) -> str:
        lines = Markup("\n").join(Markup("<li>{}</li>").format(item) for item in items)
        return Markup("\n\n<ul>\n{}\n</ul>\n\n").format(lines) if lines else Markup("")


@dataclass(frozen=True, slots=True)
class TextForms:
    """Pieces as plain text, for readers and programs that show no HTML."""

    spaced: Callable[[str], str]
    colon: str

    def facts(self, pairs: Pairs) -> str:
        """A dash, the label, the value."""
        return self._list(f"{name}{self.colon}{value}" for name, value in pairs if value)

    def bullets(self, items: Iterable[str]) -> str:
        """One dash an item."""
        return self._list(items)

    def callout(self, text: str) -> str:
        """A paragraph between stars."""
        return f"\n\n*** {text} ***\n\n"

    def heading(self, text: str) -> str:
        """The title, underlined."""
        return f"\n\n{text}{_LINE_END}{'-' * len(text)}\n\n"

    def link(self, url: str, label: str) -> str:
        """The text, then the address; a mail address or a number needs only itself."""
        bare = _permitted(url).removeprefix("mailto:").removeprefix("tel:")
        return label if bare.replace(" ", "") == label.replace(" ", "") else f"{label}{self.colon}{bare}"

    def markdown(self, text: str) -> str:
        """Markdown without its marks: addresses after the words they belong to."""
        tokens = _MARKDOWN.parse(text)
        _adapt(tokens)
        return f"\n\n{_plain(tokens)}\n\n"

    def body(self, text: str) -> str:
        """Blank lines make paragraphs; a paragraph is one line, which the reader's program wraps."""
        chunks = (_SPACES.sub(" ", chunk).strip() for chunk in _BLANK_LINE.split(text) if chunk.strip())
        return self.spaced("\n\n".join(chunks).replace(_LINE_END, "\n"))

    def _list(self, items: Iterable[str]) -> str:
        lines = _LINE_END.join(f"- {item}" for item in items)
        return f"\n\n{lines}\n\n" if lines else ""


def _permitted(url: str) -> str:
    if not _LINK.fullmatch(url):
        raise ValueError(f"a link must begin with http:, https:, mailto: or tel:, not {url!r}")
    return url


def _markdown() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False})
    # no images: most mail programs hide them, and what a picture of text says is lost to a screen reader
    reader.disable("image")
    reader.validateLink = lambda url: bool(_LINK.fullmatch(url))  # type: ignore[method-assign]
    return reader


_MARKDOWN = _markdown()


def _adapt(tokens: Sequence[Token]) -> None:
    """Move headings one level down (the page has its h1), and give a link without words its address."""
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + 1, 6)}"
        children = token.children or []
        for index in reversed(range(len(children) - 1)):
            if children[index].type == "link_open" and children[index + 1].type == "link_close":
                words = Token("text", "", 0, content=str(children[index].attrGet("href")))
                children.insert(index + 1, words)


def _plain(tokens: Sequence[Token]) -> str:
    """Block tokens as paragraphs; an item's number or dash stands before its first line."""
    paragraphs: list[str] = []
    mark = ""
    numbers: list[int | None] = []  # one a list that is open; None in a list of dashes
    for token in tokens:
        if token.type in ("bullet_list_open", "ordered_list_open"):
            numbers.append(int(token.attrGet("start") or 1) if token.type == "ordered_list_open" else None)
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            numbers.pop()
        elif token.type == "list_item_open":
            number = numbers[-1]
            mark = "- " if number is None else f"{number}. "
            numbers[-1] = None if number is None else number + 1
        elif token.type in ("inline", "fence", "code_block"):
            line = _inline(token) if token.type == "inline" else token.content.strip().replace("\n", _LINE_END)
            tight = bool(mark) and token.level > 1 and bool(paragraphs) and _is_item(paragraphs[-1])
            if tight:
                paragraphs[-1] += f"{_LINE_END}{mark}{line}"
            else:
                paragraphs.append(mark + line)
            mark = ""
    return "\n\n".join(paragraphs)


def _is_item(paragraph: str) -> bool:
    return bool(re.match(r"- |\d+\. ", paragraph))


def _inline(token: Token) -> str:
    words: list[str] = []
    href = ""
    start = 0
    for child in token.children or []:
        if child.type == "link_open":
            href, start = str(child.attrGet("href") or ""), len(words)
        elif child.type == "link_close":
            label = "".join(words[start:])
            bare = href.removeprefix("mailto:").removeprefix("tel:")
            words.extend([] if bare == label else [f" ({bare})"])
        elif child.type in ("softbreak", "hardbreak"):
            words.append(" " if child.type == "softbreak" else _LINE_END)
        else:
            words.append(child.content)
    return "".join(words)
