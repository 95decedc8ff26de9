"""CloudEvents as Kafka carries them: both modes read alike, and whatever is no event is refused in words."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.cloudevents import (
    MAX_BYTES,
    CloudEvent,
    Headers,
    Undecodable,
    decode,
    encode_binary,
    encode_structured,
)

pytestmark = pytest.mark.unit

ATTRIBUTES = {"specversion": "1.0", "id": "1", "source": "/test", "type": "fr.tambour.notice"}
STRUCTURED: Headers = [("content-type", b"application/cloudevents+json")]
EVENT = CloudEvent(
    id="1",
    source="/valmerande/voirie",
    type="fr.tambour.road-works",
    data={"rue": "des Tanneurs à l'Écluse", "n": 1.5},
    time=datetime(2026, 11, 4, 8, tzinfo=UTC),
    subject="chantier é",
    datacontenttype="application/json",
    extensions={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
)


def structured(**more: Any) -> bytes:
    return json.dumps(ATTRIBUTES | more).encode()


def refusal(value: bytes | None, headers: Headers = STRUCTURED) -> Undecodable:
    with pytest.raises(Undecodable) as caught:
        decode(value, headers)
    assert caught.value.reason
    assert caught.value.mend
    return caught.value


def test_both_modes_carry_the_same_event() -> None:
    assert decode(*encode_structured(EVENT)) == EVENT
    assert decode(*encode_binary(EVENT)) == EVENT


def test_a_message_without_headers_is_read_as_structured() -> None:
    assert decode(structured(data={"a": 1}), []).data == {"a": 1}


def test_headers_of_the_transport_are_none_of_the_event() -> None:
    assert decode(structured(), [*STRUCTURED, ("trace", b"\xff"), ("trace", b"x")]).extensions == {}


def test_data_in_base64_is_read() -> None:
    assert decode(structured(data_base64="eyJhIjoxfQ=="), STRUCTURED).data == {"a": 1}
    assert refusal(structured(data_base64="%")).where == "data_base64"
    assert "both" in refusal(structured(data={}, data_base64="e30=")).reason


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_a_required_attribute_that_is_missing_or_empty_is_named(name: str) -> None:
    assert refusal(structured(**{name: ""})).where == name
    without = {key: value for key, value in ATTRIBUTES.items() if key != name}
    assert refusal(json.dumps(without).encode()).where == name


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"\xff",
        b'{"a": NaN}',
        b'{"a": 1, "a": 2}',
        b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        structured(data={"a": "\x00"}),
        structured(data={"a": "\ud800"}),
        structured(data={"\x00": 1}),
        b'{"specversion":"1.0","id":"1","source":"s","type":"t","data":1e999}',
        structured(specversion="0.3"),
        structured(id=1),
        structured(extra={}),
        structured(Extra="x"),
        structured(id="a\nb"),
        structured(id="x" * 1025),
        structured(datacontenttype="text/xml", data_base64="e30="),
        b" " * (MAX_BYTES + 1),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_is_no_event_is_refused(value: bytes | None) -> None:
    refusal(value)


@pytest.mark.parametrize("time", ["2026-11-04", "2026-11-04T08:00:00", "2026-13-04T08:00:00Z", "20261104T080000Z"])
def test_a_time_has_a_date_an_hour_and_an_offset(time: str) -> None:
    assert refusal(structured(time=time)).where == "time"


@pytest.mark.parametrize(
    "headers",
    [
        [("content-type", b"application/cloudevents-batch+json")],
        [("content-type", b"application/cloudevents+avro")],
        [("ce_id", b"1"), ("ce_id", b"2")],
        [("ce_id", b"\xff")],
        [("ce_id", b"1"), ("content-type", b"text/plain")],
    ],
)
def test_headers_that_are_no_binding_of_ours_are_refused(headers: Headers) -> None:
    refusal(structured(), headers)


@given(st.binary(max_size=200), st.lists(st.tuples(st.sampled_from(["content-type", "ce_id", "ce_type"]), st.binary())))
def test_whatever_arrives_is_an_event_or_undecodable(value: bytes, headers: Headers) -> None:
    try:
        decode(value, headers)
    except Undecodable:
        return


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(JSON.filter(lambda data: data is not None))
def test_any_json_survives_both_modes(data: Any) -> None:
    event = CloudEvent(id="1", source="s", type="t", data=data, datacontenttype="application/json")
    assert decode(*encode_structured(event)) == event
    assert decode(*encode_binary(event)) == event
