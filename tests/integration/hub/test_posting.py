"""Whole announcements on social networks: threads, corrections, retractions, and crashes in the middle of them.

The publishers are the product's, the networks are the sandbox's servers: Mastodon deduplicates and edits, Facebook
does neither but can be searched, X neither edits nor deduplicates.
"""

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from hub.pictures import taken_in
from hub.withdrawal import NotWithdrawable, withdraw
from store import pictures, recipients
from store.database import transaction
from store.pictures import Entry
from store.recipients import Subscriber
from tests.contract.conftest import Sandbox, running_sandbox
from tests.integration.hub.killing import Kill, Real, was_killed, worker
from tests.integration.hub.town import Town
from tests.unit.hub.test_pictures import photograph

pytestmark = pytest.mark.integration

LONG = {"fr": "Rue des Tisserands barrée du 4 au 8, déviation par le quai Vauclair. " * 14}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


class Account:
    """An account of the town on one network, and what its readers see there."""

    def __init__(self, town: Town, sandbox: Sandbox, channel: str, options: dict[str, Any]) -> None:
        self.town = town
        self.sandbox = sandbox
        self.channel = channel
        self.real = Real(channel, options)
        self.before = len(sandbox.journal(channel))

    async def open(self) -> "Account":
        self.town.publishers[self.channel] = self.real.open()
        async with transaction(self.town.pool) as connection:
            await recipients.save(connection, 1, [Subscriber(self.channel, "valmerande", "fr", broadcast=True)])
        return self

    async def announce(self, **changes: Any) -> int:
        return await self.town.announce(channels=[self.channel], **changes)

    async def fault(self, kind: str, count: int = 1) -> None:
        async with httpx.AsyncClient() as client:
            asked = {"provider": self.channel, "kind": kind, "count": count}
            (await client.post(f"{self.sandbox.http}/sandbox/faults", json=asked)).raise_for_status()

    def lines(self) -> list[dict[str, Any]]:
        """What the network did since the account was opened, oldest first."""
        taken = ("accepted", "dropped", "replayed")
        return [line for line in self.sandbox.journal(self.channel)[self.before :] if line["outcome"] in taken]

    def kinds(self) -> list[str]:
        return [line["kind"] for line in self.lines() if line["outcome"] != "replayed"]

    def seen(self) -> list[str]:
        """The texts that are out, oldest first."""
        out: dict[str, str] = {}
        for line in self.lines():
            if line["kind"] == "delete":
                out.pop(line["id"])
            elif line["outcome"] != "replayed":
                out[line["id"]] = line["text"]
        return list(out.values())


@pytest.fixture
async def mastodon(town: Town, sandbox: Sandbox) -> Account:
    token = f"ville{uuid.uuid4().hex[:12]}"  # the sandbox names the account after it, and remembers its keys
    account = {"url": sandbox.http, "token": token}
    return await Account(town, sandbox, "mastodon", {"accounts": {"valmerande": account}}).open()


def page(town: Town, sandbox: Sandbox, kind: str) -> Account:
    number = uuid.uuid4().int % 10**12 + 10
    account = {"page_id": str(number), "token": f"token-{kind}-{number}"}
    options = {"accounts": {"valmerande": account}, "url": f"{sandbox.http}/facebook"}
    return Account(town, sandbox, "facebook", options)


@pytest.fixture
async def facebook(town: Town, sandbox: Sandbox) -> Account:
    return await page(town, sandbox, "valmerande").open()


async def test_a_long_text_is_a_thread_with_one_head(mastodon: Account) -> None:
    await mastodon.announce(body=LONG)
    await mastodon.town.settle()
    said = mastodon.lines()
    assert len(said) >= 3
    assert [line["in_reply_to_id"] for line in said] == [None, *(line["id"] for line in said[:-1])]
    assert [line["text"][-5:] for line in said] == [f"({n}/{len(said)})" for n in range(1, len(said) + 1)]
    assert await mastodon.town.states() == {"sent": 1}


CRASHES = {
    "first post's row written, not handed over": Kill("hub.posting:Poster._call", "before"),
    "first post taken, not recorded": Kill("hub.posting:Poster._call", "after"),
    "second post's row written, not handed over": Kill("hub.posting:Poster._call", "before", call=2),
    "second post taken, not recorded": Kill("hub.posting:Poster._call", "after", call=2),
    "second post recorded, third not begun": Kill("hub.posting:Poster._done", "after", call=2),
}


@pytest.mark.parametrize("step", CRASHES)
async def test_a_crash_in_the_middle_resumes_the_thread_without_a_second_head(
    mastodon: Account, database: str, step: str
) -> None:
    order = await mastodon.announce(body=LONG)
    assert was_killed(worker("run", database, kill=CRASHES[step], real=mastodon.real))
    await mastodon.town.let_leases_end()
    await mastodon.town.settle()
    assert await mastodon.town.states(order) == {"sent": 1}
    said = [line for line in mastodon.lines() if line["outcome"] != "replayed"]
    assert len({line["text"] for line in said}) == len(said) >= 3
    assert [line["in_reply_to_id"] for line in said].count(None) == 1


@pytest.mark.parametrize("step", ["first post's row written, not handed over", "first post taken, not recorded"])
async def test_a_crash_is_looked_up_where_the_network_cannot_deduplicate(
    facebook: Account, database: str, step: str
) -> None:
    order = await facebook.announce()
    assert was_killed(worker("run", database, kill=CRASHES[step], real=facebook.real))
    await facebook.town.let_leases_end()
    await facebook.town.settle()
    assert await facebook.town.states(order) == {"sent": 1}
    assert facebook.kinds() == ["create"]


async def test_a_lost_answer_is_looked_up_and_not_sent_again(facebook: Account) -> None:
    await facebook.fault("drop")
    await facebook.announce()
    await facebook.town.run()
    assert await facebook.town.states() == {"unknown": 1}
    await facebook.town.settle()
    assert await facebook.town.states() == {"sent": 1}
    assert facebook.kinds() == ["create"]


async def test_a_page_that_can_not_be_read_leaves_it_to_an_officer(town: Town, sandbox: Sandbox) -> None:
    account = await page(town, sandbox, "unread").open()
    await account.fault("drop")
    await account.announce()
    await town.settle()
    assert await town.states() == {"unknown": 1} and await town.dues() == {"officer": 1}
    assert account.kinds() == ["create"]


async def test_a_correction_edits_the_post(mastodon: Account, facebook: Account) -> None:
    for account in (mastodon, facebook):
        await account.announce(matter=account.channel)
        await account.town.settle()
        correction = await account.announce(
            matter=account.channel, revision=2, action="update", headline={"fr": "Quai Vauclair barré"}
        )
        await account.town.settle()
        assert await account.town.states(correction) == {"sent": 1}
        assert account.kinds() == ["create", "edit"]
        [text] = account.seen()
        assert "uai Vauclair barré" in text
        code = await account.town.one("SELECT code FROM fact WHERE order_id = $1 AND url IS NOT NULL", correction)
        assert code == "edited"


async def test_a_shorter_correction_leaves_no_old_part_behind(mastodon: Account) -> None:
    await mastodon.announce(body=LONG)
    await mastodon.town.settle()
    await mastodon.announce(revision=2, action="update", body={"fr": "C’est court."})
    await mastodon.town.settle()
    [text] = mastodon.seen()
    assert "C’est court." in text


async def test_a_post_that_somebody_removed_is_published_anew(mastodon: Account) -> None:
    await mastodon.announce()
    await mastodon.town.settle()
    [line] = mastodon.lines()
    token = mastodon.real.options["accounts"]["valmerande"]["token"]
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
        (await client.delete(f"{mastodon.sandbox.http}/api/v1/statuses/{line['id']}")).raise_for_status()
    await mastodon.announce(revision=2, action="update")
    await mastodon.town.settle()
    assert mastodon.kinds() == ["create", "delete", "create"]


async def test_an_announcement_withdrawn_by_hand_is_taken_back(mastodon: Account) -> None:
    town = mastodon.town
    await mastodon.announce(body=LONG)
    await town.settle()
    announcement = await town.one("SELECT max(id) FROM announcement")
    async with transaction(town.pool) as connection:
        done = await withdraw(connection, announcement, reason="wrong street", silent=False)
    assert done.channels == ("mastodon",)
    await town.settle()
    assert mastodon.seen() == []
    assert await town.states(await town.one("SELECT max(id) FROM delivery_order")) == {"sent": 1}
    async with transaction(town.pool) as connection:
        with pytest.raises(NotWithdrawable, match="already"):
            await withdraw(connection, announcement, reason="again", silent=False)


async def test_a_lost_answer_is_taken_back_as_well(facebook: Account) -> None:
    town = facebook.town
    await facebook.fault("drop")
    await facebook.announce()
    await town.run()
    async with transaction(town.pool) as connection:
        announcement = await connection.fetchval("SELECT max(id) FROM announcement")
        await withdraw(connection, announcement, reason="wrong street", silent=True)
    await town.settle()
    assert facebook.seen() == []


async def test_pictures_go_with_the_post_and_say_what_they_show(mastodon: Account) -> None:
    taken = taken_in(photograph())
    entry = Entry("plan", taken.content, taken.media_type, taken.width, taken.height, {"fr": "Plan"}, "Ville")
    async with transaction(mastodon.town.pool) as connection:
        await pictures.save(connection, 1, entry)
    await mastodon.announce(pictures=["plan", "removed-since"])
    await mastodon.town.settle()
    [line] = mastodon.lines()
    assert [picture["alt"] for picture in line["pictures"]] == ["Plan"]
