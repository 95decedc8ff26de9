"""What commands print: nothing that others wrote drives the terminal."""

import io
import json
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from launcher.terminal import print_json, printable

pytestmark = pytest.mark.unit


@dataclass(frozen=True)
class Row:
    at: datetime
    lasts: timedelta
    text: str


def test_escape_sequences_are_written_out() -> None:
    assert printable("\x1b]0;owned\x07\r\x9b31m") == "\\x1b]0;owned\\x07\\x0d\\x9b31m"


def test_marks_that_turn_the_direction_are_written_out() -> None:
    assert printable("a\u202eb") == "a\\u202eb"


def test_words_lines_and_tabs_stay() -> None:
    assert printable("Forêt\n\têtre « ici »") == "Forêt\n\têtre « ici »"


def test_json_is_whole_and_holds_no_control_character() -> None:
    row = Row(datetime(2026, 11, 4, 8, tzinfo=UTC), timedelta(minutes=30), "é\x1b\x9b\u202e\n")
    with redirect_stdout(io.StringIO()) as out:
        print_json([row])
    assert json.loads(out.getvalue()) == [{"at": "2026-11-04T08:00:00+00:00", "lasts": 1800.0, "text": row.text}]
    assert not set(out.getvalue()) & {"\x1b", "\x9b", "\u202e"}
