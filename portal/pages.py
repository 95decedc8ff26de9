"""Pages from templates: words, dates and numbers in the reader's language, and the part that keeps itself fresh."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from babel.numbers import format_decimal
from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pydantic import ValidationError

from hub.rendering import Renderer, TemplateError
from hub.settings import Settings
from portal.texts import LANGUAGES, Words, preferred
from schemas.announcements import Content

HERE = Path(__file__).parent
_LOCALES = {"fr": "fr_FR", "en": "en_GB"}
_NBSP = "\u00a0"
_SUBJECTS = ("headline", "street", "school", "river", "station", "kinds", "restriction", "place")
"""Where the data of an event says, in a few words, what it is about."""


_RENDERER = Renderer()


class Formats:
    """How one reader is shown values. Times are in the authority's zone."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._locale = _LOCALES[language]

    def when(self, at: datetime | str | None, zone: str = "Europe/Paris") -> Markup:
        """A moment to the second, as a ``time`` element that also carries it in ISO 8601."""
        if at is None:
            return Markup("–")
        moment = datetime.fromisoformat(at) if isinstance(at, str) else at
        shown = format_datetime(moment, "d MMM y, HH:mm:ss", tzinfo=ZoneInfo(zone), locale=self._locale)
        return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(timespec="seconds"), shown)

    def day(self, at: datetime, zone: str = "Europe/Paris") -> str:
        """A day, as it is said to people: 4 novembre 2026."""
        return str(format_datetime(at, "d MMMM y", tzinfo=ZoneInfo(zone), locale=self._locale))

    def number(self, value: float) -> str:
        """1 204 in French, 1,204 in English."""
        return str(format_decimal(value, locale=self._locale))

    def seconds(self, value: float | None) -> str:
        """A length of time: 0,84 s; 12 s; 3 min 20 s; 2 h 5 min."""
        if value is None:
            return "–"
        if value < 60:
            digits = "0.00" if value < 1 else "0.0" if value < 10 else "0"
            return f"{format_decimal(value, format=digits, locale=self._locale)}{_NBSP}s"
        minutes, rest = divmod(round(value), 60)
        if minutes < 60:
            return f"{minutes}{_NBSP}min{_NBSP}{rest}{_NBSP}s"
        return f"{minutes // 60}{_NBSP}h{_NBSP}{minutes % 60}{_NBSP}min"

    def headline(self, content: Mapping[str, Any], zone: str) -> str:
        """An announcement in one line, as its mail's subject says it; empty when it can't be said any more."""
        try:
            return _RENDERER.headline(Content.model_validate(content), self._language, zone=zone)
        except (TemplateError, ValidationError):
            return ""  # written by an older version of the types or templates: the page shows its fields

    def subject(self, data: Mapping[str, Any]) -> str:
        """What the data of an event is about, in a few words; empty when it doesn't say."""
        for name in _SUBJECTS:
            value = data.get(name)
            if isinstance(value, dict):
                value = value.get(self._language) or next(iter(value.values()), None)
            if isinstance(value, list):
                value = ", ".join(map(str, value))
            if isinstance(value, str) and value:
                return value
        return ""

    @staticmethod
    def pretty(value: Any) -> str:
        """JSON for people."""
        return json.dumps(value, ensure_ascii=False, indent=2)


class Pages:
    """Renders templates/ for requests. One instance serves the whole process."""

    def __init__(self, settings: Settings) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        sandbox = settings.portal.sandbox_url
        content = b"".join(path.read_bytes() for path in sorted((HERE / "static").iterdir()))
        self._environment.globals |= {
            "sandbox_url": str(sandbox) if sandbox else None,
            "static_version": hashlib.sha256(content).hexdigest()[:12],
        }

    def page(
        self, request: Request, template: str, *, status: int = 200, language: str | None = None, **values: Any
    ) -> HTMLResponse:
        """A whole page; ``language`` is for a reader who did not choose one here."""
        asked = request.query_params.get("lang")
        spoken = _language(request, language)
        content = self._environment.get_template(template).render(self._context(request, spoken), **values)
        response = HTMLResponse(content, status, headers={"Content-Language": spoken, "Vary": "Accept-Language"})
        if asked in LANGUAGES:
            response.set_cookie("lang", asked, max_age=31_536_000, httponly=True, samesite="lax")
        return response

    def live(
        self, request: Request, template: str, fragment: str, *, figures: str | None = None, **values: Any
    ) -> Response:
        """A page around a part that asks for itself every two seconds, or only that part when it is asked for.

        The part carries a digest of itself; as long as nothing changed, it is answered with 204 and the reader's
        focus, selection and opened details stay as they are. ``figures`` names the text that is read aloud when
        it changes: a key of TEXTS, filled in from ``values``.
        """
        spoken = _language(request, None)
        context = self._context(request, spoken)
        body = Markup(self._environment.get_template(fragment).render(context, **values))
        said = Words(spoken)(figures, **values["spoken"](Formats(spoken))) if figures else ""
        digest = hashlib.sha256(f"{said}\0{body}".encode()).hexdigest()[:16]
        seen = request.query_params.get("seen")
        if seen == digest and "hx-request" in request.headers:
            return Response(status_code=204)
        again = request.url.remove_query_params(["seen"]).include_query_params(seen=digest)
        paused = "pause" in request.query_params
        wrapped = self._environment.get_template("live.html").render(
            context,
            body=body,
            url=f"{again.path}?{again.query}",
            paused=paused,
            figures=said,
            swap=seen is not None,
        )
        if seen is not None and "hx-request" in request.headers:
            return HTMLResponse(wrapped)
        toggle = request.url.remove_query_params(["seen", "pause"])
        toggle = toggle if paused else toggle.include_query_params(pause="1")
        return self.page(
            request,
            template,
            live=Markup(wrapped),
            figures=said,
            paused=paused,
            toggle=f"{toggle.path}?{toggle.query}".rstrip("?"),
            **values,
        )

    def _context(self, request: Request, language: str) -> dict[str, Any]:
        other = request.url.include_query_params(lang=LANGUAGES[1 - LANGUAGES.index(language)])
        return {
            "t": Words(language),
            "lang": language,
            "f": Formats(language),
            "path": request.url.path,
            "other_language": f"{other.path}?{other.query}",
            "officers_page": not request.url.path.startswith(("/u/", "/login")),
            "signed_in": "tambour_officer" in request.cookies,
        }


def _language(request: Request, default: str | None) -> str:
    asked, chosen = request.query_params.get("lang"), request.cookies.get("lang")
    if default in LANGUAGES and asked not in LANGUAGES and chosen not in LANGUAGES:
        return default
    return preferred(asked, chosen, request.headers.get("accept-language"))
