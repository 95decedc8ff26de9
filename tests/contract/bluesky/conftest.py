import uuid

import pytest

from tests.contract.bluesky import pds as server
from tests.contract.bluesky.peers import OverFaults, OverPds, OverSandbox
from tests.contract.conftest import Sandbox
from tests.contract.fault_server import FaultServer


@pytest.fixture(scope="session")
def pds() -> server.Pds:
    """A real account server, one a session. Make accounts of your own on it."""
    return server.running()


@pytest.fixture
def over_faults(faults: FaultServer) -> OverFaults:
    return OverFaults(faults)


@pytest.fixture
def peer(over_faults: OverFaults) -> OverFaults:
    """Over which tests run that ask for none by name."""
    return over_faults


@pytest.fixture
def over_sandbox(sandbox: Sandbox) -> OverSandbox:
    return OverSandbox(sandbox, f"v{uuid.uuid4().hex[:12]}.example")


@pytest.fixture
def over_pds(pds: server.Pds, faults: FaultServer) -> OverPds:
    return OverPds(faults, pds)
