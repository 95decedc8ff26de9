"""The whole path over the product's own publishers and the sandbox's servers: mail, SMS and Mastodon."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes

import httpx
import pytest

from hub.pictures import taken_in
from publishers.registry import CHANNELS
from store import pictures, receipts, recipients
from store.database import transaction
from store.pictures import Entry
from store.recipients import Subscriber
from tests.contract.conftest import Sandbox, running_sandbox
from tests.integration.hub.town import Town, message, notice
from tests.unit.hub.test_pictures import photograph

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
async def connected(town: Town, sandbox: Sandbox) -> Town:
    """The town with all three channels opened on the sandbox."""
    host, _, port = sandbox.smtp.rpartition(":")
    gateway = {"url": sandbox.http, "token": "valmerande", "webhook_secret": "x" * 24, "timeout": 2}
    options = {
        "email": {"relays": {"main": {"host": host, "port": int(port), "tls": "none"}}, "reply_timeout": 2},
        "sms": {"gateways": {"main": gateway}},
        "mastodon": {"accounts": {"valmerande": {"url": sandbox.http, "token": "valmerande"}}, "timeout": 2},
    }
    for name, given in options.items():
        channel = CHANNELS[name]
        town.publishers[name] = channel.open(channel.options_type().model_validate(given))
    return town


async def live_at(town: Town, channel: str, addresses: list[str]) -> None:
    async with transaction(town.pool) as connection:
        people = [Subscriber(channel, address, "fr", (("travaux", ""),)) for address in addresses]
        await recipients.save(connection, 1, people)


async def settle(town: Town) -> None:
    await town.settle()
    for publisher in town.publishers.values():
        await publisher.aclose()


async def test_mail_meets_every_kind_of_mail_server(connected: Town, sandbox: Sandbox) -> None:
    addresses = [
        *(f"habitant.{number}@courriel.example" for number in range(20)),
        "refuse.a@courriel.example",
        "greylist.b@courriel.example",
        "later2.c@courriel.example",
        "throttle.d@courriel.example",
        "spam.e@courriel.example",
        "dropdata.f@courriel.example",
    ]
    await live_at(connected, "email", addresses)
    await connected.announce()
    await settle(connected)
    assert await connected.states() == {"sent": 24, "failed": 2}
    accepted = [line for line in sandbox.journal("email") if line.get("outcome") == "accepted"]
    ordinary = Counter(line["recipient"] for line in accepted)
    assert {ordinary[address] for address in addresses[:20]} == {1}


async def test_sms_meets_every_kind_of_number(connected: Town, sandbox: Sandbox) -> None:
    numbers = [f"+3363998{number:04d}" for number in range(500, 510)]
    await live_at(connected, "sms", [*numbers, "+33639980190", "+33639980191", "+33639980187", "+33639980189"])
    await connected.announce(channels=["sms"])
    await settle(connected)
    assert await connected.states() == {"sent": 13, "failed": 1}


async def test_post_is_made_once_though_it_is_asked_for_again(connected: Town, sandbox: Sandbox) -> None:
    [account] = await connected.settle_in(1, channel="mastodon", broadcast=True)
    await connected.do("UPDATE recipient SET address = 'valmerande' WHERE id = $1", account)
    async with httpx.AsyncClient() as client:
        fault = {"provider": "mastodon", "kind": "drop", "count": 1}
        (await client.post(f"{sandbox.http}/sandbox/faults", json=fault)).raise_for_status()
    before = len(sandbox.journal("mastodon"))
    await connected.take_in(message(notice(channels=["mastodon"], matter="une seule fois")))
    await connected.run()
    assert await connected.states() == {"unknown": 1}, "it was taken, and the answer was lost"
    await settle(connected)
    assert await connected.states() == {"sent": 1}
    outcomes = [line["outcome"] for line in sandbox.journal("mastodon")[before:] if line.get("kind") == "create"]
    assert outcomes == ["dropped", "replayed"], "stored without an answer, then the same post answered"
    assert await connected.one("SELECT url FROM fact WHERE url IS NOT NULL")


async def test_stop_by_sms_holds_for_the_next_announcement(connected: Town) -> None:
    await live_at(connected, "sms", ["+33639980777"])
    body = b'{"type": "inbound", "from": "+33639980777", "to": "+33639980001", "text": "Stop"}'
    async with transaction(connected.pool) as connection:
        await receipts.keep(connection, channel="sms", kind="inbound", body=body, hint=None, reference=None)
    await connected.announce(channels=["sms"])
    await settle(connected)
    assert await connected.states() == {"suppressed": 1}
    assert await connected.one("SELECT reason FROM suppression") == "STOP by SMS"


async def test_two_workers_on_one_town_send_each_mail_once(connected: Town, sandbox: Sandbox) -> None:
    addresses = [f"voisin.{number}@courriel.example" for number in range(60)]
    await live_at(connected, "email", addresses)
    batches = await connected.announced_and_dispatched()
    await asyncio.gather(*(connected.deliver(batch) for batch in batches * 3))
    await settle(connected)
    counts = Counter(line["recipient"] for line in sandbox.journal("email") if line.get("outcome") == "accepted")
    assert {counts[address] for address in addresses} == {1}


async def test_mail_shows_the_logo_and_the_pictures_of_its_notice(connected: Town, sandbox: Sandbox) -> None:
    taken = taken_in(photograph())
    async with transaction(connected.pool) as connection:
        for name in ("blason", "plan"):
            alt = {"fr": f"Image : {name}"}
            entry = Entry(name, taken.content, taken.media_type, taken.width, taken.height, alt, "Photo Ville")
            await pictures.save(connection, 1, entry)
    await connected.do("""UPDATE authority SET identity = identity || '{"logo": "blason"}' WHERE id = 1""")
    await live_at(connected, "email", ["lectrice@courriel.example"])
    await connected.announce(pictures=["plan"], matter="en images")
    await settle(connected)
    assert await connected.states() == {"sent": 1}
    [line] = [line for line in sandbox.journal("email") if line["recipient"] == "lectrice@courriel.example"]
    mail = message_from_bytes((sandbox.home / "journal" / "email.content").read_bytes()[line["content_at"] :])
    images = [part for part in mail.walk() if part.get_content_maintype() == "image"]
    assert {part["Content-ID"].strip("<>").partition("@")[0] for part in images[:2]} == {"blason", "plan"}
    [page] = [part for part in mail.walk() if part.get_content_type() == "text/html"][:1]
    html = page.get_payload(decode=True).decode()
    assert 'alt="Image : plan"' in html.replace("\u00a0", " ") and "Photo Ville" in html
