"""Append-only files that survive kill -9: one JSON object a line, written before the provider answers.

write(2) into the page cache is what is promised: killing the process then destroys no evidence. Lines are read
back by offset, so that memory does not grow with what was received.
"""

import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Line = dict[str, Any]

_CHUNK = 1 << 16


def now() -> datetime:
    """The present, with its zone."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC, milliseconds, as every journal and API here writes times."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class AppendFile:
    """Bytes that only grow. Not for two processes at once (the sandbox locks its home folder)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.end = os.fstat(self._fd).st_size

    def append(self, data: bytes) -> int:
        """Write all of data and return its offset; OSError (disk full) leaves the file as it was."""
        start = self.end
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            os.ftruncate(self._fd, start)
            raise
        self.end = start + len(data)
        return start

    def read(self, offset: int, size: int) -> bytes:
        """At most size bytes at offset; fewer at the end of the file."""
        return os.pread(self._fd, size, offset)

    def truncate(self, size: int) -> None:
        """Forget everything from size on."""
        os.ftruncate(self._fd, size)
        self.end = size

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)


class Journal:
    """A file of JSON lines. An unfinished last line (never answered for) is cut off when it is opened."""

    def __init__(self, path: Path) -> None:
        self._file = AppendFile(path)
        self._file.truncate(self._whole_lines())

    def append(self, line: Mapping[str, Any]) -> int:
        """Write one line and return its offset. OSError: nothing was written."""
        return self._file.append(encode(line))

    def append_all(self, lines: list[Line]) -> list[int]:
        """Write lines in one go (all or nothing) and return their offsets."""
        encoded = [encode(line) for line in lines]
        offset = self._file.append(b"".join(encoded))
        offsets = []
        for data in encoded:
            offsets.append(offset)
            offset += len(data)
        return offsets

    def read(self, offset: int) -> Line:
        """The line at an offset that append or scan gave."""
        data = b""
        while b"\n" not in data:
            more = self._file.read(offset + len(data), 4096)
            if not more:
                raise ValueError(f"{self._file.path}: no line at {offset}")
            data += more
        line: Line = json.loads(data[: data.index(b"\n")])
        return line

    def scan(self, wanted: bytes = b"", *, fold: bool = False) -> Iterator[tuple[int, Line]]:
        """Every line holding the wanted bytes, oldest first, with its offset. Reads what is there at the start.

        With fold, lines are compared in lower case (ASCII), and wanted must be.
        """
        for offset, data in self._lines():
            if wanted in (data.lower() if fold else data):
                yield offset, json.loads(data)

    def close(self) -> None:
        """Give the descriptor back."""
        self._file.close()

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        end, offset, rest = self._file.end, 0, b""
        position = 0
        while position < end:
            data = self._file.read(position, min(_CHUNK, end - position))
            position += len(data)
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                yield offset, line
                offset += len(line) + 1

    def _whole_lines(self) -> int:
        end = self._file.end
        while end:
            start = max(0, end - _CHUNK)
            found = self._file.read(start, end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
        return 0


def encode(line: Mapping[str, Any] | str) -> bytes:
    """One line of UTF-8. A lone surrogate becomes its JSON escape, so that no text can break the journal."""
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace") + b"\n"


def needle(name: str, value: str) -> bytes:
    """The bytes that a line holds when its field has that value: for ``Journal.scan``."""
    return encode({name: value})[1:-2]
