"""A message that kills the worker reading it is set aside the third time; those beside it are taken in."""

import json

import pytest

from schemas.cloudevents import CloudEvent, encode_structured
from tests.integration.hub.killing import worker
from tests.integration.hub.town import Town, notice

pytestmark = pytest.mark.integration

KILLED = 9


def event(id: str, **changes: object) -> str:
    value, _ = encode_structured(CloudEvent(id, "/tests", "fr.tambour.notice", notice(**changes)))
    return value.decode()


@pytest.mark.parametrize("place", [0, 2, 4])
async def test_message_that_kills_its_worker_is_set_aside_the_third_time(town: Town, database: str, place: int) -> None:
    values = [event(f"e{number}", matter=f"matter {number}") for number in range(4)]
    values.insert(place, json.dumps({"id": "poison"}))

    endings = [worker("take in raw", database, values=values).returncode for _ in range(4)]
    assert endings == [KILLED, KILLED, KILLED, 0]
    assert await town.letters() == ["attempts"]
    assert await town.one("SELECT message_offset FROM dead_letter") == place
    assert await town.outcomes() == ["announced"] * 4
    assert await town.one("SELECT count(*) FROM intake_attempt") == 0

    assert worker("take in raw", database, values=values[:place] + values[place + 1 :]).returncode == 0
    assert await town.letters() == ["attempts"], "its neighbours, redelivered, are duplicates and no more"
    assert await town.outcomes() == ["announced"] * 4


async def test_two_poisons_in_one_batch_are_both_set_aside(town: Town, database: str) -> None:
    values = ['"poison 1"', event("e1"), '"poison 2"']
    endings = [worker("take in raw", database, values=values).returncode for _ in range(6)]
    assert endings == [KILLED] * 5 + [0], "the first attempt was everybody's; then each was read alone"
    assert await town.letters() == ["attempts", "attempts"]
    assert await town.outcomes() == ["announced"]
