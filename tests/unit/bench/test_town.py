"""The events that benches put on Kafka are events as the hub takes them."""

import random

import pytest

from bench import town
from bench.intake import REPEATS, arrivals
from schemas.cloudevents import decode
from schemas.events import parse
from schemas.events.notice import Notice
from schemas.lanes import Lane

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("lane", Lane)
def test_notice_is_an_event_of_its_lane_and_area(lane: Lane) -> None:
    message = town.notice("envoi-1", lane, "ville")
    event = decode(message.value, message.headers)
    data = parse(event)
    assert isinstance(data, Notice)
    assert (event.id, data.lane, data.areas, data.channels) == ("envoi-1", lane, ("ville",), ("email",))
    assert (message.topic == "municipal.events.urgent") is (lane is Lane.URGENT)


def test_a_fifth_of_the_arrivals_repeat_one_that_came_before() -> None:
    found = arrivals("evenement-1-", 2000, random.Random(1))
    seen: set[bytes] = set()
    repeats = 0
    for message in found:
        repeats += message.key in seen
        seen.add(message.key)
    assert len(found) == 2000
    assert abs(repeats / 2000 - REPEATS) < 0.03
    assert decode(found[0].value, found[0].headers).id == "evenement-1-0"


def test_repeat_is_the_same_to_the_letter() -> None:
    by_key: dict[bytes, bytes] = {}
    for message in arrivals("e-", 200, random.Random(2)):
        assert by_key.setdefault(message.key, message.value) == message.value


def test_readers_are_spread_over_domains_and_read_two_languages() -> None:
    people = list(town._people("ville", 400))
    assert len({address for address, _ in people}) == 400
    assert len({address.partition("@")[2] for address, _ in people}) == town.DOMAINS
    assert sum(language == "en" for _, language in people) == 50


def test_telephones_are_numbers_that_no_country_has() -> None:
    assert town.phone(7) == "+999000000007"
    assert len({town.phone(number) for number in range(1000)}) == 1000
