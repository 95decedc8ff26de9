import uuid
from collections.abc import AsyncIterator

import pytest

from tests.contract.bluesky import pds as server
from tests.contract.bluesky.peers import OverFaults, OverPds, OverSandbox
from tests.contract.conftest import Sandbox
from tests.contract.fault_server import Reply, fault_server


@pytest.fixture(scope="session")
def pds() -> server.Pds:
    """A real account server, one a session. Make accounts of your own on it."""
    return server.running()


@pytest.fixture
async def over_faults() -> AsyncIterator[OverFaults]:
    async with fault_server(lambda _: Reply(500)) as faults:
        yield OverFaults(faults)


@pytest.fixture
def over_sandbox(sandbox: Sandbox) -> OverSandbox:
    return OverSandbox(sandbox, f"v{uuid.uuid4().hex[:12]}.example")


@pytest.fixture
async def over_pds(pds: server.Pds) -> AsyncIterator[OverPds]:
    async with fault_server(lambda _: Reply(500)) as faults:
        yield OverPds(faults, pds)
