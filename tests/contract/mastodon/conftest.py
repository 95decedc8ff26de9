from collections.abc import AsyncIterator

import pytest

from publishers.mastodon.channel import Mastodon
from tests.contract.fault_server import FaultServer, fault_server
from tests.contract.mastodon.posting import Instance, opened


@pytest.fixture
def instance() -> Instance:
    return Instance()


@pytest.fixture
async def server(instance: Instance) -> AsyncIterator[FaultServer]:
    async with fault_server(instance) as running:
        yield running


@pytest.fixture
async def mastodon(server: FaultServer) -> AsyncIterator[Mastodon]:
    mastodon = opened(server.url)
    yield mastodon
    await mastodon.aclose()
