"""Routing and planning: values in, values out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.routing import (
    Announce,
    Audience,
    NothingToEnd,
    Route,
    Superseded,
    Told,
    is_stale,
    plan,
    route,
    route_of,
    unknown_codes,
)
from hub.rules import COLUMNS, Known, parse_rules
from schemas.announcements import Action
from schemas.events import TYPES, EventData, Notice, RoadWorks, template_of
from schemas.lanes import Lane, Severity

pytestmark = pytest.mark.unit

RULES = parse_rules(
    "\n".join(
        (
            ";".join(COLUMNS),
            "road-works;>=Severe;*;alertes;urgent;*;*;*",
            "road-works;*;centre;travaux;routine;email,sms;fr;notice",
            "road-works;Minor;*;travaux;bulk;email;*;*",
            "notice;*;*;*;routine;email;*;*",
        )
    ),
    "rules.csv",
    Known(
        areas=("centre", "gare"),
        themes=("alertes", "travaux"),
        channels=("email", "sms", "mastodon"),
        templates=tuple(template_of(name) for name in TYPES),
    ),
)
WORKS = "fr.tambour.road-works"
NOW = datetime(2026, 11, 4, 8, tzinfo=UTC)
ROUTE = Route(3, ("travaux",), Lane.ROUTINE, ("email",), ("fr", "en"), "road-works")


def works(**more: Any) -> EventData:
    written = {
        "authority": "96001",
        "matter": "Chantier 114",
        "revision": 1,
        "areas": ("centre",),
        "onset": NOW,
        "expires": NOW + timedelta(days=4),
        "street": "rue des Tisserands",
        "traffic": "closed",
        "starts": "2026-11-04",
        "ends": "2026-11-08",
        "reason": {"fr": "conduite d'eau"},
    }
    return RoadWorks.model_validate(written | more)


def notice(**more: Any) -> Notice:
    written = {
        "authority": "96001",
        "matter": "Marché",
        "revision": 1,
        "onset": NOW,
        "expires": NOW + timedelta(days=4),
        "headline": {"fr": "Marché"},
        "body": {"fr": "Venez."},
        "themes": ("alertes",),
    }
    return Notice.model_validate(written | more)


def test_the_first_rule_that_matches_wins() -> None:
    found = route(RULES, WORKS, Severity.EXTREME, ("centre",))
    assert found is not None
    assert (found.line, found.lane, found.template) == (2, Lane.URGENT, "road-works")


def test_a_rule_for_areas_matches_any_of_them_and_the_whole_authority() -> None:
    for areas in (("centre",), ("gare", "centre"), ()):
        found = route(RULES, WORKS, Severity.MINOR, areas)
        assert found is not None
        assert (found.line, found.template) == (3, "notice")
    elsewhere = route(RULES, WORKS, Severity.MINOR, ("gare",))
    assert elsewhere is not None
    assert elsewhere.line == 4


def test_no_rule_is_no_route() -> None:
    assert route(RULES, WORKS, Severity.UNKNOWN, ("gare",)) is None
    assert route(RULES, "fr.tambour.water-quality", Severity.EXTREME, ()) is None


def test_a_notice_has_the_last_word_on_themes_channels_and_lane() -> None:
    quiet = route_of(RULES, notice())
    assert quiet is not None
    assert (quiet.themes, quiet.channels, quiet.lane) == (("alertes",), ("email",), Lane.ROUTINE)
    loud = route_of(RULES, notice(channels=("sms",), lane="urgent"))
    assert loud is not None
    assert (loud.channels, loud.lane) == (("sms",), Lane.URGENT)


def test_other_events_go_where_their_rule_says() -> None:
    data = works(severity="Severe")
    assert route_of(RULES, data) == route(RULES, WORKS, Severity.SEVERE, ("centre",))


def test_codes_that_the_authority_lacks_are_told() -> None:
    known: dict[str, Any] = {"areas": ("centre",), "themes": ("alertes",), "channels": ("email",)}
    assert unknown_codes(works(), **known) == ()
    (fault,) = unknown_codes(works(areas=("centre", "center")), **known)
    assert str(fault) == "data.areas[1] is unknown here: 'center'. Did you mean 'centre'?"
    found = unknown_codes(notice(themes=("fetes",), channels=("fax",)), **known)
    assert [fault.where for fault in found] == ["data.themes[0]", "data.channels[0]"]


def test_news_makes_a_first_version_for_those_who_subscribe() -> None:
    made = plan(works(), ROUTE, None, {"centre": "Centre"})
    assert isinstance(made, Announce)
    assert (made.version, made.audience) == (1, Audience.MATCHES)
    content = made.content
    assert (content.template, content.themes, content.area_names) == ("road-works", ("travaux",), ("Centre",))
    assert RoadWorks.model_validate(content.data) == works()


@pytest.mark.parametrize("action", [Action.CANCEL, Action.END])
def test_what_nobody_was_told_cannot_end(action: Action) -> None:
    assert plan(works(action=action), ROUTE, None) == NothingToEnd()


def test_an_update_that_comes_first_is_news() -> None:
    made = plan(works(action="update", revision=2), ROUTE, None)
    assert isinstance(made, Announce)
    assert (made.version, made.audience) == (1, Audience.MATCHES)


@pytest.mark.parametrize(
    ("action", "audience"),
    [
        (Action.ANNOUNCE, Audience.BOTH),
        (Action.UPDATE, Audience.BOTH),
        (Action.END, Audience.BOTH),
        (Action.CANCEL, Audience.HOLDERS),
    ],
)
def test_a_newer_revision_makes_the_next_version(action: Action, audience: Audience) -> None:
    made = plan(works(action=action, revision=5), ROUTE, Told(version=2, revision=3))
    assert isinstance(made, Announce)
    assert (made.version, made.audience, made.content.revision) == (3, audience, 5)


@given(st.sampled_from(Action), st.integers(1, 50), st.integers(1, 50))
def test_a_revision_never_goes_back(action: Action, revision: int, current: int) -> None:
    made = plan(works(action=action, revision=revision), ROUTE, Told(version=1, revision=current))
    assert isinstance(made, Superseded) is (revision <= current)


def test_an_end_goes_wherever_the_alert_went() -> None:
    told = Told(version=1, revision=1, channels=("email", "sms", "mastodon"), lane=Lane.URGENT)
    made = plan(works(action="end", revision=2), ROUTE, told)
    assert isinstance(made, Announce)
    assert made.content.channels == ("email", "sms", "mastodon")
    assert made.content.lane is Lane.ROUTINE


def test_a_cancellation_takes_no_slower_lane_than_what_it_cancels() -> None:
    cancel = works(action="cancel", revision=2)
    slow = plan(cancel, ROUTE, Told(1, 1, ("email",), Lane.BULK))
    fast = plan(cancel, ROUTE, Told(1, 1, ("email",), Lane.URGENT))
    assert isinstance(slow, Announce)
    assert isinstance(fast, Announce)
    assert (slow.content.lane, fast.content.lane) == (Lane.ROUTINE, Lane.URGENT)


def test_an_area_without_a_name_keeps_its_code() -> None:
    made = plan(works(), ROUTE, None)
    assert isinstance(made, Announce)
    assert made.content.area_names == ("centre",)


def test_old_or_expired_events_are_stale() -> None:
    day = timedelta(days=1)
    later = NOW + day
    assert not is_stale(NOW - day, later, NOW, day)
    assert is_stale(NOW - day - timedelta(seconds=1), later, NOW, day)
    assert is_stale(NOW, NOW, NOW, day)
    assert is_stale(None, NOW - day, NOW, day)
    assert not is_stale(None, later, NOW, day)
    assert not is_stale(NOW + day, NOW + 2 * day, NOW, day), "a clock that runs ahead is no reason for silence"
