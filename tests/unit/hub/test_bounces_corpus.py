"""The corpus of real returned mails, against what a person read off each (bounce_expectations.csv).

TAMBOUR_CORPUS names the folder; the mails themselves are not ours to keep here. A larger set of the same kind may lie
there: what the table does not know must still be seen to be what its name says.
"""

import csv
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hub.bounces import Bounce, classify

pytestmark = pytest.mark.unit

_TABLE = Path(__file__).parent / "bounce_expectations.csv"
_CORPUS = os.environ.get("TAMBOUR_CORPUS")
_ENOUGH = 0.9

Expectation = tuple[str, str, bool, bool] | None
"""Kind, class of the status code ("" for none), whether the address is dead, whether the server gave up."""


def table() -> dict[str, Expectation]:
    with _TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    return {
        row["file"]: (row["kind"], row["class"], row["address_dead"] == "yes", row["gave_up"] == "yes")
        if row["kind"]
        else None
        for row in rows
    }


def said(bounce: Bounce | None) -> Expectation:
    if bounce is None:
        return None
    return bounce.kind, (bounce.status or "")[:1], bounce.address_dead, bounce.gave_up


def test_table_of_expectations_is_well_formed() -> None:
    found = table()
    assert len(found) >= 50
    assert {one[0] for one in found.values() if one} == {"hard", "soft", "complaint"}
    assert all(one is None for name, one in found.items() if name.startswith("not-a-bounce"))


def _plausible(name: str, bounce: Bounce | None) -> bool:
    """What the name of a file alone says of it, for one that nobody here has read."""
    if name.startswith("not-a-bounce"):
        return bounce is None or bounce.kind in ("autoreply", "challenge")
    if name.startswith("rfc3834"):
        return bounce is not None and bounce.kind == "autoreply"
    return bounce is not None and bounce.kind in ("hard", "soft", "complaint")


@pytest.mark.skipif(not _CORPUS, reason="TAMBOUR_CORPUS does not name the folder of real mails: skipped")
def test_corpus_of_real_mails_is_read_as_a_person_reads_it() -> None:
    expected = table()
    files = sorted((Path(str(_CORPUS)) / "bounces").glob("*.eml"))
    assert files
    wrong: dict[str, tuple[Expectation, Bounce | None]] = {}
    with capture_logs() as logs:
        for file in files:
            bounce = classify(file.read_bytes())
            if file.name.startswith("not-a-bounce"):
                assert bounce is None or bounce.kind in ("autoreply", "challenge"), file.name
            known = file.stem in expected
            if said(bounce) != expected[file.stem] if known else not _plausible(file.stem, bounce):
                wrong[file.stem] = (expected.get(file.stem), bounce)
    print(f"{len(files) - len(wrong)} of {len(files)} read right; wrong:", *wrong.items(), sep="\n")
    assert len(wrong) <= len(files) * (1 - _ENOUGH), wrong
    assert not [line for line in logs if line["log_level"] == "warning"]  # none of them is beyond reading
