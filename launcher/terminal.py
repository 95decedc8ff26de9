"""How commands print: plain words and tables on stdout, or JSON. Nothing that others wrote reaches the terminal raw."""

import dataclasses
import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.table import Table

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_WIDE = 1000  # columns of what is no terminal: nothing is wrapped or cut, so that it can be searched


def printable(text: object) -> str:
    """The text with control characters, and marks that turn its direction, written out; new lines and tabs stay.

    An escape sequence in an event must not drive the terminal of whoever looks at it.
    """
    return _CONTROLS.sub(_escaped, str(text))


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def console() -> Console:
    """A console on stdout that takes text as it is, without markup."""
    wide = None if sys.stdout.isatty() else _WIDE
    return Console(markup=False, emoji=False, highlight=False, width=wide, soft_wrap=False)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows under their columns; None shows as nothing."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else printable(cell) for cell in row))
    console().print(table)


def print_json(value: Any) -> None:
    """The value as JSON: dataclasses as objects, times as RFC 3339, durations in seconds."""
    written = json.dumps(value, ensure_ascii=False, indent=2, default=_json)
    typer.echo(_CONTROLS.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", written))


def _json(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON")


def local(at: datetime | None, zone: str) -> str:
    """A moment in a zone's own time, with its offset when it is not obvious: "2026-11-26 18:30:05 CET"."""
    return "" if at is None else f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S %Z}"
