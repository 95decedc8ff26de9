"""Turns values into pages: language, links that keep it, Paris time, and the headers of a strict page."""

from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sandbox.wording import WORDING

_PARIS = ZoneInfo("Europe/Paris")
_FORMATS = {"fr": "%d/%m/%Y à %H:%M:%S", "en": "%d %b %Y, %H:%M:%S"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class View:
    """Renders the templates of this package."""

    def __init__(self, default_language: str) -> None:
        self._default = default_language
        self._environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
        )

    def page(self, request: web.Request, template: str, section: str, status: int = 200, **values: Any) -> web.Response:
        """A page in the language asked for (``?lang=``), else the default one."""
        language = request.query.get("lang", self._default)
        if language not in WORDING:
            language = self._default
        words = WORDING[language]

        def link(path: str, **query: Any) -> str:
            if language != self._default:
                query["lang"] = language
            return quote(path, safe="/@+") + (f"?{urlencode(query)}" if query else "")

        def when(moment: str) -> Markup:
            shown = datetime.fromisoformat(moment).astimezone(_PARIS).strftime(_FORMATS[language])
            return Markup('<time datetime="{}">{}</time>').format(moment, shown)

        body = self._environment.get_template(template).render(
            t=words.__getitem__,
            link=link,
            when=when,
            lang=language,
            default_language=self._default,
            section=section,
            other_language=request.rel_url.update_query(lang=words["other_code"]),
            **values,
        )
        return web.Response(text=body, content_type="text/html", status=status, headers=_HEADERS)


def page_asked(request: web.Request) -> int:
    """The number of the page asked for (``?page=``), from 1."""
    asked = request.query.get("page", "1")
    return max(1, int(asked)) if asked.isascii() and asked.isdecimal() and len(asked) < 9 else 1


def paged(page: int, total: int, size: int) -> dict[str, int]:
    """What the pager of a list of ``total`` needs."""
    return {"page": page, "pages": max(1, -(-total // size)), "total": total}
