"""Values at the edge of what a field can say: whoever sends them is told, and intake goes on.

A defect of ours ends the worker when many messages of a batch meet it (streams.loop), so no message may be one.
"""

import pytest

from schemas.cloudevents import CloudEvent, encode_structured
from tests.integration.hub.town import Town, notice, raw

pytestmark = pytest.mark.integration

FIRST, LAST = "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"


@pytest.mark.parametrize("time", [FIRST, LAST])
async def test_event_whose_time_no_clock_has_is_undecodable(town: Town, time: str) -> None:
    """In UTC, it lies before the year 1 or after the year 9999."""
    value, headers = encode_structured(CloudEvent("an event", "/tests", "fr.tambour.notice", notice()))
    value = value.replace(b'"specversion"', f'"time":"{time}","specversion"'.encode(), 1)
    assert await town.take_in(raw(value, headers=tuple(headers))) == 0
    assert await town.letters() == ["undecodable"]
