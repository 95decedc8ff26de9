"""A town over a database of its own; at the end of each test, what must always hold is checked."""

from collections.abc import AsyncIterator

import pytest

from store.database import open_pool
from tests.integration.hub.providers import Provider
from tests.integration.hub.town import Town


@pytest.fixture
async def town(database: str) -> AsyncIterator[Town]:
    pool = await open_pool(database)
    try:
        built = Town(pool)
        await built.found()
        yield built
        await built.check()
    finally:
        await pool.close()


@pytest.fixture
def mail(town: Town) -> Provider:
    """The mail provider of the town."""
    provider = Provider("email")
    town.publishers["email"] = provider
    return provider
