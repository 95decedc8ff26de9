"""An officer's notice in a file, TOML or JSON, and the local time at which it is to go out."""

import sys
import tomllib
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from hub.scheduling import Repeated, Skipped, instant
from launcher.faults import Fault
from schemas.cloudevents import Undecodable, load_json

_FORMATS = ("%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S")


class Which(StrEnum):
    """Of a local time that comes twice, which one."""

    FIRST = "first"
    SECOND = "second"


def read_notice(path: Path) -> dict[str, Any]:
    """The fields of a notice. ``-`` is standard input. Raises Fault: not readable, not TOML or JSON, where."""
    name = "standard input" if path == Path("-") else str(path)
    try:
        raw = sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise Fault(f"{path} can't be read: {error.strerror}.", "Check its name, and that you may read it.") from error
    except UnicodeDecodeError as error:
        raise Fault(f"{name}: byte {error.start} is not UTF-8.", "Save the file as UTF-8.") from error
    if not text.strip():
        raise Fault(f"{name} is empty.", "Copy demo/notices/marche-des-artisans.toml and change it.")
    try:
        found = load_json(text.encode(), name) if text.lstrip().startswith("{") else tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Fault(f"{name} is not TOML: {error}.", "Texts stand between quotes; see demo/notices/.") from error
    except Undecodable as error:
        raise Fault(f"{error.where}: {error.reason}.", error.mend) from error
    assert isinstance(found, dict)  # TOML is a table; a JSON text that begins with { is an object
    return found


def local_time(text: str) -> datetime:
    """A local time, without offset: "2026-11-26 18:30". Raises ValueError in words for whoever wrote it."""
    for form in _FORMATS:
        try:
            return datetime.strptime(text.strip(), form)
        except ValueError:
            continue
    raise ValueError(f'{text!r} is not a local time: write it as "2026-11-26 18:30", without an offset.')


def moments_of(local: datetime, zone: str) -> tuple[datetime, ...]:
    """The instants of a local time: one, or two when the clocks go back over it. Raises Fault when there is none."""
    there = ZoneInfo(zone)
    match instant(local, zone):
        case Skipped(before, after):
            raise Fault(
                f"{local:%Y-%m-%d %H:%M} does not exist in {zone}: the clocks go forward over it that night.",
                f'Times that do: --at "{before.astimezone(there):%Y-%m-%d %H:%M}" or '
                f'"{after.astimezone(there):%Y-%m-%d %H:%M}".',
            )
        case Repeated(first, second):
            return first, second
        case only:
            return (only,)


def written_time(due_at: datetime, zone: str, *, twice: bool = False) -> str:
    """The local time as it is kept with the notice; with its offset when the same time comes twice."""
    local = due_at.astimezone(ZoneInfo(zone))
    if twice:
        return local.isoformat(timespec="minutes")
    return local.replace(tzinfo=None).isoformat(timespec="seconds" if local.second else "minutes")


def with_zone(at: datetime, zone: str) -> str:
    """A moment for the reader, in the zone's own time with its name and offset: both sides of a change differ."""
    local = at.astimezone(ZoneInfo(zone))
    return f"{local:%Y-%m-%d %H:%M %Z} ({at.astimezone(UTC):%H:%M} UTC)"
