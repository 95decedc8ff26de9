"""CloudEvents in files: cut into messages, and checked as the hub will check them."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.faults import Fault
from schemas.cloudevents import STRUCTURED, CloudEvent, Undecodable, decode
from schemas.events import EventData, Invalid, parse
from schemas.lanes import Severity

HEADERS = (("content-type", f"{STRUCTURED}; charset=UTF-8".encode()),)
STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class Written:
    """One event as it stands in a file; ``place`` is the file and the line it begins on."""

    place: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Checked:
    """An event, or why it is none: ``event`` and ``data`` are None as far as it could not be read."""

    written: Written
    event: CloudEvent | None
    data: EventData | None
    faults: tuple[str, ...]

    @property
    def urgent(self) -> bool:
        """Whether it must not wait behind others."""
        return self.data is not None and self.data.severity in (Severity.SEVERE, Severity.EXTREME)

    @property
    def key(self) -> bytes | None:
        """Its Kafka key, ``authority:matter``, also of an event with faults elsewhere; None without both."""
        data = self.event.data if self.event else None
        if not isinstance(data, dict):
            return None
        authority, matter = data.get("authority"), data.get("matter")
        if not (isinstance(authority, str) and isinstance(matter, str) and authority and matter):
            return None
        return f"{authority}:{matter}".encode()


def read_events(path: Path) -> list[Written]:
    """The events of a file: one JSON object, a JSON array of them, or one a line. ``-`` is standard input.

    Raises Fault when it can't be read or holds nothing. What is not JSON is one event, broken, for ``check``.
    """
    try:
        raw = sys.stdin.buffer.read() if path == STDIN else path.read_bytes()
    except OSError as error:
        raise Fault(f"{path} can't be read: {error.strerror}.", "Check its name, and that you may read it.") from error
    name = "standard input" if path == STDIN else str(path)
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    if not raw.strip():
        raise Fault(f"{name} is empty.", "Write a CloudEvent in JSON: docs/events.md has one to copy.")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return [Written(f"{name}:1", raw)]
    return [Written(f"{name}:{line}", piece.encode()) for line, piece in pieces(text)]


def pieces(text: str) -> Sequence[tuple[int, str]]:
    """Each event's text with the line it begins on, kept to the letter: what is sent is what was written."""
    if text.lstrip().startswith("["):
        found = _elements(text)
        return found if found else [(1, text)]
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) > 1 and _is_object(lines[0][1]):
        return [(number, line.strip()) for number, line in lines]
    first = lines[0][0]
    return [(first, text.strip())]


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _elements(text: str) -> list[tuple[int, str]]:
    """The elements of a JSON array; none when it is not one to its end."""
    decoder = json.JSONDecoder()
    found: list[tuple[int, str]] = []
    at = text.index("[") + 1
    while True:
        while at < len(text) and text[at] in " \t\r\n":
            at += 1
        try:
            _, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return []
        found.append((text.count("\n", 0, at) + 1, text[at:end]))
        rest = text[end:].lstrip(" \t\r\n")
        if rest.startswith("]"):
            return found if not rest[1:].strip() else []
        if not rest.startswith(","):
            return []
        at = len(text) - len(rest) + 1


def check(written: Written) -> Checked:
    """The event as the hub will understand it, with everything that is wrong."""
    try:
        event = decode(written.value, HEADERS)
    except Undecodable as error:
        return Checked(written, None, None, (f"{written.place}: {error}",))
    try:
        return Checked(written, event, parse(event), ())
    except Invalid as error:
        return Checked(written, event, None, tuple(f"{written.place}: {fault}" for fault in error.faults))
