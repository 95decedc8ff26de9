"""Events' data: what is understood, and what its sender is told when it isn't."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.announcements import Action
from schemas.cloudevents import CloudEvent
from schemas.events import (
    TYPES,
    FloodVigilance,
    Invalid,
    Localized,
    RoadWorks,
    UnknownType,
    WaterQuality,
    parse,
    template_of,
)
from schemas.lanes import Severity

pytestmark = pytest.mark.unit

COMMON: dict[str, Any] = {
    "authority": "96001",
    "matter": "Chantier 2026-114",
    "revision": 1,
    "onset": "2026-11-04T08:00:00+01:00",
    "expires": "2026-11-08T18:00:00+01:00",
}
WORKS = COMMON | {
    "street": "rue des Tisserands",
    "traffic": "closed",
    "starts": "2026-11-04",
    "ends": "2026-11-08",
    "reason": {"fr": "conduite d'eau", "en": "water main"},
}
FLOOD = COMMON | {"river": "Orvelle", "level": "orange", "situation": {"fr": "L'eau monte."}}


def event(data: Any, type_: str = "fr.tambour.road-works") -> CloudEvent:
    return CloudEvent(id="1", source="/test", type=type_, data=data)


def faults_of(data: Any, type_: str = "fr.tambour.road-works") -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        parse(event(data, type_))
    assert all(fault.mend for fault in caught.value.faults)
    return {fault.where: fault.reason for fault in caught.value.faults}


def test_an_event_becomes_the_data_of_its_type() -> None:
    works = parse(event(WORKS))
    assert isinstance(works, RoadWorks)
    assert works.action is Action.ANNOUNCE
    assert works.areas == ()
    assert works.onset.utcoffset() is not None
    assert works.reason.text("en") == "water main"


def test_data_written_as_json_reads_back_the_same() -> None:
    works = parse(event(WORKS))
    assert RoadWorks.model_validate(works.model_dump(mode="json")) == works


def test_french_stands_in_for_a_language_that_is_missing() -> None:
    assert Localized(fr="Bonjour").text("en") == "Bonjour"
    assert Localized(fr="Bonjour", en="Hello").text("fr") == "Bonjour"


def test_every_fault_is_told_at_once() -> None:
    broken = WORKS | {
        "revision": "1",
        "street": "rue\r\nBcc: everybody",
        "traffic": "barree",
        "ends": "2026-11-03",
        "expires": "2026-11-04T08:00:00+01:00",
        "reason": {"en": "only English"},
        "colour": "red",
        "daily_from": "8:00",
        "link": "javascript:alert(1)",
        "areas": ["centre", "centre"],
    }
    assert faults_of(broken) == {
        "data.revision": 'is not a whole number: "1"',
        "data.street": "holds a control character (U+000D at character 4)",
        "data.traffic": 'has a value that is not in the list: "barree"',
        "data.ends": "is 2026-11-03, before starts, 2026-11-04",
        "data.expires": "is 2026-11-04T08:00:00+01:00, not after onset, 2026-11-04T08:00:00+01:00",
        "data.reason.fr": "is missing",
        "data.colour": "is not a field of this event",
        "data.daily_from": 'is not written as expected: "8:00"',
        "data.link": "is not a web address",
        "data.areas": "has 'centre' twice",
    }


@pytest.mark.parametrize("value", ["2026-11-04T08:00:00", "2026-11-04", 1762243200, "demain", None])
def test_a_moment_without_offset_or_in_another_writing_is_refused(value: Any) -> None:
    assert set(faults_of(WORKS | {"onset": value})) == {"data.onset"}


@pytest.mark.parametrize("year", ["0001", "1970", "9999"])
def test_years_that_can_only_be_mistakes_are_refused(year: str) -> None:
    assert "data.onset" in faults_of(WORKS | {"onset": f"{year}-11-04T08:00:00+01:00"})


@pytest.mark.parametrize("text", ["", "   ", "\u00a0", "a\u0000b", "a\nb", "a\u0085b", "a\u2028b", "a\u202eb"])
def test_text_that_is_blank_or_holds_control_characters_is_refused(text: str) -> None:
    assert set(faults_of(WORKS | {"matter": text})) == {"data.matter"}


@given(st.text(max_size=60))
def test_no_accepted_text_has_more_than_one_line(text: str) -> None:
    try:
        works = parse(event(WORKS | {"street": text}))
    except Invalid:
        return
    assert isinstance(works, RoadWorks)
    assert len(works.street.splitlines()) == 1


@pytest.mark.parametrize("link", ["ftp://a.example/", "//a.example", "https://town.example@evil.example/", "x"])
def test_a_link_is_a_plain_web_address(link: str) -> None:
    assert set(faults_of(WORKS | {"link": link})) == {"data.link"}


def test_the_name_of_an_unknown_field_is_quoted() -> None:
    assert list(faults_of(WORKS | {"a\nb": 1})) == ['data."a\\nb"']


def test_one_hour_without_the_other_is_refused() -> None:
    assert set(faults_of(WORKS | {"daily_from": "08:00"})) == {"data.daily_to"}
    assert set(faults_of(WORKS | {"daily_to": "18:00"})) == {"data.daily_to"}


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_data_that_is_no_object_is_refused(data: Any) -> None:
    assert set(faults_of(data)) == {"data"}


def test_an_unknown_type_is_told_with_those_it_resembles() -> None:
    with pytest.raises(UnknownType) as caught:
        parse(event(WORKS, "fr.tambour.roadworks"))
    assert caught.value.near[0] == "fr.tambour.road-works"
    assert "fr.tambour.road-works" in str(caught.value)


def test_severity_left_out_follows_the_level_and_an_evacuation() -> None:
    def severity(**more: Any) -> Severity:
        return parse(event(FLOOD | more, "fr.tambour.flood-vigilance")).severity

    assert severity(level="green") is Severity.MINOR
    assert severity(level="yellow") is Severity.MODERATE
    assert severity(level="orange") is Severity.SEVERE
    assert severity(level="red") is Severity.EXTREME
    assert severity(level="orange", evacuate=True) is Severity.EXTREME
    assert severity(level="red", severity="Moderate") is Severity.MODERATE


def test_severity_left_out_follows_the_restriction_of_water() -> None:
    found = parse(event(COMMON | {"restriction": "do_not_drink"}, "fr.tambour.water-quality"))
    assert isinstance(found, WaterQuality)
    assert found.severity is Severity.SEVERE


def test_leaving_and_returning_contradict_each_other() -> None:
    both = FLOOD | {"evacuate": True, "return_possible": True}
    assert set(faults_of(both, "fr.tambour.flood-vigilance")) == {"data.return_possible"}


def test_a_height_is_a_number_a_river_can_have() -> None:
    kind = "fr.tambour.flood-vigilance"
    assert set(faults_of(FLOOD | {"height_m": 900}, kind)) == {"data.height_m"}
    assert set(faults_of(FLOOD | {"height_m": "3"}, kind)) == {"data.height_m"}
    high = parse(event(FLOOD | {"height_m": 3}, kind))
    assert isinstance(high, FloodVigilance)
    assert high.height_m == 3.0


def test_a_notice_keeps_its_paragraphs() -> None:
    notice = {"headline": {"fr": "Marché"}, "body": {"fr": "Un\n\n- deux"}, "themes": ["culture-sport"]}
    found = parse(event(COMMON | notice, "fr.tambour.notice"))
    assert found.model_dump()["body"]["fr"] == "Un\n\n- deux"
    assert set(faults_of(COMMON | notice | {"themes": []}, "fr.tambour.notice")) == {"data.themes"}


def test_every_type_has_a_template_of_its_own() -> None:
    assert len({template_of(name) for name in TYPES}) == len(TYPES) == 7
    assert template_of("fr.tambour.road-works") == "road-works"
