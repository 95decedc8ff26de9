"""The sandbox that templates run in, twice: for HTML, which escapes, and for plain text, which does not.

A template is written by people we trust less than our code: it reaches values, our filters and our pieces, and
nothing else. What events say is always a value, never a template.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, pass_context
from jinja2.environment import TemplateModule
from jinja2.ext import Extension
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from hub.rendering.forms import Forms, HtmlForms, TextForms
from hub.wording import Wording, agree, capital, clause, of_french, phone, sentence, the_english, the_french

_BUILT_IN = frozenset({"default", "first", "join", "last", "length", "list", "lower", "map", "reject", "select"})
"""Filters of Jinja's own that a template may use; more of them would only be more ways to fail."""

_TAGS = re.compile(r"\{%.*?%\}")
_TAG_ENDS_TEXT = re.compile(r".*\{%.*[^-+]%\}")
_REACHABLE = (str, LoopContext, TemplateModule)
_COLONS = {"fr": " : ", "en": ": "}


class Sandbox(ImmutableSandboxedEnvironment):
    """``data.items`` is the field of that name; a mapping's methods are out of reach."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """The field of a mapping, or what the sandbox allows of any other value."""
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """As ``getattr`` for mappings: no method in place of a missing field."""
        if isinstance(obj, Mapping):
            return self.getattr(obj, argument)
        return super().getitem(obj, argument)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Only strings, the loop's counters and the shared phrases have attributes for a template."""
        return isinstance(obj, _REACHABLE) and super().is_safe_attribute(obj, attr, value)


class LineEnds(Extension):
    """A line that holds only tags leaves nothing; one that holds text, too, keeps its line end.

    Jinja's ``trim_blocks`` takes the line end after every tag, and would glue a sentence that ends in
    ``{% endif %}`` to the next one. Lines are marked, not removed, so that faults keep their line numbers.
    """

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """The source with ``+%}`` (keep the line end) after text."""
        return "\n".join(
            line[:-2] + "+%}" if _TAG_ENDS_TEXT.fullmatch(line) and _TAGS.sub("", line).strip() else line
            for line in source.split("\n")
        )


class Missing(StrictUndefined):
    """A name that isn't there. Asking whether it is there fails too: a misspelt field must not read as empty."""

    __slots__ = ()


def environment(folder: Path, *, html: bool) -> Sandbox:
    """The sandbox for templates of that folder; ``html`` escapes values."""
    sandbox = Sandbox(
        loader=FileSystemLoader(folder),
        autoescape=html,
        undefined=Missing,
        extensions=[LineEnds],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=lambda value: "" if value is None else value,
    )
    sandbox.globals.clear()
    sandbox.filters = {name: sandbox.filters[name] for name in _BUILT_IN} | FILTERS
    return sandbox


def forms(wording: Wording, *, html: bool) -> Forms:
    """The pieces of mail bodies in one of their two forms."""
    kind = HtmlForms if html else TextForms
    return kind(wording.spaced, _COLONS[wording.language])


def pieces(forms: Forms) -> dict[str, Callable[..., str]]:
    """The functions that a template can call."""
    return {
        "facts": forms.facts,
        "bullets": forms.bullets,
        "callout": forms.callout,
        "heading": forms.heading,
        "link": forms.link,
        "markdown": forms.markdown,
    }


PIECES = frozenset({"facts", "bullets", "callout", "heading", "link", "markdown"})
"""The names of the pieces."""

VARIABLES = frozenset(
    [
        "language",
        "action",
        "severity",
        "urgent",
        "areas",
        "onset",
        "expires",
        "contact",
        "data",
        "identity",
        "words",
        "wording",
        "headline",
        "can_reply",
    ]
)
"""What every template is given, besides the pieces. Email templates make the headline, and don't have it."""


def _worded(method: Callable[..., str]) -> Callable[..., Any]:
    """A method of Wording as a filter: language and time zone come from the template's context."""

    @pass_context
    def filtered(context: Context, value: Any, *arguments: Any, **options: Any) -> Any:
        return _given(lambda said: method(context["wording"], said, *arguments, **options), value, *arguments)

    return filtered


def _plain(function: Callable[..., str | None]) -> Callable[..., Any]:
    """A function of a text as a filter."""

    def filtered(value: Any, *arguments: Any) -> Any:
        return _given(lambda said: function(said, *arguments), value, *arguments)

    return filtered


def _given(function: Callable[[Any], Any], value: Any, *arguments: Any) -> Any:
    """A filter of nothing is nothing, so that an optional field needs no question; a misspelt one fails."""
    for operand in (value, *arguments):
        if isinstance(operand, Undefined):
            str(operand)  # raises the error that names the field
    if value is None:
        return None
    said = function(value)
    # markup stays markup: these functions add and remove nothing that HTML would read
    return Markup(said) if isinstance(value, Markup) and said is not None else said


def _each(items: Iterable[Any], macro: Callable[[Any], str]) -> list[str]:
    """What a macro makes of each item."""
    return [macro(item) for item in items]


def _listed(wording: Wording, items: Iterable[str]) -> str:
    """Items as a phrase; markup and plain strings may be mixed."""
    given = list(items)
    if any(isinstance(item, Markup) for item in given):
        return Markup(wording.listed(str(escape(item)) for item in given))
    return wording.listed(given)


def _labelled(wording: Wording, text: str) -> str:
    return text + _COLONS[wording.language]


def _contact_link(text: str) -> str | None:
    """The address that reaches a contact: mailto:, tel:, or None when it is neither."""
    if re.fullmatch(r"[^\s@<>\"]+@[^\s@<>\"]+\.[^\s@<>\"]+", text):
        return f"mailto:{text}"
    return f"tel:{re.sub(r'[^+0-9]', '', text)}" if re.fullmatch(r"\+?[0-9][0-9 .()-]{1,18}", text) else None


FILTERS: dict[str, Callable[..., Any]] = {
    "day": _worded(Wording.day),
    "short_day": _worded(Wording.short_day),
    "days": _worded(Wording.days),
    "hour": _worded(Wording.hour),
    "hours": _worded(Wording.hours),
    "moment": _worded(Wording.moment),
    "listed": _worded(_listed),
    "number": _worded(Wording.number),
    "spaced": _worded(Wording.spaced),
    "labelled": _worded(_labelled),
    "capital": _plain(capital),
    "clause": _plain(clause),
    "sentence": _plain(sentence),
    "phone": _plain(phone),
    "agree": _plain(agree),
    "le": _plain(the_french),
    "de": _plain(of_french),
    "river": _plain(the_english),
    "contact_link": _plain(_contact_link),
    "one_line": _plain(lambda text: ", ".join(text.splitlines())),
    "each": _each,
}
"""Our filters, by the name that templates use."""
