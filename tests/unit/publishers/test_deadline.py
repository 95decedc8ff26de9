"""When a send will be cut off: known inside the send only, in whatever task does its work."""

import asyncio
from math import inf

import pytest

from publishers.deadline import cut_off, cut_off_at

pytestmark = pytest.mark.unit


async def test_a_send_and_its_tasks_know_when_they_are_cut_off_and_others_do_not() -> None:
    async def asked() -> float:
        return cut_off()

    outside = asyncio.create_task(asked())
    with cut_off_at(7.0):
        inside = asyncio.create_task(asked())
        with cut_off_at(3.0):
            assert cut_off() == 3.0
        assert cut_off() == 7.0
    assert (await outside, await inside, cut_off()) == (inf, 7.0, inf)
