"""One recipient whom the mail server can't bear, and a mail server that hangs: neither may hold up anybody else."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from hub.settings import DeliverySettings
from publishers.base import Publisher
from publishers.registry import CHANNELS
from store import recipients
from store.database import transaction
from store.recipients import Subscriber
from tests.contract.conftest import Sandbox, running_sandbox
from tests.integration.hub.town import Town

pytestmark = pytest.mark.integration

SIZES = DeliverySettings(batch_size=60, window=20, deadline_s=2.0)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
def opened(sandbox: Sandbox) -> Callable[[], Publisher[Any]]:
    """Opens the product's mail channel on the sandbox."""
    host, _, port = sandbox.smtp.rpartition(":")
    channel = CHANNELS["email"]
    given = {"relays": {"main": {"host": host, "port": int(port), "tls": "none"}}}
    return lambda: channel.open(channel.options_type().model_validate(given))


@pytest.fixture
async def connected(town: Town, sandbox: Sandbox, opened: Callable[[], Publisher[Any]]) -> AsyncIterator[Town]:
    """The town with its mail going to the sandbox, which has no faults."""
    httpx.delete(f"{sandbox.http}/sandbox/faults")
    town.publishers["email"] = opened()
    town.sizes = SIZES
    yield town
    await town.publishers["email"].aclose()


async def live_at(town: Town, addresses: list[str]) -> None:
    async with transaction(town.pool) as connection:
        await recipients.save(
            connection, 1, [Subscriber("email", address, "fr", (("travaux", ""),)) for address in addresses]
        )


def ask(sandbox: Sandbox, kind: str, **more: Any) -> None:
    """Ask for a fault of the mail provider, until the next test."""
    answer = httpx.post(f"{sandbox.http}/sandbox/faults", json={"provider": "email", "kind": kind, **more})
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("word", ["cut", "hang", "hangdata", "full", "refuse"])
async def test_one_poisoned_recipient_does_not_hold_its_batch(connected: Town, sandbox: Sandbox, word: str) -> None:
    """He is in the first of three windows; whatever he does to a connection, he leaves the batch, which goes on."""
    others = [f"voisin.{word}.{number}@boite.example" for number in range(49)]
    await live_at(connected, [f"{word}.poison@courriel.example", *others])
    [batch] = await connected.announced_and_dispatched()
    await connected.deliver(batch)
    if word.startswith("hang"):  # his window lasted until the deadline; he isn't among those who are left
        await connected.dispatch()
        await connected.deliver(batch)
    states = await connected.states()
    assert states.pop("sent") == 49
    assert states == {{"refuse": "failed", "hangdata": "unknown"}.get(word, "retrying"): 1}
    assert await connected.dues() == ({} if word == "refuse" else {"retry": 1}), "he comes back later, by himself"
    assert await connected.one("SELECT state FROM batch WHERE id = $1", batch) == "done"
    accepted = Counter(line["recipient"] for line in sandbox.journal("email") if line["outcome"] == "accepted")
    assert [accepted[other] for other in others] == [1] * 49


async def test_recipient_who_breaks_every_connection_does_not_set_the_relay_aside(
    connected: Town, sandbox: Sandbox
) -> None:
    await live_at(connected, ["cut.alone@courriel.example"])
    [batch] = await connected.announced_and_dispatched()
    await connected.deliver(batch)
    assert await connected.states() == {"retrying": 1}
    await live_at(connected, ["voisin@boite.example"])
    order = await connected.announce(matter="Le suivant")
    await connected.run()
    assert (await connected.states(order))["sent"] == 1, "at once: the relay was not to blame"


@pytest.mark.parametrize("kind", ["hang", "hang_at_end"])
async def test_hanging_mail_server_does_not_hold_a_batch_past_its_deadline(
    connected: Town, sandbox: Sandbox, kind: str
) -> None:
    await live_at(connected, [f"tous.{kind}.{number}@boite.example" for number in range(49)])
    [batch] = await connected.announced_and_dispatched()
    ask(sandbox, kind)
    began = time.monotonic()
    await connected.deliver(batch)
    assert time.monotonic() - began < SIZES.deadline_s + 1
    states = await connected.states()
    assert states == {"queued": 39, "unknown" if kind == "hang_at_end" else "retrying": 10}, "one a connection"
    assert await connected.dues() == {"retry": 10}
    row = (await connected.all("SELECT state, cardinality(members) AS left FROM batch WHERE id = $1", batch))[0]
    assert tuple(row) == ("waiting", 39), "the others are back in the queue"


@pytest.mark.parametrize("ms", [100, 180, 260])
async def test_slow_mail_server_is_not_cut_off_in_mid_mail(connected: Town, sandbox: Sandbox, ms: int) -> None:
    """Nothing is begun that could not be answered before the deadline: no outcome is unclear, nothing repeated."""
    await live_at(connected, [f"lent.{ms}.{number}@boite.example" for number in range(49)])
    [batch] = await connected.announced_and_dispatched()
    ask(sandbox, "slow", ms=ms)
    for _ in range(2):
        await connected.deliver(batch)
        states = await connected.states()
        assert states.keys() <= {"queued", "sent"}
        await connected.let_time_pass()
        await connected.dispatch()
    assert states["sent"] >= 20, "and it gets on: ten connections, at least a mail each in a turn"
    taken = Counter(
        line["recipient"] for line in sandbox.journal("email") if line["recipient"].startswith(f"lent.{ms}.")
    )
    assert set(taken.values()) == {1} and len(taken) == states["sent"]
