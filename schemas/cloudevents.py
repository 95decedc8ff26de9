"""CloudEvents 1.0 as Kafka carries them (CloudEvents Kafka protocol binding 1.0.2, section 3).

Structured mode puts attributes and data in one JSON object (header ``content-type:
application/cloudevents+json``); binary mode puts attributes in ``ce_`` headers and data in the value. A
message with neither header is read as structured mode, so that a console producer can emit an event.

Everything that PostgreSQL's jsonb could not keep, or that two readers could understand differently (duplicate
keys, NaN, NUL, lone surrogates), is refused here: later code never meets it.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

MAX_BYTES = 1_000_000
"""Largest value that is decoded, in bytes (Kafka's own default limit is 1 MiB for a whole batch)."""
MAX_DEPTH = 32
"""Deepest nesting of data."""

STRUCTURED = "application/cloudevents+json"
Headers = Sequence[tuple[str, bytes]]
_CONTEXT = ("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema")
_NAME = re.compile(r"[a-z0-9]{1,64}")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Undecodable(ValueError):
    """A Kafka message that is no CloudEvent: ``reason`` what is wrong, ``where``, ``mend`` what to do."""

    def __init__(self, reason: str, where: str, mend: str = "Send it again as a CloudEvent 1.0.") -> None:
        super().__init__(f"{where}: {reason}. {mend}")
        self.reason = reason
        self.where = where
        self.mend = mend


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One event: the context attributes of CloudEvents 1.0 and its data, a JSON value.

    ``extensions`` holds every other attribute, ``traceparent`` among them.
    """

    id: str
    source: str
    type: str
    data: Any = None
    time: datetime | None = None
    subject: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    extensions: Mapping[str, str | int | bool] = field(default_factory=dict)


def decode(value: bytes | None, headers: Headers) -> CloudEvent:
    """The event in a Kafka message. Raises Undecodable, and nothing else, for anything that is not one."""
    if value is not None and len(value) > MAX_BYTES:
        raise Undecodable(
            f"the message has {len(value):,} bytes, the limit is {MAX_BYTES:,}",
            "value",
            "Send a link to large documents instead of the documents.",
        )
    named = _named(headers)
    content_type = named.get("content-type", "")
    media = content_type.partition(";")[0].strip().lower()
    if media.startswith("application/cloudevents-batch"):
        raise Undecodable("several events in one message", "header content-type", "Send one event a message.")
    if media.startswith("application/cloudevents"):
        if media != STRUCTURED:
            raise Undecodable(f"the format {media} is not understood", "header content-type", f"Use {STRUCTURED}.")
        return _structured(value)
    if any(name.startswith("ce_") for name in named):
        attributes: dict[str, Any] = {
            name.removeprefix("ce_"): text for name, text in named.items() if name.startswith("ce_")
        }
        if content_type:
            attributes["datacontenttype"] = content_type
        return _event(attributes, _binary_data(value, content_type), "header ce_")
    return _structured(value)


def encode_structured(event: CloudEvent) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Kafka value and headers of an event in structured mode."""
    body: dict[str, Any] = _attributes(event)
    if event.data is not None:
        body["data"] = event.data
    return _json(body), [("content-type", f"{STRUCTURED}; charset=UTF-8".encode())]


def encode_binary(event: CloudEvent) -> tuple[bytes | None, list[tuple[str, bytes]]]:
    """Kafka value and headers of an event in binary mode."""
    attributes = _attributes(event)
    content_type = attributes.pop("datacontenttype", "application/json")
    headers = [(f"ce_{name}", _text(value).encode()) for name, value in attributes.items()]
    value = None if event.data is None else _json(event.data)
    return value, [*headers, ("content-type", str(content_type).encode())]


def load_json(text: bytes, where: str = "value") -> Any:
    """A JSON value that means one thing only and that PostgreSQL can keep. Raises Undecodable."""
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Undecodable(f"byte {error.start} is not UTF-8", where, "Write the JSON in UTF-8.") from None
    try:
        found = json.loads(decoded, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise Undecodable(
            f"not JSON at line {error.lineno}, column {error.colno}: {error.msg}",
            where,
            "Check the JSON there: a missing comma, quote or bracket, most often just before.",
        ) from None
    except RecursionError:
        raise Undecodable("nested too deeply", where, f"Nest at most {MAX_DEPTH} levels.") from None
    except _Refused as error:
        raise Undecodable(str(error), where, error.mend) from None
    except ValueError as error:  # a number of thousands of digits
        raise Undecodable(str(error), where, "Send smaller numbers.") from None
    _storable(found, where, 0)
    return found


class _Refused(ValueError):
    def __init__(self, reason: str, mend: str) -> None:
        super().__init__(reason)
        self.mend = mend


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Refused(f"the key {twice!r} appears twice in one object", "Keep one of them.")
    return found


def _no_constant(name: str) -> Any:
    raise _Refused(f"{name} is not a JSON number", "Leave the value out when it is not known.")


def _storable(value: Any, where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Undecodable("nested too deeply", where, f"Nest at most {MAX_DEPTH} levels.")
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            raise Undecodable("text with a NUL or half a character", where, "Remove that character.")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise Undecodable("a number too large", where, "Send a smaller number.")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _storable(key, where, depth + 1)
            _storable(inner, f"{where}.{key}", depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _storable(inner, f"{where}[{index}]", depth + 1)


def _named(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, raw in headers:
        lower = name.lower()
        if lower != "content-type" and not lower.startswith("ce_"):
            continue  # other headers are the transport's business
        if lower in found:
            raise Undecodable("given twice", f"header {lower}", "Give each attribute once.")
        try:
            found[lower] = (raw or b"").decode("utf-8")
        except UnicodeDecodeError:
            raise Undecodable("not UTF-8", f"header {lower}", "Write header values in UTF-8.") from None
    return found


def _structured(value: bytes | None) -> CloudEvent:
    if not value:
        raise Undecodable("the message is empty", "value")
    body = load_json(value)
    if not isinstance(body, dict):
        raise Undecodable(
            "the JSON is not an object", "value", "Wrap it in an object with the attributes of CloudEvents."
        )
    attributes = dict(body)
    data = attributes.pop("data", None)
    if "data_base64" in attributes:
        if data is not None:
            raise Undecodable("both data and data_base64", "value", "Keep one of them.")
        try:
            raw = base64.b64decode(str(attributes.pop("data_base64")), validate=True)
        except binascii.Error:
            raise Undecodable("not base64", "data_base64", "Send JSON in data instead.") from None
        data = _binary_data(raw, str(attributes.get("datacontenttype", "")))
    return _event(attributes, data, "")


def _binary_data(value: bytes | None, content_type: str) -> Any:
    media = content_type.partition(";")[0].strip().lower()
    if media and media != "application/json" and not media.endswith("+json"):
        raise Undecodable(f"data of type {media} is not understood", "content-type", "Send application/json.")
    return load_json(value, "data") if value else None


def _event(attributes: Mapping[str, Any], data: Any, prefix: str) -> CloudEvent:
    """The event of these attributes; ``prefix`` says where they stood, for the words of a problem."""
    present = {name: value for name, value in attributes.items() if value is not None}
    for name, value in present.items():
        where = f"{prefix}{name}"
        if not _NAME.fullmatch(name):
            raise Undecodable("not a name of an attribute", where, "Use small letters and digits only.")
        if not isinstance(value, str | int | bool) or (name in _CONTEXT and not isinstance(value, str)):
            raise Undecodable("not a text", where, "Put objects, lists and fractions in data.")
        if isinstance(value, str) and _UNPRINTABLE.search(value):
            raise Undecodable("holds a control character", where, "Remove it.")
        if len(str(value)) > 1024:
            raise Undecodable("longer than 1024 characters", where, "Shorten it.")
    for name in ("specversion", "id", "source", "type"):
        if not present.get(name):
            raise Undecodable("missing or empty", f"{prefix}{name}", "CloudEvents 1.0 requires it.")
    if present["specversion"] != "1.0":
        raise Undecodable(f"version {present['specversion']} is not understood", f"{prefix}specversion", "Use 1.0.")
    return CloudEvent(
        id=present["id"],
        source=present["source"],
        type=present["type"],
        data=data,
        time=_time(present.get("time"), f"{prefix}time"),
        subject=present.get("subject"),
        datacontenttype=present.get("datacontenttype"),
        dataschema=present.get("dataschema"),
        extensions={name: value for name, value in present.items() if name not in _CONTEXT},
    )


def _time(text: str | None, where: str) -> datetime | None:
    if text is None:
        return None
    try:
        if not _RFC3339.fullmatch(text):
            raise ValueError
        found = datetime.fromisoformat(text.upper())
        found.astimezone(UTC)  # of the year 1 or 9999 it may not be able to
        return found
    except (ValueError, OverflowError):
        raise Undecodable(
            f"{text!r} is not a time", where, "Write it as 2026-11-04T08:00:00+01:00 (RFC 3339, with an offset)."
        ) from None


def _attributes(event: CloudEvent) -> dict[str, str | int | bool]:
    named = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": None if event.time is None else event.time.isoformat(),
        "datacontenttype": event.datacontenttype,
        "dataschema": event.dataschema,
    }
    return {**{name: value for name, value in named.items() if value is not None}, **event.extensions}


def _text(value: str | int | bool) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
