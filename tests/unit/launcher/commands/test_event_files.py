"""Events in files: where each begins, and what is wrong with it."""

import json
from pathlib import Path

import pytest

from launcher.event_files import Written, check, pieces, read_events
from launcher.faults import Fault

pytestmark = pytest.mark.unit

WORKS = {
    "specversion": "1.0",
    "id": "works-200-1",
    "source": "/valmerande/voirie",
    "type": "fr.tambour.road-works",
    "data": {
        "authority": "96001",
        "matter": "Chantier 2026-200",
        "revision": 1,
        "onset": "2026-11-04T08:00:00+01:00",
        "expires": "2026-11-08T18:00:00+01:00",
        "street": "rue du Port",
        "traffic": "closed",
        "starts": "2026-11-04",
        "ends": "2026-11-08",
        "reason": {"fr": "fuite"},
    },
}


def written(event: object) -> Written:
    return Written("works.json:1", json.dumps(event).encode())


def test_one_object_is_one_event_kept_to_the_letter() -> None:
    assert pieces('\n{\n "id":  1\n}\n') == [(2, '{\n "id":  1\n}')]


def test_array_is_cut_into_its_elements_with_their_lines() -> None:
    assert pieces('[\n {"a": 1},\n\n {"b":\n 2}\n]\n') == [(2, '{"a": 1}'), (4, '{"b":\n 2}')]


def test_one_event_a_line_is_as_many_events() -> None:
    assert pieces('{"a": 1}\n\n{"b": 2}\n') == [(1, '{"a": 1}'), (3, '{"b": 2}')]


def test_broken_line_among_others_is_an_event_of_its_own() -> None:
    assert pieces('{"a": 1}\n{"b": \n{"c": 3}') == [(1, '{"a": 1}'), (2, '{"b":'), (3, '{"c": 3}')]


@pytest.mark.parametrize("text", ['[{"a": 1}', '[{"a": 1},]', '[{"a": 1}] x', "[]", "[1 2]"])
def test_array_that_is_none_stays_whole(text: str) -> None:
    assert pieces(text) == [(1, text)]


def test_file_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"works\.json can't be read: No such file"):
        read_events(tmp_path / "works.json")


def test_empty_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "works.json"
    path.write_text(" \n")
    with pytest.raises(Fault, match="is empty"):
        read_events(path)


def test_sound_event_has_no_fault() -> None:
    found = check(written(WORKS))
    assert found.faults == ()
    assert found.key == b"96001:Chantier 2026-200"
    assert not found.urgent


def test_severe_event_is_urgent() -> None:
    assert check(written({**WORKS, "data": {**WORKS["data"], "severity": "Severe"}})).urgent  # type: ignore[dict-item]


def test_every_fault_is_told_with_its_place() -> None:
    data = {name: value for name, value in WORKS["data"].items() if name != "expires"}  # type: ignore[attr-defined]
    found = check(written({**WORKS, "data": {**data, "traffic": "shut", "colour": "red"}}))
    assert len(found.faults) == 3
    assert all(fault.startswith("works.json:1: data.") for fault in found.faults)


def test_broken_event_keeps_the_key_of_its_matter() -> None:
    assert check(written({**WORKS, "type": "fr.tambour.unknown"})).key == b"96001:Chantier 2026-200"


@pytest.mark.parametrize("text", [b'{"id": ', b"\xff\xfe", b"3"])
def test_what_is_no_event_is_a_fault_and_never_an_error(text: bytes) -> None:
    found = check(Written("x:1", text))
    assert found.event is None
    assert found.faults[0].startswith("x:1: ")
    assert found.key is None
