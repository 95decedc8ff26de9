"""A worker whose wall clock is wrong by days: what it takes in is judged by the database's time."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from tests.conftest import ROOT
from tests.integration.hub.town import Town, notice

pytestmark = pytest.mark.integration

SHIM = ROOT / "launcher" / "chaos" / "wrong_clock"
_DAY_S = 86_400
_TAKE_IN = """
import asyncio, json, sys
from datetime import UTC, datetime, timedelta
from hub.intake import Intake
from store.database import open_pool
from tests.integration.hub.town import message

async def main():
    given = json.load(sys.stdin)
    print((datetime.now(UTC) - datetime.fromisoformat(given["now"])).total_seconds())
    pool = await open_pool(given["dsn"])
    intake = Intake(pool, max_age=timedelta(hours=24))
    time = datetime.fromisoformat(given["now"])
    for number, data in enumerate(given["data"]):
        await intake.take_in([message(data, id=f"event-{number}", offset=number, time=time)])
    await pool.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("ahead_s", [3 * _DAY_S, -3 * _DAY_S, 400 * _DAY_S], ids=["ahead", "behind", "a year ahead"])
async def test_worker_with_a_wrong_clock_takes_nothing_for_stale(town: Town, database: str, ahead_s: int) -> None:
    """In a group and alone: the second event is a new version of the first, which is decided by itself."""
    first, second = notice(matter="works"), notice(matter="works", revision=2, action="update")
    given = {"dsn": database, "now": datetime.now(UTC).isoformat(), "data": [first, second]}
    done = subprocess.run(
        [sys.executable, "-c", _TAKE_IN],
        input=json.dumps(given),
        env={**os.environ, "PYTHONPATH": f"{SHIM}:{ROOT}", "CHAOS_CLOCK_AHEAD_S": str(ahead_s)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert abs(float(done.stdout.splitlines()[0]) - ahead_s) < 60, "its clock is wrong indeed"
    assert await town.outcomes() == ["announced", "announced"]
