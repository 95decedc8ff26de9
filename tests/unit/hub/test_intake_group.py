"""Which events of a group are taken in together: values in, values out."""

from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.intake import known_to
from hub.intake_group import Candidate, Known, sort_out
from hub.rules import Rules, parse_rules
from schemas.authorities import Identity
from schemas.cloudevents import CloudEvent
from schemas.events import parse
from store.authorities import Authority

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
DAY = timedelta(days=1)
AUTHORITY = Authority(
    1,
    "96001",
    "Valmerande",
    "Europe/Paris",
    ("fr", "en"),
    Identity(
        name="Ville de Valmerande",
        short_name="Valmerande",
        mail_from="annonces@valmerande.example",
        list_id="annonces.valmerande.example",
        website="https://www.valmerande.example/",
        postal_address="Mairie, Valmerande",
        sms_sender="VALMERANDE",
    ),
    {"centre": "Centre"},
    ("travaux",),
)
RULES = parse_rules(
    "type;severity;areas;themes;lane;channels;languages;template\nnotice;>=Minor;*;*;routine;email;*;*\n",
    "rules.csv",
    known_to(AUTHORITY),
)


def rules_of(authority: Authority, found: tuple[str, str] | None) -> Rules | None:
    return None if found is None else RULES


def candidate(line: object, name: str, matter: str, **changes: object) -> Candidate:
    data = {
        "authority": "96001",
        "matter": matter,
        "revision": 1,
        "onset": NOW.isoformat(),
        "expires": (NOW + DAY).isoformat(),
        "headline": {"fr": "Rue barrée"},
        "body": {"fr": "Déviation."},
        "themes": ["travaux"],
    } | changes
    event = CloudEvent(name, "/tests", "fr.tambour.notice", data, NOW)
    return Candidate(line, event, parse(event))


def known(*, events: Collection[str] = (), matters: Collection[str] = ()) -> Known:
    return Known(
        {"96001": AUTHORITY},
        {1: ("rules.csv", "")},
        {("/tests", name) for name in events},
        {(1, one) for one in matters},
    )


def outcomes(group: list[Candidate], there: Known) -> list[str | None]:
    found = sort_out(group, there, rules_of, NOW, DAY)
    return [found.outcomes.get(position) for position in range(len(group))]


def test_what_stands_for_itself_is_taken_in() -> None:
    group = [
        candidate("a", "1", "one"),
        candidate("b", "2", "two", expires=(NOW + timedelta(seconds=1)).isoformat()),
        candidate("c", "3", "three", onset=(NOW - DAY).isoformat(), expires=NOW.isoformat()),
        candidate("d", "4", "four", severity="Unknown"),
        candidate("e", "5", "five", action="end"),
        candidate("f", "1", "one"),
        candidate("g", "before", "six"),
    ]
    there = known(events={"before"})
    assert outcomes(group, there) == [
        "announced",
        "announced",
        "stale",
        "no_rule",
        "nothing_to_end",
        "duplicate",
        "duplicate",
    ]
    found = sort_out(group, there, rules_of, NOW, DAY)
    assert found.arrivals["/tests", "1"].seen == 2
    assert found.again == {("/tests", "before"): 1}


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(candidate("a", "1", "known"), id="a matter that is known"),
        pytest.param(candidate("a", "1", "new", areas=["nowhere"]), id="an area that is not"),
        pytest.param(candidate("a", "1", "new", authority="01001"), id="an authority that is not"),
    ],
)
def test_what_is_left_holds_up_its_line_and_its_repeats_and_nobody_else(first: Candidate) -> None:
    group = [first, candidate("a", "2", "two"), candidate("b", "3", "three"), candidate("c", "1", "four")]
    assert outcomes(group, known(matters={"known"})) == [None, None, "announced", None]


def test_second_event_of_a_matter_is_left() -> None:
    group = [candidate("a", "1", "one"), candidate("b", "2", "one", revision=2), candidate("b", "3", "three")]
    assert outcomes(group, known()) == ["announced", None, None]


_MESSAGES = st.builds(
    lambda line, name, matter, area, action: candidate(line, name, matter, areas=area, action=action),
    st.integers(0, 3),
    st.sampled_from("abcdef"),
    st.sampled_from(["one", "two", "three", "four", "five"]),
    st.sampled_from([[], ["centre"], ["nowhere"]]),
    st.sampled_from(["announce", "update", "cancel", "end"]),
)


@given(st.lists(_MESSAGES, max_size=25), st.sets(st.sampled_from("abc")), st.sets(st.sampled_from(["one", "two"])))
def test_no_event_overtakes_one_of_its_line_and_each_is_recorded_once(
    group: list[Candidate], events: set[str], matters: set[str]
) -> None:
    found = sort_out(group, known(events=events, matters=matters), rules_of, NOW, DAY)
    for line in range(4):
        taken = [position in found.outcomes for position, one in enumerate(group) if one.line == line]
        assert taken == sorted(taken, reverse=True), "who is left leaves all that come after it"
    for name in found.arrivals:
        first = next(position for position, one in enumerate(group) if one.name == name)
        assert first in found.outcomes, "the first to come is the event, those after it are its repeats"
    counted = Counter({name: one.seen for name, one in found.arrivals.items()}) + found.again
    assert counted.total() == len(found.outcomes)
    announced = [one.matter for one in found.arrivals.values() if one.outcome == "announced"]
    assert len(set(announced)) == len(announced) == len(found.news)
    assert not set(announced) & matters
    assert not {name for _, name in found.arrivals} & events
