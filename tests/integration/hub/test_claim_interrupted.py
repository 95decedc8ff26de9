"""A worker that has claimed a batch and then learns that the database is away."""

import pytest

from store import authorities
from tests.integration.hub.providers import Provider
from tests.integration.hub.town import Town

pytestmark = pytest.mark.integration


async def test_batch_is_delivered_when_its_message_is_dealt_with_again(
    town: Town, mail: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As streams.loop does once the database is back: it does not wait for a lease of its own to end."""
    await town.settle_in(4)
    [batch] = await town.announced_and_dispatched()

    async def gone(*_: object) -> None:
        raise ConnectionResetError

    deliverer = town.deliverer()
    with monkeypatch.context() as patched:
        patched.setattr(authorities, "get", gone)
        with pytest.raises(ConnectionResetError):
            await deliverer.deliver(batch)
    await deliverer.deliver(batch)
    assert await town.states() == {"sent": 4}
