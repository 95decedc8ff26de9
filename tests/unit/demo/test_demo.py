"""The demo's week is what it says: valid events, three broken ones, subscribers the sandbox knows."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from demo.loader import FOLDER, Message, load_authorities, load_events, load_mended, load_notices
from demo.placeholders import PARIS, Moment, resolve
from demo.subscribers import ACCOUNTS, AREAS, MISBEHAVING_BLOCK, MISBEHAVING_MAIL, THEMES, subscribers
from hub.routing import Announce, NothingToEnd, Superseded, Told, is_stale, plan, route_of, unknown_codes
from hub.rules import Known, parse_rules
from publishers.registry import CHANNELS
from schemas.cloudevents import Undecodable, decode
from schemas.events import TYPES, Invalid, Notice, parse, template_of

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
MOMENT = Moment(NOW, "test")
DESCRIBED = load_authorities()
EPCI, TOWN = DESCRIBED.authority
assert TOWN.rules is not None
RULES = parse_rules(
    (FOLDER / TOWN.rules).read_text(encoding="utf-8"),
    TOWN.rules,
    Known(
        TOWN.areas,
        tuple(DESCRIBED.themes),
        tuple(CHANNELS),
        tuple(template_of(name) for name in TYPES),
        TOWN.languages,
    ),
)


class Hub:
    """What intake decides, with nothing stored but values."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.seen: set[tuple[str, str]] = set()
        self.told: dict[str, Told] = {}

    def outcome(self, message: Message) -> str:
        try:
            event = decode(message.value, message.headers)
            data = parse(event)
        except (Undecodable, Invalid):
            return "dead_letter"
        known = unknown_codes(data, areas=TOWN.areas, themes=tuple(DESCRIBED.themes), channels=CHANNELS)
        if data.authority != TOWN.code or known:
            return "dead_letter"
        assert message.key.decode() == f"{data.authority}:{data.matter}"
        if (event.source, event.id) in self.seen:
            return "duplicate"
        self.seen.add((event.source, event.id))
        if is_stale(event.time, data.expires, self.now, timedelta(hours=24)):
            return "stale"
        route = route_of(RULES, data)
        if route is None:
            return "no_rule"
        made = plan(data, route, self.told.get(data.matter), TOWN.areas)
        match made:
            case Announce():
                content = made.content
                self.told[data.matter] = Told(made.version, data.revision, content.channels, content.lane)
                return "announced"
            case Superseded():
                return "superseded"
            case NothingToEnd():
                return "nothing_to_end"


def outcomes(now: datetime) -> dict[str, tuple[str, str]]:
    moment = Moment(now, "test")
    hub = Hub(now)
    return {
        message.name: (message.outcome, hub.outcome(message))
        for message in (*load_events(moment), *load_mended(moment))
    }


def test_every_event_becomes_what_the_manifest_says() -> None:
    for name, (expected, found) in outcomes(NOW).items():
        assert (name, found) == (name, expected)


@settings(max_examples=25, deadline=None)
@given(st.datetimes(datetime(2025, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)))
@example(datetime(2027, 3, 27, 12, tzinfo=UTC))
@example(datetime(2026, 10, 24, 22, 59, 59, tzinfo=UTC))
@example(datetime(2026, 12, 31, 22, 59, 59, tzinfo=UTC))
def test_the_week_is_the_same_whenever_it_begins(now: datetime) -> None:
    assert all(expected == found for expected, found in outcomes(now).values())


def test_the_week_shows_every_outcome_and_exactly_three_broken_events() -> None:
    events = load_events(MOMENT)
    counted = Counter(message.outcome for message in events)
    assert len(events) >= 26
    assert counted["dead_letter"] == 3
    assert set(counted) == {
        "announced",
        "duplicate",
        "stale",
        "no_rule",
        "superseded",
        "nothing_to_end",
        "dead_letter",
    }
    for message in events:
        assert (message.reason is not None) is (message.outcome == "dead_letter")


def test_the_week_has_every_type_both_modes_and_both_topics() -> None:
    events = [message for message in load_events(MOMENT) if message.outcome != "dead_letter"]
    types = {decode(message.value, message.headers).type for message in events}
    assert types == set(TYPES) - {Notice.TYPE}
    assert {any(name == "ce_id" for name, _ in message.headers) for message in events} == {True, False}
    assert {message.topic for message in events} == {"municipal.events", "municipal.events.urgent"}


def test_events_of_one_matter_keep_to_one_topic() -> None:
    topics: dict[bytes, set[str]] = {}
    for message in load_events(MOMENT):
        topics.setdefault(message.key, set()).add(message.topic)
    assert all(len(found) == 1 for found in topics.values())


def test_one_broken_event_is_mended() -> None:
    (mended,) = load_mended(MOMENT)
    (broken,) = [message for message in load_events(MOMENT) if message.name == mended.name]
    assert broken.outcome == "dead_letter"
    assert (mended.topic, mended.key) == (broken.topic, broken.key)


def test_another_run_tells_its_own_week() -> None:
    first, second = (load_events(Moment(NOW, run)) for run in ("one", "two"))
    assert not {message.key for message in first} & {message.key for message in second}


def test_what_people_read_is_there_in_both_languages() -> None:
    def languages(value: object, where: str) -> None:
        if isinstance(value, dict):
            if "fr" in value:
                assert value.get("en"), where
            for name, inner in value.items():
                languages(inner, f"{where}.{name}")
        elif isinstance(value, list):
            for inner in value:
                languages(inner, where)

    for message in load_events(MOMENT):
        if message.outcome == "announced":
            languages(decode(message.value, message.headers).data, message.name)
    for name, notice in load_notices(MOMENT).items():
        languages(notice, name)


def test_notices_are_valid_and_have_a_route() -> None:
    notices = load_notices(MOMENT)
    assert len(notices) == 2
    for written in notices.values():
        notice = Notice.model_validate(written)
        assert unknown_codes(notice, areas=TOWN.areas, themes=tuple(DESCRIBED.themes), channels=CHANNELS) == ()
        assert route_of(RULES, notice) is not None


def test_authorities_are_those_of_the_rules_and_subscribers() -> None:
    assert (TOWN.code, TOWN.parent) == ("96001", EPCI.code)
    assert set(TOWN.areas) == set(AREAS)
    assert set(DESCRIBED.themes) == set(THEMES)
    assert TOWN.identity.short_name == "Valmerande"


def test_subscribers_are_the_same_every_time() -> None:
    assert subscribers(300) == subscribers(300)
    assert subscribers(300) != subscribers(300, seed=2)


def test_subscribers_are_as_many_and_as_various_as_promised() -> None:
    people, accounts = subscribers()[:2000], subscribers()[2000:]
    assert [(one.channel, one.places) for one in accounts] == [(name, ()) for name in ACCOUNTS]
    assert all(one.broadcast for one in accounts) and not any(one.broadcast for one in people)
    assert len({(one.channel, one.address) for one in people}) == 2000
    shares = Counter(one.channel for one in people)
    assert 0.62 < shares["email"] / 2000 < 0.70
    assert 0.30 < shares["sms"] / 2000 < 0.38
    assert 0.09 < sum(one.language == "en" for one in people) / 2000 < 0.15
    assert all(one.places and {theme for theme, _ in one.places} <= set(THEMES) for one in people)
    assert all({area for _, area in one.places} <= {"", *AREAS} for one in people)
    assert sum(len({area for _, area in one.places}) > 1 for one in people) > 100
    assert all(len(set(one.places)) == len(one.places) for one in people)


def test_addresses_are_fictional() -> None:
    for one in subscribers():
        if one.channel == "email":
            local, _, domain = one.address.partition("@")
            assert domain.endswith(".example")
            assert local.isascii()
        elif one.channel == "sms":
            assert one.address.startswith("+3363998")
            assert len(one.address) == 12


def test_a_few_addresses_misbehave_and_the_others_never_by_chance() -> None:
    people = subscribers()
    mails = Counter(one.address.partition(".")[0] for one in people if one.channel == "email")
    assert [mails[label] for label in MISBEHAVING_MAIL] == [3] * len(MISBEHAVING_MAIL)
    texts = [one.address for one in people if one.address.startswith(MISBEHAVING_BLOCK)]
    assert len(texts) == 8


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("{{now}}", "2026-11-03T10:30:00+01:00"),
        ("{{now+2d}} {{now-3h}}", "2026-11-05T10:30:00+01:00 2026-11-03T07:30:00+01:00"),
        ("{{now+30m}}/{{now-10s}}", "2026-11-03T11:00:00+01:00/2026-11-03T10:29:50+01:00"),
        ("{{day}} {{day+1}} {{day-3}}", "2026-11-03 2026-11-04 2026-10-31"),
        ("{{day+1 08:00}}", "2026-11-04T08:00:00+01:00"),
        ("{{day-10 08:00}}", "2026-10-24T08:00:00+02:00"),
        ("{{day+1 fr}}, {{day+1 en}}", "mercredi 4 novembre, Wednesday 4 November"),
        ("{{day+28 fr}}, {{day+28 en}}", "mardi 1er décembre, Tuesday 1 December"),
        ("a-{{run}}", "a-test"),
        ("nothing { to } {do}", "nothing { to } {do}"),
    ],
)
def test_placeholders_become_moments(written: str, read: str) -> None:
    assert resolve(written, MOMENT) == read


def test_an_hour_that_summer_time_skips_becomes_one_that_exists() -> None:
    eve = Moment(datetime(2027, 3, 27, 12, tzinfo=UTC), "test", PARIS)
    assert resolve("{{day+1 02:30}}", eve) == "2027-03-28T03:30:00+02:00"


@pytest.mark.parametrize("written", ["{{today}}", "{{now+2}}", "{{day+1 25:00}}", "{{ now }}", "{{day+1 de}}"])
def test_a_placeholder_that_means_nothing_is_told(written: str) -> None:
    with pytest.raises(ValueError, match="means nothing"):
        resolve(written, MOMENT)


def test_a_moment_has_an_offset_and_a_plain_run() -> None:
    with pytest.raises(ValueError, match="offset"):
        Moment(datetime(2026, 1, 1), "test")
    with pytest.raises(ValueError, match="not a run"):
        Moment(NOW, 'a"b')
    assert Moment.beginning(NOW).run == "20261103-093000-000"
