"""What is wrong with the templates, all of it at once, before an announcement finds out.

Reading finds what rendering the examples would miss: a misspelt field in a branch that no example takes.
"""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateSyntaxError, meta, nodes
from pydantic import ValidationError

from hub.rendering.environment import PIECES, VARIABLES, Sandbox
from hub.rendering.faults import Fault, TemplateError
from hub.wording import LANGUAGES
from publishers.registry import CHANNELS
from schemas.announcements import Content
from schemas.authorities import Identity
from schemas.events import TYPES, EventData, template_of
from schemas.lanes import Lane

if TYPE_CHECKING:
    from hub.rendering import Renderer

FAMILIES = ("email", "sms", "social")
"""Families of channels that every type has a template for."""
BLOCKS = ("subject", "preheader", "body")
"""Blocks of an email template."""
LAYOUTS = (
    "layouts/email.html.j2",
    "layouts/email.txt.j2",
    *(f"layouts/{part}.{language}.j2" for part in ("words", "sms", "social") for language in LANGUAGES),
)

_IN_LAYOUTS = frozenset(
    {"subject", "preheader", "recipient", "unsubscribe_url", "body", "text", "logo", "pictures", "leave", "short"}
)
_EXAMPLE_IDENTITY = Identity.model_validate(
    {
        "name": "Ville d'Exemple",
        "short_name": "Exemple",
        "mail_from": "mairie@exemple.example",
        "list_id": "annonces.exemple.example",
        "website": "https://www.exemple.example/",
        "postal_address": "Mairie, place de la Mairie, 96000 Exemple",
        "sms_sender": "+33639980000",
    }
)


def examples_of(renderer: "Renderer", type_: str) -> list[Content]:
    """The contents that ``examples.json`` of the type's folder describes.

    Raises TemplateError when the file is missing, is no JSON, or its data doesn't fit the type.
    """
    folder = template_of(type_)
    name = f"{folder}/examples.json"
    try:
        found = json.loads((renderer.folder / name).read_text("utf-8"))
        return [_content(type_, example["data"], tuple(example.get("area_names", ()))) for example in found]
    except FileNotFoundError:
        raise TemplateError(Fault(name, 1, "there is no such file")) from None
    except json.JSONDecodeError as error:
        raise TemplateError(Fault(name, error.lineno, f"not JSON: {error.msg}")) from None
    except (ValidationError, KeyError, TypeError) as error:
        raise TemplateError(Fault(name, 1, f"doesn't fit {type_}: {error}")) from None


def faults(renderer: "Renderer", examples: Mapping[str, list[Content]]) -> list[Fault]:
    """Every fault, each once, sorted by file and line."""
    found = {*_reading(renderer), *_rendering(renderer, examples)}
    return sorted(found)


def _content(type_: str, data: Mapping[str, Any], area_names: tuple[str, ...]) -> Content:
    event = TYPES[type_].model_validate(data)
    return Content(
        authority=event.authority,
        type=type_,
        matter=event.matter,
        revision=event.revision,
        action=event.action,
        severity=event.severity,
        lane=Lane.ROUTINE,
        themes=("alertes",),
        areas=event.areas,
        channels=("email",),
        languages=LANGUAGES,
        template=template_of(type_),
        onset=event.onset,
        expires=event.expires,
        contact=event.contact,
        area_names=area_names,
        data=event.model_dump(mode="json"),
    )


def _reading(renderer: "Renderer") -> Iterator[Fault]:
    _, sandbox = renderer.sandboxes()
    known = VARIABLES | PIECES
    for name in LAYOUTS:
        yield from _read(renderer, sandbox, name, known | _IN_LAYOUTS, None)
    for type_, kind in TYPES.items():
        folder = template_of(type_)
        for language in LANGUAGES:
            own = {
                name
                for channel in CHANNELS
                if (renderer.folder / (name := f"{folder}/{channel}.{language}.j2")).exists()
            }
            for name in sorted(own | {f"{folder}/{family}.{language}.j2" for family in FAMILIES}):
                blocks = BLOCKS if name.startswith(f"{folder}/email.") else ()
                yield from _read(renderer, sandbox, name, known, kind, blocks)


def _read(
    renderer: "Renderer",
    sandbox: Sandbox,
    name: str,
    known: frozenset[str],
    kind: type[EventData] | None,
    blocks: tuple[str, ...] = (),
) -> Iterator[Fault]:
    try:
        source = (renderer.folder / name).read_text("utf-8")
        tree = sandbox.parse(source, name)
        sandbox.get_template(name)  # compiling finds what parsing does not: a block defined twice
    except FileNotFoundError:
        yield Fault(name, 1, "there is no such template")
        return
    except TemplateSyntaxError as error:
        yield Fault(name, error.lineno, error.message or "does not parse")
        return
    names = list(tree.find_all(nodes.Name))
    own = {used.name for used in names if used.ctx != "load"} | {macro.name for macro in tree.find_all(nodes.Macro)}
    unknown = meta.find_undeclared_variables(tree) - known - own
    for used in names:
        if used.name in unknown:
            yield Fault(name, used.lineno, f"{used.name!r} is undefined")
    for field in tree.find_all(nodes.Getattr):
        of_data = isinstance(field.node, nodes.Name) and field.node.name == "data"
        if kind and of_data and field.attr not in kind.model_fields:
            yield Fault(name, field.lineno, f"{kind.TYPE} has no field {field.attr!r}")
    for applied in tree.find_all(nodes.Filter):
        if applied.name not in sandbox.filters:
            yield Fault(name, applied.lineno, f"No filter named {applied.name!r} found.")
    present = {block.name for block in tree.find_all(nodes.Block)}
    for block in blocks:
        if block not in present:
            yield Fault(name, 1, f"has no block named {block!r}")


def _rendering(renderer: "Renderer", examples: Mapping[str, list[Content]]) -> Iterator[Fault]:
    for type_ in TYPES:
        try:
            contents = examples_of(renderer, type_) + examples.get(template_of(type_), [])
        except TemplateError as error:
            yield error.fault
            continue
        for content in contents:
            for language in LANGUAGES:
                for render in (renderer.mail, renderer.text, renderer.post):
                    try:
                        render(content, _EXAMPLE_IDENTITY, language)
                    except TemplateError as error:
                        yield error.fault
