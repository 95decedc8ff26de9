"""Writes schemas/json/: JSON Schema (draft 2020-12) of each event's data, and of the whole CloudEvent.

``python -m schemas.generate`` writes them, ``--check`` says which are not fresh and exits with 1.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import CoreSchema

from schemas.events import TYPES, template_of

FOLDER = Path(__file__).parent / "json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXT = {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"}


class _Plain(GenerateJsonSchema):
    """Without the titles that only repeat the names of fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def generate(self, schema: CoreSchema, mode: JsonSchemaMode = "validation") -> dict[str, Any]:
        return {"$schema": DIALECT, **super().generate(schema, mode)}


def data_schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema of the data of each type, by CloudEvents ``type``."""
    return {
        name: {"$id": f"urn:tambour:{template_of(name)}", **kind.model_json_schema(schema_generator=_Plain)}
        for name, kind in TYPES.items()
    }


def event_schema() -> dict[str, Any]:
    """JSON Schema of a whole event in structured mode; it holds the schemas of all data, so it stands alone."""
    data = data_schemas()
    return {
        "$schema": DIALECT,
        "$id": "urn:tambour:event",
        "title": "Event",
        "description": "A CloudEvent 1.0 (structured mode) that Tambour turns into an announcement.",
        "type": "object",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {**_TEXT, "description": "Unique for its source: the same id again is the same event again."},
            "source": {**_TEXT, "description": 'Which system emits it: "/valmerande/voirie".'},
            "type": {"enum": list(TYPES)},
            "subject": _TEXT,
            "time": {"type": "string", "format": "date-time", "description": "When it was emitted."},
            "datacontenttype": {"const": "application/json"},
            "dataschema": _TEXT,
            "data": {"type": "object"},
        },
        "propertyNames": {"pattern": "^[a-z0-9]{1,64}$"},
        "additionalProperties": {"type": ["string", "integer", "boolean"]},
        "allOf": [
            {
                "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
                "then": {"properties": {"data": {"$ref": schema["$id"]}}},
            }
            for name, schema in data.items()
        ],
        "$defs": {template_of(name): schema for name, schema in data.items()},
    }


def files() -> dict[str, str]:
    """What schemas/json/ must hold: text by file name."""
    schemas: Mapping[str, dict[str, Any]] = {
        **{f"{template_of(name)}.schema.json": schema for name, schema in data_schemas().items()},
        "event.schema.json": event_schema(),
    }
    return {name: json.dumps(schema, ensure_ascii=False, indent=2) + "\n" for name, schema in schemas.items()}


def stale(folder: Path = FOLDER) -> list[str]:
    """Names of files in the folder that are missing, old, or belong to no type any more."""
    wanted = files()
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.schema.json")}
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def write(folder: Path = FOLDER) -> list[str]:
    """Brings the folder up to date; the names of the files that changed."""
    changed = stale(folder)
    wanted = files()
    folder.mkdir(parents=True, exist_ok=True)
    for name in changed:
        if name in wanted:
            (folder / name).write_text(wanted[name], encoding="utf-8")
        else:
            (folder / name).unlink()
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: 0 when fresh or written, 1 when ``--check`` finds files that are not fresh."""
    parser = argparse.ArgumentParser(prog="python -m schemas.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 unless all is fresh")
    checking = parser.parse_args(arguments).check
    changed = stale() if checking else write()
    for name in changed:
        print(f"{'not fresh' if checking else 'written'}: schemas/json/{name}")
    if checking and changed:
        print("Run: python -m schemas.generate", file=sys.stderr)
    return 1 if checking and changed else 0


if __name__ == "__main__":
    raise SystemExit(main())
