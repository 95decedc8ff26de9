"""The SMS channel over two gateways of different vendors, both real servers of the sandbox or of this process."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from publishers.base import Outcome, PublishError, Receipt, Transient, Unknown
from publishers.registry import CHANNELS, open_publisher
from publishers.sms.channel import Sms
from publishers.sms.route import order
from schemas.messages import Text
from tests.contract.conftest import Sandbox, running_sandbox
from tests.contract.fault_server import FaultServer, Reply, fault_server
from tests.contract.gateways import http_options, ovh_options, taken, twilio_options
from tests.contract.suite import Trouble, sandbox_will

pytestmark = pytest.mark.contract

NAMES = {"main": 1, "ovh": 1, "twilio": 1}


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox of its own for the gateways that take over: faults asked of the first don't reach it."""
    with running_sandbox(tmp_path_factory.mktemp("second")) as running:
        yield running


def gateways(main: str, ovh: str, twilio: str) -> dict[str, Any]:
    return {
        "main": http_options(main, timeout=2),
        "ovh": ovh_options(f"{ovh}/ovh/1.0", timeout=2),
        "twilio": twilio_options(f"{twilio}/twilio", timeout=2),
    }


def opened(given: dict[str, Any]) -> Sms:
    found = open_publisher("sms", CHANNELS["sms"].options_type().model_validate({"gateways": given}))
    assert isinstance(found, Sms)
    return found


@pytest.fixture
async def publisher(sandbox: Sandbox, second: Sandbox) -> AsyncIterator[Sms]:
    publisher = opened(gateways(sandbox.http, second.http, second.http))
    yield publisher
    await publisher.aclose()


def preferring(*names: str) -> Text:
    """A message of a key that prefers these gateways, in this order."""
    start = time.monotonic_ns()
    keys = (f"{start + number:x}-1.1" for number in range(10_000))
    key = next(key for key in keys if order(key, NAMES)[: len(names)] == list(names))
    return Text(key, "VALMERANDE", "+33639980300", f"Rue barrée ({key})")


async def told(publisher: Sms, message: Text) -> Outcome:
    try:
        return await publisher.publish(message)
    except PublishError as error:
        return error


@pytest.mark.parametrize("name", NAMES)
async def test_each_gateway_takes_its_own_keys(publisher: Sms, sandbox: Sandbox, second: Sandbox, name: str) -> None:
    message = preferring(name)
    receipt = await publisher.publish(message)
    assert receipt.reference is not None and receipt.reference.startswith(f"{name}:")
    assert taken(message, sandbox, second) == 1


@pytest.mark.parametrize("trouble", [Trouble.THROTTLE, Trouble.UNAVAILABLE])
async def test_what_a_gateway_says_it_has_not_taken_goes_to_the_next(
    publisher: Sms, sandbox: Sandbox, second: Sandbox, trouble: Trouble
) -> None:
    message = preferring("main", "ovh")
    await sandbox_will(sandbox.http, "sms", trouble)
    receipt = await told(publisher, message)
    assert isinstance(receipt, Receipt) and (receipt.reference or "").startswith("ovh:")
    assert (taken(message, sandbox), taken(message, second)) == (0, 1)


async def test_nobody_there_goes_to_the_next(nobody: str, second: Sandbox) -> None:
    publisher = opened(gateways(nobody, second.http, second.http))
    messages = [preferring("main", "twilio") for _ in range(5)]
    receipts = [await publisher.publish(message) for message in messages]
    assert {(receipt.reference or "").partition(":")[0] for receipt in receipts} == {"twilio"}
    assert [taken(message, second) for message in messages] == [1] * 5
    await publisher.aclose()


@pytest.mark.parametrize("name", ["main", "ovh", "twilio"])
async def test_what_was_taken_without_an_answer_is_never_sent_on_and_is_found_where_it_is(
    publisher: Sms, sandbox: Sandbox, second: Sandbox, name: str
) -> None:
    message, since = preferring(name), datetime.now(UTC)
    await sandbox_will((sandbox if name == "main" else second).http, "sms", Trouble.TAKE_AND_CUT)
    assert isinstance(await told(publisher, message), Unknown)
    assert taken(message, sandbox, second) == 1
    found = await publisher.look_up(message.key, message.recipient) or await publisher.find(message, since)
    assert found is not None and (found.reference or "").startswith(f"{name}:")


@pytest.mark.parametrize("name", ["main", "ovh", "twilio"])
async def test_another_process_that_knows_not_whom_asks_them_all(
    publisher: Sms, sandbox: Sandbox, second: Sandbox, name: str
) -> None:
    message, since = preferring(name), datetime.now(UTC)
    await publisher.publish(message)
    other = opened(gateways(sandbox.http, second.http, second.http))
    found = await other.look_up(message.key, message.recipient) or await other.find(message, since)
    assert found is not None and (found.reference or "").startswith(f"{name}:")
    unsent = preferring(name)
    assert await other.look_up(unsent.key, unsent.recipient) is None and await other.find(unsent, since) is None
    await other.aclose()


@pytest.fixture
async def first() -> AsyncIterator[FaultServer]:
    async with fault_server(lambda _: Reply(202, {"id": "1"})) as server:
        yield server


async def test_gateway_that_hangs_is_left_alone_by_those_that_come_after(first: FaultServer, second: Sandbox) -> None:
    given = gateways(first.url, second.http, second.http)
    publisher = opened(given | {"main": given["main"] | {"timeout": 0.3}})
    first.next.extend([Trouble.HANG] * 20)
    messages = [preferring("main", "ovh") for _ in range(12)]
    outcomes: dict[str, Outcome] = {}
    for message in messages[:3]:
        assert isinstance(await told(publisher, message), Unknown)
    await publisher.publish_many(messages[3:], outcomes.__setitem__)
    assert {type(one) for one in outcomes.values()} == {Receipt} and len(outcomes) == 9
    assert len(first.requests) == 3
    await publisher.aclose()


async def test_cancelling_many_reports_each_once_with_what_is_known_of_it(first: FaultServer) -> None:
    publisher = opened({"main": gateways(first.url, "", "")["main"] | {"timeout": 10, "concurrency": 4}})
    first.next.extend([Trouble.HANG] * 4)
    messages = [preferring() for _ in range(10)]
    reports: list[tuple[str, str]] = []
    sending = asyncio.create_task(
        publisher.publish_many(messages, lambda key, one: reports.append((key, type(one).__name__)))
    )
    await first.reached(4)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    kinds = [kind for _, kind in sorted(reports, key=lambda one: [m.key for m in messages].index(one[0]))]
    assert kinds == ["Unknown"] * 4 + ["Untried"] * 6
    await publisher.aclose()


async def test_one_that_cannot_say_leaves_it_open_while_nobody_else_knows(first: FaultServer, second: Sandbox) -> None:
    publisher = opened(gateways(first.url, second.http, second.http))
    message = preferring("ovh")
    first.next.append(Reply(503))
    with pytest.raises(Transient, match="main"):
        await publisher.look_up(message.key, message.recipient)
    await publisher.aclose()


async def test_check_says_of_each_gateway_whether_it_works(sandbox: Sandbox, nobody: str) -> None:
    publisher = opened(gateways(sandbox.http, sandbox.http, nobody))
    before = len(sandbox.journal("sms"))
    findings = {found.name: found.ok for found in await publisher.check()}
    assert findings == {"main": True, "ovh": True, "twilio": False}
    assert len(sandbox.journal("sms")) == before, "nothing is sent"
    await publisher.aclose()
