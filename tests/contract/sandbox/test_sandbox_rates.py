"""The limits that the sandbox's networks enforce: what is left is told, what is beyond is 429, a period ends."""

import math
import time
from datetime import datetime

import httpx
import pytest

from tests.contract.sandbox.conftest import Start
from tests.contract.sandbox.process import SandboxProcess

pytestmark = pytest.mark.contract

PATHS = {"mastodon": "/api/v1/statuses", "x": "/x/2/tweets"}
FIELDS = {"mastodon": "status", "x": "text"}
PERIOD = 3


def post(sandbox: SandboxProcess, network: str, account: str, words: str) -> httpx.Response:
    return httpx.post(
        f"{sandbox.http}{PATHS[network]}",
        json={FIELDS[network]: words},
        headers={"Authorization": f"Bearer token-{account}"},
    )


def limited(start: Start) -> SandboxProcess:
    return start("--mastodon-rate-limit", "2", "--x-rate-limit", "2", "--rate-period-seconds", str(PERIOD))


def reset(answer: httpx.Response) -> float:
    """The moment at which the answer says that the period ends."""
    told = answer.headers["x-ratelimit-reset" if "x-ratelimit-reset" in answer.headers else "x-rate-limit-reset"]
    return float(told) if told.isdigit() else datetime.fromisoformat(told).timestamp()


@pytest.mark.parametrize("network", PATHS)
def test_post_beyond_the_limit_is_refused_until_the_moment_that_was_told(start: Start, network: str) -> None:
    sandbox = limited(start)
    answers = [post(sandbox, network, "valmerande", f"Avis {number}") for number in range(3)]
    assert [answer.is_success for answer in answers] == [True, True, False]
    assert answers[2].status_code == 429
    assert len({reset(answer) for answer in answers}) == 1
    assert post(sandbox, network, "orvelle", "Un autre compte").is_success
    time.sleep(max(0.0, reset(answers[2]) - time.time()))  # the network's own word: not a moment more
    assert post(sandbox, network, "valmerande", "Avis 3").is_success
    outcomes = [line["outcome"] for line in sandbox.journal(network) if line["account"] == "valmerande"]
    assert outcomes == ["accepted", "accepted", "deferred", "accepted"]


def test_periods_of_x_end_at_the_whole_second_that_its_header_can_say(start: Start) -> None:
    sandbox = limited(start)
    before = time.time()
    answer = post(sandbox, "x", "valmerande", "Avis")
    assert math.ceil(before + PERIOD) <= reset(answer) <= math.ceil(time.time() + PERIOD)
    assert (answer.headers["x-rate-limit-limit"], answer.headers["x-rate-limit-remaining"]) == ("2", "1")
