"""What the networks of ``bench social`` allow, and how well an account used it."""

import json
from pathlib import Path

import pytest

from bench.networks import Networks, Try
from bench.social import _utilisation

pytestmark = pytest.mark.unit

NETWORKS = Networks(Path("nowhere"), 0, allowance=2, period=10)


def tries(*moments: float, refused: tuple[float, ...] = ()) -> list[Try]:
    return [Try("compte", one, f"texte {one}", one in refused) for one in moments]


def test_as_many_as_one_period_allows_need_no_time() -> None:
    assert NETWORKS.soonest("mastodon", 5.5, 2) == 0
    assert _utilisation(NETWORKS, "mastodon", tries(5.5, 8.0)) == 1


def test_third_post_waits_for_the_second_period_and_fifth_for_the_third() -> None:
    assert NETWORKS.soonest("mastodon", 5.5, 3) == 10
    assert NETWORKS.soonest("mastodon", 5.5, 5) == 20


def test_periods_of_x_end_at_a_whole_second() -> None:
    assert NETWORKS.soonest("x", 5.5, 3) == 10.5


def test_utilisation_is_what_could_have_been_through_what_was() -> None:
    assert _utilisation(NETWORKS, "mastodon", tries(0, 0, 10, 10, 20)) == 1
    assert _utilisation(NETWORKS, "mastodon", tries(0, 0, 10, 10, 25)) == 0.8


def test_refused_requests_are_no_posts() -> None:
    assert _utilisation(NETWORKS, "mastodon", tries(0, 1, 30, refused=(30,))) == 1


def test_journal_is_read_as_posts_and_refusals(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    lines = [
        {"kind": "create", "outcome": "accepted", "account": "a", "at": "2026-11-24T08:00:00.5Z", "text": "un"},
        {"kind": "create", "outcome": "deferred", "account": "a", "at": "2026-11-24T08:00:01Z", "status": 429},
        {"kind": "delete", "outcome": "accepted", "account": "a", "at": "2026-11-24T08:00:02Z"},
    ]
    text = "\n".join(map(json.dumps, lines)) + "\n"
    (tmp_path / "journal" / "x.jsonl").write_text(text, encoding="utf-8")
    found = list(Networks(tmp_path, 0, 1, 1).tries("x"))
    assert [(one.text, one.refused) for one in found] == [("un", False), ("", True)]
    assert found[1].at - found[0].at == 0.5
