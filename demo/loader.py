"""Reads the demo's files. Events become Kafka messages as any outside system would write them: this module
knows nothing of the hub.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.placeholders import Moment, resolve
from schemas.authority_files import AuthorityFile, parse_authorities

FOLDER = Path(__file__).parent
MODES = ("structured", "binary", "raw")


@dataclass(frozen=True, slots=True)
class Message:
    """One event as Kafka takes it, and what the hub is expected to make of it."""

    name: str
    """Its file: "01-tisserands-barree.json"."""
    about: str
    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    outcome: str
    """announced, duplicate, stale, no_rule, superseded, nothing_to_end or dead_letter."""
    reason: str | None = None
    """Of a dead letter: what was broken on purpose."""


def load_authorities(folder: Path = FOLDER) -> AuthorityFile:
    """What authority.toml describes: Valmerande and its EPCI."""
    return parse_authorities((folder / "authority.toml").read_text(encoding="utf-8"))


def load_events(moment: Moment, folder: Path = FOLDER / "events") -> tuple[Message, ...]:
    """The events of manifest.toml in their order, as messages of this run."""
    manifest = tomllib.loads((folder / "manifest.toml").read_text(encoding="utf-8"))
    return tuple(_message(folder, entry, moment) for entry in manifest["event"])


def load_mended(moment: Moment, folder: Path = FOLDER / "events") -> tuple[Message, ...]:
    """What to put back instead of broken events of the same names: whole again, announced when put back."""
    manifest = tomllib.loads((folder / "manifest.toml").read_text(encoding="utf-8"))
    return tuple(
        _message(folder / "mended", {**entry, "outcome": "announced"}, moment)
        for entry in manifest["event"]
        if (folder / "mended" / entry["file"]).exists()
    )


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture of the demo's library, as its file is."""

    name: str
    content: bytes
    alt: Mapping[str, str]
    rights: str


def load_pictures(folder: Path = FOLDER) -> tuple[Drawing, ...]:
    """The commune's library of pictures."""
    described = tomllib.loads((folder / "pictures.toml").read_text(encoding="utf-8"))
    return tuple(
        Drawing(name, (folder / one["file"]).read_bytes(), one["alt"], one["rights"]) for name, one in described.items()
    )


def load_notices(moment: Moment, folder: Path = FOLDER / "notices") -> dict[str, dict[str, Any]]:
    """The officers' notices, by the names of their files: data of ``fr.tambour.notice``."""
    return {
        path.name: tomllib.loads(resolve(path.read_text(encoding="utf-8"), moment))
        for path in sorted(folder.glob("*.toml"))
    }


def _message(folder: Path, entry: Mapping[str, str], moment: Moment) -> Message:
    path = folder / entry["file"]
    text = resolve(path.read_text(encoding="utf-8"), moment)
    value, headers = _encoded(text, entry["mode"])
    sidecar = path.with_suffix(".reason.txt")
    return Message(
        name=entry["file"],
        about=entry["about"],
        topic=entry["topic"],
        key=resolve(entry["key"], moment).encode(),
        value=value,
        headers=headers,
        outcome=entry["outcome"],
        reason=sidecar.read_text(encoding="utf-8").strip() if sidecar.exists() else None,
    )


def _encoded(text: str, mode: str) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    if mode == "raw":
        return text.encode(), ()
    event = json.loads(text)
    if mode == "structured":
        return _json(event), (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
    if mode == "binary":
        data = event.pop("data")
        content_type = event.pop("datacontenttype")
        attributes = tuple((f"ce_{name}", str(value).encode()) for name, value in event.items())
        return _json(data), (*attributes, ("content-type", content_type.encode()))
    raise ValueError(f"{mode!r} is no mode: use {', '.join(MODES)}")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
