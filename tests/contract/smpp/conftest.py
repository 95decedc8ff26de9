from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.smpp.smsc import FaultSmsc, NpmSmsc, fault_smsc, running_npm_smsc
from tests.contract.smpp.smsc import npm_smpp as npm_smpp


@pytest.fixture
async def smsc() -> AsyncIterator[FaultSmsc]:
    async with fault_smsc() as running:
        yield running


@pytest.fixture
async def npm_smsc(npm_smpp: Path) -> AsyncIterator[NpmSmsc]:
    async with running_npm_smsc(npm_smpp) as running:
        yield running
