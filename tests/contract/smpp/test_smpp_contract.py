"""The suite of every channel, over three SMSCs. An expired account is refused at its bind, like a wrong one."""

from typing import Any

import pytest

from publishers.base import (
    Checks,
    LooksUp,
    Permanent,
    Publisher,
    PublishesMany,
    Receives,
    Transient,
    Unclear,
    Unknown,
    Untried,
)
from publishers.sms.gateway import Sends
from tests.contract.conftest import Sandbox
from tests.contract.smpp.sending import OverFaults, OverNpm, OverSandbox, opened, text
from tests.contract.smpp.smsc import FaultSmsc, NpmSmsc
from tests.contract.suite import PATIENCE, Contract, ContractOfBrokenReplies, ContractOfCuts, Peer, Trouble, outcome

pytestmark = pytest.mark.contract


class _NoHint(Contract):
    """SMPP has no way to say how long to wait: the publisher itself says a second or more, as its window does."""

    async def test_throttling_waits_as_long_as_the_peer_asks(self, peer: Peer, publisher: Publisher[Any]) -> None:
        message = peer.message()
        await peer.will(Trouble.THROTTLE)
        error = await outcome(publisher, message)
        assert type(error) is Transient and error.code == "ESME_RTHROTTLED"
        assert error.retry_after is not None and 1 <= error.retry_after <= 4
        assert await peer.taken(message) == 0


class TestOverFaultSmsc(_NoHint, ContractOfBrokenReplies):
    @pytest.fixture
    def peer(self, smsc: FaultSmsc) -> OverFaults:
        return OverFaults(smsc)

    async def test_peer_that_never_ends_the_tls_handshake_has_got_nothing(self, peer: Peer) -> None:
        assert isinstance(peer, OverFaults)
        publisher = opened(peer.port, tls="tls", bind_timeout=PATIENCE)
        message = peer.message()
        assert type(await outcome(publisher, message)) is Untried
        assert await peer.taken(message) == 0
        await publisher.aclose()


class TestOverNpmSmsc(_NoHint, ContractOfCuts):
    @pytest.fixture
    def peer(self, npm_smsc: NpmSmsc) -> OverNpm:
        return OverNpm(npm_smsc)


class TestOverSandbox(_NoHint, ContractOfCuts):
    @pytest.fixture
    def peer(self, sandbox: Sandbox) -> OverSandbox:
        return OverSandbox(sandbox)

    @pytest.mark.parametrize(
        ("ending", "error", "code"),
        [
            ("87", Transient, "ESME_RSYSERR"),
            ("88", Permanent, "ESME_RX_P_APPN"),
            ("89", Transient, "ESME_RSUBMITFAIL"),
            ("90", Permanent, "ESME_RINVDSTADR"),
            ("91", Transient, "ESME_RTHROTTLED"),
            ("95", Unknown, None),
            ("96", Transient, "ESME_RUNKNOWNERR"),
        ],
    )
    async def test_numbers_that_misbehave_do_so_here_too(
        self, publisher: Publisher[Any], ending: str, error: type[Exception], code: str | None
    ) -> None:
        told = await outcome(publisher, text(recipient=f"+336399801{ending}"))
        assert (type(told), told.code) == (error, code)


def test_it_sends_many_receives_and_can_be_checked() -> None:
    publisher = opened(2775)
    for contract in (PublishesMany, Receives, LooksUp, Checks, Sends):
        assert isinstance(publisher, contract)
    assert publisher.unclear is Unclear.WAIT and publisher.limits.concurrency == 20
