"""The way to a provider: through a proxy, as town halls have them, and when the time for it is over."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from publishers.base import Unknown, Untried
from publishers.deadline import cut_off_at
from publishers.http_exchange import Exchange, Wire
from tests.contract.fault_server import FaultServer, Reply
from tests.contract.peer import PATIENCE, Trouble

pytestmark = pytest.mark.contract


@pytest.fixture
def proxy(faults: FaultServer, monkeypatch: pytest.MonkeyPatch) -> FaultServer:
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, faults.url)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return faults


@pytest.fixture
async def wire(request: pytest.FixtureRequest, proxy: FaultServer) -> AsyncIterator[Wire]:
    """To a host that the proxy alone could reach."""
    opened = Wire(f"{request.param}://api.valmerande.example", {}, 1, PATIENCE)
    yield opened
    await opened.aclose()


@pytest.mark.parametrize("wire", ["https"], indirect=True)
@pytest.mark.parametrize("told", [Reply(502), Reply(407), Trouble.HANG, Trouble.TAKE_AND_CUT])
async def test_proxy_that_does_not_reach_the_provider_has_got_nothing_of_the_message(
    proxy: FaultServer, wire: Wire, told: Reply | Trouble
) -> None:
    proxy.next.append(told)
    exchange = Exchange()
    with pytest.raises(Untried):
        await wire.send(wire.request("POST", "/messages", json={"text": "Rue barrée"}), exchange)
    [asked] = proxy.requests
    assert asked.method == "CONNECT" and not exchange.begun


@pytest.mark.parametrize("wire", ["http"], indirect=True)
async def test_proxy_that_carries_the_message_itself_may_have_passed_it_on(proxy: FaultServer, wire: Wire) -> None:
    proxy.next.append(Trouble.TAKE_AND_CUT)
    exchange = Exchange()
    with pytest.raises(Unknown):
        await wire.send(wire.request("POST", "/messages", json={"text": "Rue barrée"}), exchange)
    [asked] = proxy.requests
    assert asked.method == "POST" and exchange.begun


async def test_nothing_leaves_once_the_send_is_over(faults: FaultServer) -> None:
    """As when the process was stopped, and goes on before it hears that its time is over."""
    wire, exchange = Wire(faults.url, {}, 1, PATIENCE), Exchange()
    with cut_off_at(asyncio.get_running_loop().time()), pytest.raises(Untried):
        await wire.send(wire.request("POST", "/messages", json={"text": "Rue barrée"}), exchange)
    await wire.aclose()
    assert not faults.requests and not exchange.begun


async def test_content_does_not_follow_its_headers_once_the_send_is_over(faults: FaultServer) -> None:
    wire, over = Wire(faults.url, {}, 1, PATIENCE), asyncio.get_running_loop().time() + PATIENCE

    class Stopped(Exchange):
        async def trace(self, event: str, info: Mapping[str, Any]) -> None:
            if event.endswith("send_request_body.started"):
                with cut_off_at(over - 2 * PATIENCE):
                    return await Exchange.trace(self, event, info)
            await Exchange.trace(self, event, info)

    with cut_off_at(over), pytest.raises(Unknown):
        await wire.send(wire.request("POST", "/messages", json={"text": "Rue barrée"}), Stopped())
    await wire.aclose()
    assert not faults.requests
