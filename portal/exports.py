"""Lists as CSV (RFC 4180) and JSON, streamed page by page so that a long list needs no memory."""

import csv
import io
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import fields
from typing import Any

from fastapi.responses import StreamingResponse
from pydantic_core import to_json, to_jsonable_python

_DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
"""First characters that make a spreadsheet run a cell as a formula (OWASP, CSV injection)."""


def guarded(value: object) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe stands before what looks like one."""
    plain = to_jsonable_python(value)
    if plain is None:
        return ""
    if isinstance(plain, bool | int | float):
        return str(plain)  # -3 is a number, not a formula
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    return f"'{text}" if text.lstrip(" ").startswith(_DANGEROUS) else text


def _csv_lines(rows: Sequence[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([guarded(getattr(row, field.name)) for field in fields(row)] for row in rows)
    return buffer.getvalue()


async def _csv(columns: Sequence[str], pages: AsyncIterator[Sequence[Any]]) -> AsyncIterator[bytes]:
    yield "\ufeff".encode() + (",".join(columns) + "\r\n").encode()  # the mark tells spreadsheets that it is UTF-8
    async for page in pages:
        yield _csv_lines(page).encode()


async def _json(pages: AsyncIterator[Sequence[Any]]) -> AsyncIterator[bytes]:
    before = b"["
    async for page in pages:
        for row in page:
            yield before + b"\n" + to_json(row)
            before = b","
    yield (b"[" if before == b"[" else b"") + b"\n]\n"


def stream(form: str, name: str, row_type: type[Any], pages: AsyncIterator[Sequence[Any]]) -> StreamingResponse:
    """A download ``name.csv`` or ``name.json`` of dataclass rows; columns are the fields of ``row_type``."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"'}
    if form == "csv":
        columns = [field.name for field in fields(row_type)]
        return StreamingResponse(
            _csv(columns, pages), media_type="text/csv; charset=utf-8; header=present", headers=headers
        )
    return StreamingResponse(_json(pages), media_type="application/json", headers=headers)
