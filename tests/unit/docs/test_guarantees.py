"""docs/guarantees.md names the tests that prove it: they must be there."""

import re
from pathlib import Path

import pytest

from launcher.chaos.plan import Blow, How, repeat_bound
from streams.deliver_agent import AT_ONCE

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    there = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert len(named) > 20
    assert named - there == set()


def test_bound_is_the_one_that_is_derived() -> None:
    sender = Blow(0, "deliver-bulk", How.KILL)
    assert AT_ONCE == 4
    assert repeat_bound([sender], window=100, at_once=AT_ONCE, connections=10) == 400
    assert repeat_bound([Blow(0, "sandbox", How.KILL)], window=100, at_once=AT_ONCE, connections=10) == 30
    harmless = [Blow(0, name, How.KILL) for name in ("core", "kafka", "postgres")]
    asked = Blow(0, "deliver-urgent", How.TERMINATE)
    assert repeat_bound([*harmless, asked], window=100, at_once=AT_ONCE, connections=10) == 0
