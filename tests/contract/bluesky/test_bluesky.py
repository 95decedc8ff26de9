import pytest

from publishers.base import Checks, Deletes, Edits, Publishes
from publishers.bluesky.channel import Bluesky
from tests.contract.bluesky.pds import PATIENCE
from tests.contract.bluesky.peers import OverPds, OverSandbox
from tests.contract.suite import ContractOfBrokenReplies, ContractOfCutDeletes, ContractOfCuts

pytestmark = [pytest.mark.contract, pytest.mark.timeout(PATIENCE)]


class TestOverFaultServer(ContractOfBrokenReplies, ContractOfCutDeletes):
    """Whatever a server can do wrong."""


class TestOverSandbox(ContractOfCuts, ContractOfCutDeletes):
    @pytest.fixture
    def peer(self, over_sandbox: OverSandbox) -> OverSandbox:
        return over_sandbox


class TestOverPds(ContractOfBrokenReplies, ContractOfCutDeletes):
    """The real server, and whatever can happen on the way to it."""

    @pytest.fixture
    def peer(self, over_pds: OverPds) -> OverPds:
        return over_pds


def test_post_is_corrected_by_a_reply_or_by_another_because_bluesky_shows_the_first_text(publisher: Bluesky) -> None:
    assert isinstance(publisher, Publishes) and isinstance(publisher, Deletes) and isinstance(publisher, Checks)
    assert not isinstance(publisher, Edits)
