"""Announcements as people read them: mails, SMS, posts and headlines, from the templates of ``templates/``.

    templates/<event type>/email.<language>.j2      blocks subject, preheader and body
    templates/<event type>/sms.<language>.j2        one text
    templates/<event type>/social.<language>.j2     one text, for every social network
    templates/<event type>/<channel>.<language>.j2  instead of it, where a network wants another
    templates/<event type>/examples.json            data to try them with
    templates/layouts/                              what surrounds them; words.<language>.j2, phrases they share

The only part of the hub that knows Jinja2. Rendering happens once for each announcement version and language.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

from jinja2 import Template, TemplateNotFound, TemplateSyntaxError
from markupsafe import Markup
from pydantic import ValidationError

from hub.mail_mime import BadSlot, Headers, InlineImage, MailSlots, MailTemplate, Placeholders, compose
from hub.rendering.environment import Sandbox, environment, forms, pieces
from hub.rendering.faults import Fault, TemplateError
from hub.rendering.layout import inlined
from hub.wording import LANGUAGES, Wording, capital
from publishers.sms.text import measure, transliterate
from schemas.announcements import Content
from schemas.authorities import Identity
from schemas.events import TYPES
from schemas.lanes import Lane

__all__ = [
    "TEMPLATES",
    "BadSlot",
    "Fault",
    "MailSlots",
    "MailTemplate",
    "Renderer",
    "Said",
    "Shown",
    "TemplateError",
]

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
"""The templates that come with Tambour."""

ZONE = "Europe/Paris"
"""Time zone of an authority that names none."""

_MENTION = re.compile(r"(?<![=/\w])@(?=\w)")  # an e-mail address and a profile's address mention nobody
_SCHEME = re.compile(r"^https?://(www\.)?")  # telephones make a link of an address without it, too
_WHITESPACE = re.compile(r"[^\S\u00a0]+")  # no-break spaces are French typography, and stay


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture of a mail: what it shows in words, and whose it is."""

    image: InlineImage
    alt: str
    credit: str | None = None

    def plain(self) -> dict[str, str | None]:
        """What a template sees of it."""
        return {"cid": self.image.cid, "alt": self.alt, "credit": self.credit}


@dataclass(frozen=True, slots=True)
class Said:
    """A post's text, and the page it leads to when the text doesn't name it itself."""

    text: str
    link: str | None


class Renderer:
    """Renders announcements. Templates are compiled once and kept; safe to share between tasks.

    Every method takes the language the reader chose; one the announcement doesn't have falls back on the
    announcement's first. ``zone`` is the authority's time zone. All raise TemplateError.
    """

    def __init__(self, folder: Path = TEMPLATES) -> None:
        self.folder = folder
        self._html = environment(folder, html=True)
        self._text = environment(folder, html=False)

    def mail(
        self,
        content: Content,
        identity: Identity,
        language: str,
        *,
        now: datetime | None = None,
        zone: str = ZONE,
        logo: Shown | None = None,
        pictures: Sequence[Shown] = (),
    ) -> MailTemplate:
        """The mail, ready for each recipient's slots. ``now`` is its Date; pictures travel within it."""
        scene = _scene(content, identity, language, zone)
        wording: Wording = scene["wording"]
        name = f"{content.template}/email.{wording.language}.j2"
        placeholders = Placeholders.fresh()
        subject = self._line(name, "subject", scene)
        surround = {
            "subject": subject,
            "preheader": self._line(name, "preheader", scene),
            "recipient": placeholders.recipient,
            "unsubscribe_url": placeholders.unsubscribe_url,
            "logo": logo and logo.plain(),
            "pictures": [one.plain() for one in pictures],
        }
        bodies = {}
        for form, sandbox in (("txt", self._text), ("html", self._html)):
            written = self._run(sandbox, name, "body", scene)
            body = forms(wording, html=form == "html").body(written)
            parts = {**scene, **surround, "body": Markup(body) if form == "html" else body}
            bodies[form] = self._run(sandbox, f"layouts/email.{form}.j2", None, parts)
        headers = Headers(
            from_name=identity.name,
            from_address=identity.mail_from,
            reply_to=identity.reply_to,
            subject=subject.replace("\u00a0", " "),
            date=now or datetime.now(UTC),
            list_id=identity.list_id,
            language=wording.language,
        )
        try:
            images = [one.image for one in (logo, *pictures) if one is not None]
            return compose(headers, bodies["txt"], inlined(bodies["html"]), placeholders, images)
        except ValueError as error:
            raise TemplateError(Fault("layouts/email.html.j2", 1, str(error))) from error

    def text(
        self, content: Content, identity: Identity, language: str, *, leave: str | None = None, zone: str = ZONE
    ) -> str:
        """The SMS: begins with the authority's name, says how to stop unless urgent, in the GSM alphabet.

        ``leave`` is the address where its reader can leave, the authority's website if None; it stands in the text
        when the sender takes no answers, in the short form where the long one would cost a segment more. A text
        with a character that has no equivalent in the alphabet (an emoji) is left as it is.
        """
        return transliterate(self.unspelled_text(content, identity, language, leave=leave, zone=zone))

    def unspelled_text(
        self, content: Content, identity: Identity, language: str, *, leave: str | None = None, zone: str = ZONE
    ) -> str:
        """The same as its templates write it, ç and « included: what ``text`` makes cheaper."""
        scene = _scene(content, identity, language, zone)
        language = scene["wording"].language
        scene["headline"] = self._line(f"{content.template}/email.{language}.j2", "subject", scene)
        said = self._run(self._text, f"{content.template}/sms.{language}.j2", None, scene)
        link = leave or str(identity.website)
        variants = {
            short: self._run(
                self._text,
                f"layouts/sms.{language}.j2",
                None,
                {**scene, "text": _one_line(said), "short": short, "leave": _SCHEME.sub("", link) if short else link},
            )
            for short in (False, True)
        }
        long, brief = (_one_line(form.replace("\u00a0", " ")) for form in variants.values())
        costs = [measure(transliterate(form)).segments for form in (long, brief)]
        return brief if costs[1] < costs[0] else long

    def post(
        self, content: Content, identity: Identity, language: str, *, channel: str = "social", zone: str = ZONE
    ) -> Said:
        """What is said on a social network, of whatever length, mentioning nobody."""
        scene = _scene(content, identity, language, zone)
        wording: Wording = scene["wording"]
        scene["headline"] = self._line(f"{content.template}/email.{wording.language}.j2", "subject", scene)
        own = f"{content.template}/{channel}.{wording.language}.j2"
        name = own if (self.folder / own).exists() else f"{content.template}/social.{wording.language}.j2"
        text = forms(wording, html=False).body(self._run(self._text, name, None, scene))
        link = self._run(self._text, f"layouts/social.{wording.language}.j2", None, scene).strip()
        return Said(_MENTION.sub("@\u200b", text), None if link in text else link)

    def headline(self, content: Content, language: str, *, zone: str = ZONE) -> str:
        """The announcement in one line: its mail's subject."""
        scene = _scene(content, None, language, zone)
        return self._line(f"{content.template}/email.{scene['wording'].language}.j2", "subject", scene)

    def check(self, examples: Mapping[str, list[Content]] | None = None) -> list[Fault]:
        """Everything wrong with the templates: files missing, syntax, names unknown, examples that don't render.

        Renders the examples of every folder, and ``examples`` (contents by template folder) besides.
        """
        from hub.rendering.check import faults  # it needs the renderer itself

        return faults(self, examples or {})

    def sandboxes(self) -> tuple[Sandbox, Sandbox]:
        """The sandboxes for HTML and for text, for ``check``."""
        return self._html, self._text

    def _line(self, name: str, block: str, scene: Mapping[str, Any]) -> str:
        wording: Wording = scene["wording"]
        return wording.spaced(capital(_one_line(self._run(self._text, name, block, scene))))

    def _run(self, sandbox: Sandbox, name: str, block: str | None, scene: Mapping[str, Any]) -> str:
        """A template, or one of its blocks, as written. Raises TemplateError."""
        wording: Wording = scene["wording"]
        words = f"layouts/words.{wording.language}.j2"
        try:
            template = sandbox.get_template(name)
            function = template.blocks.get(block) if block else template.root_render_func
            if function is None:
                raise TemplateError(Fault(name, 1, f"has no block named {block!r}"))
            given = {
                **scene,
                **pieces(forms(wording, html=sandbox is self._html)),
                "words": sandbox.get_template(words).module,
            }
            return "".join(function(template.new_context(given)))
        except TemplateError:
            raise
        except TemplateSyntaxError as error:
            fault = Fault(error.name or name, error.lineno, error.message or "does not parse")
            raise TemplateError(fault) from error
        except TemplateNotFound as error:
            raise TemplateError(Fault(str(error.name or name), 1, "there is no such template")) from error
        except Exception as error:  # whatever a template's own expressions raise is the template's fault
            raise TemplateError(_located(error, name)) from error


def _located(error: Exception, name: str) -> Fault:
    """The line of the innermost template that was running when the error was raised."""
    line, trace = 1, error.__traceback__
    while trace is not None:
        template = cast(Template | None, trace.tb_frame.f_globals.get("__jinja_template__"))
        # a filter that doesn't exist raises in a stand-in, t_1, at the top of the compiled template
        if template is not None and not trace.tb_frame.f_code.co_name.startswith("t_"):
            name, line = template.name or name, template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return Fault(name, line, str(error) or type(error).__name__)


def _scene(content: Content, identity: Identity | None, language: str, zone: str) -> dict[str, Any]:
    """What a template sees: plain values only, in the reader's language."""
    available = [code for code in content.languages if code in LANGUAGES] or [LANGUAGES[0]]
    spoken = language if language in available else available[0]
    zone_info = ZoneInfo(zone)
    reference = (content.onset or content.expires).astimezone(zone_info)
    return {
        "language": spoken,
        "action": str(content.action),
        "severity": str(content.severity),
        "urgent": content.lane is Lane.URGENT,
        "areas": content.area_names,
        "onset": content.onset,
        "expires": content.expires,
        "contact": content.contact,
        "data": _localized(_complete(content), spoken),
        "can_reply": identity is not None and identity.sms_sender_for(content.lane).lstrip("+").isdigit(),
        "identity": None if identity is None else identity.model_dump(mode="json"),
        "wording": Wording(spoken, zone_info, reference.year),
    }


def _complete(content: Content) -> dict[str, Any]:
    """The event's data with every field its type has: what was left out is None, as templates expect."""
    kind = TYPES.get(content.type)
    if kind is None:
        return content.data
    try:
        return kind.model_validate(content.data).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        reason = f"the announcement's data doesn't fit its type: {where}: {first['msg']}"
        raise TemplateError(Fault(content.template, 1, reason)) from error


def _localized(value: Any, language: str) -> Any:
    """The data with each {"fr": …, "en": …} replaced by its text, French where there is none."""
    if isinstance(value, dict):
        if "fr" in value and value.keys() <= set(LANGUAGES):
            return value.get(language) or value["fr"]
        return {name: _localized(inner, language) for name, inner in value.items()}
    return [_localized(inner, language) for inner in value] if isinstance(value, list | tuple) else value


def _one_line(text: str) -> str:
    return _WHITESPACE.sub(" ", text).strip(" ")
