import pytest

from tests.contract.fault_server import FaultServer
from tests.contract.x.peers import OverFaults


@pytest.fixture
def peer(faults: FaultServer) -> OverFaults:
    """Over which tests run that ask for none by name."""
    return OverFaults(faults)
