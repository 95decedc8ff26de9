"""The committed JSON Schemas: fresh, correct, and true of the demo's events."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from demo.loader import FOLDER, load_notices
from demo.placeholders import Moment, resolve
from schemas import generate
from schemas.events import TYPES, template_of

pytestmark = pytest.mark.unit

MOMENT = Moment(datetime(2026, 11, 3, 9, 30, tzinfo=UTC), "test")
EVENTS = sorted((FOLDER / "events").glob("*.json")) + sorted((FOLDER / "events" / "mended").glob("*.json"))
BROKEN_JSON = {"18-tronque.json"}
AGAINST_SCHEMA = {"events/19-encombrants-sans-fin.json"}


def committed(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((generate.FOLDER / name).read_text(encoding="utf-8"))
    return loaded


def test_committed_schemas_are_fresh() -> None:
    assert generate.stale() == [], "run: python -m schemas.generate"


@pytest.mark.parametrize("name", sorted(generate.files()))
def test_schemas_are_valid_themselves(name: str) -> None:
    Draft202012Validator.check_schema(committed(name))


@pytest.mark.parametrize("path", [path for path in EVENTS if path.name not in BROKEN_JSON], ids=lambda path: path.name)
def test_events_of_the_demo_are_as_the_schemas_say(path: Path) -> None:
    event = json.loads(resolve(path.read_text(encoding="utf-8"), MOMENT))
    whole = Draft202012Validator(committed("event.schema.json"))
    data = Draft202012Validator(committed(f"{template_of(event['type'])}.schema.json"))
    as_it_should = str(path.relative_to(FOLDER)) not in AGAINST_SCHEMA
    assert whole.is_valid(event) is as_it_should
    assert data.is_valid(event["data"]) is as_it_should


def test_notices_of_the_demo_are_as_the_schema_says() -> None:
    for notice in load_notices(MOMENT).values():
        Draft202012Validator(committed("notice.schema.json")).validate(notice)


def test_the_schema_of_events_refuses_an_unknown_type_and_foreign_data() -> None:
    event = json.loads(resolve(EVENTS[0].read_text(encoding="utf-8"), MOMENT))
    whole = Draft202012Validator(committed("event.schema.json"))
    assert whole.is_valid(event)
    assert not whole.is_valid(event | {"type": "fr.tambour.fireworks"})
    assert not whole.is_valid(event | {"type": "fr.tambour.water-quality"})
    assert not whole.is_valid(event | {"data": event["data"] | {"street": "a\nb"}})


def test_checking_tells_stale_missing_and_left_over_files(tmp_path: Path) -> None:
    generate.write(tmp_path)
    (tmp_path / "road-works.schema.json").write_text("{}")
    (tmp_path / "notice.schema.json").unlink()
    (tmp_path / "fireworks.schema.json").write_text("{}")
    stale = ["fireworks.schema.json", "notice.schema.json", "road-works.schema.json"]
    assert generate.stale(tmp_path) == stale
    assert generate.write(tmp_path) == stale
    assert generate.stale(tmp_path) == []


def test_every_type_has_its_schema() -> None:
    assert set(generate.files()) == {f"{template_of(name)}.schema.json" for name in TYPES} | {"event.schema.json"}


def test_the_example_in_the_documentation_is_an_event() -> None:
    text = (FOLDER.parent / "docs" / "events.md").read_text(encoding="utf-8")
    _, _, rest = text.partition("<<EVENT")
    written = "".join(rest.partition("\nEVENT\n")[0].splitlines()[1:])
    for name, value in {"$NOW": "{{now}}", "$TODAY": "{{day}}", "$LATER": "{{now+5d}}"}.items():
        written = written.replace(name, value)
    event = json.loads(resolve(written, MOMENT))
    Draft202012Validator(committed("event.schema.json")).validate(event)


def test_the_documentation_names_every_field() -> None:
    text = (FOLDER.parent / "docs" / "events.md").read_text(encoding="utf-8")
    for name in TYPES:
        assert f"`{name}`" in text
        for field in committed(f"{template_of(name)}.schema.json")["properties"]:
            assert f"`{field}`" in text, f"{name}: {field}"
