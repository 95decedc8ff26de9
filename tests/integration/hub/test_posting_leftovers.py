"""What must not stay behind on a network's wall, and a window whose composing outlasts the lease."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from hub.composing import Composer, Subject
from hub.pictures import taken_in
from hub.rendering import Renderer
from hub.withdrawal import withdraw
from schemas.messages import Message
from store import pictures
from store.batches import Member
from store.database import transaction
from store.pictures import Entry
from tests.contract.conftest import Sandbox, running_sandbox
from tests.integration.hub.providers import Provider
from tests.integration.hub.test_posting import Account, page
from tests.integration.hub.town import LINKS, Town
from tests.unit.hub.test_pictures import photograph

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


async def test_nothing_is_handed_over_once_composing_has_used_up_the_lease(
    town: Town, mail: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large pictures are made small while a mail is composed; another owner has the window by then."""
    passed = 0.0
    monkeypatch.setattr("hub.turn.boot_clock", lambda: time.clock_gettime(time.CLOCK_BOOTTIME) + passed)

    class Slow(Composer):
        def compose(self, subject: Subject, member: Member) -> Message:
            nonlocal passed
            passed = 16.0
            return super().compose(subject, member)

    await town.settle_in(2)
    [batch] = await town.announced_and_dispatched()
    await town.deliver(batch, composer=Slow(Renderer(), LINKS))
    assert mail.accepted == []


async def test_a_page_shows_no_wrong_post_beside_its_correction(town: Town, sandbox: Sandbox) -> None:
    """Facebook can't change a post's pictures, but it can delete the post."""
    account = await page(town, sandbox, "valmerande").open()
    taken = taken_in(photograph())
    entry = Entry("plan", taken.content, taken.media_type, taken.width, taken.height, {"fr": "Plan"}, "Ville")
    async with transaction(town.pool) as connection:
        await pictures.save(connection, 1, entry)
    await account.announce(pictures=["plan"])
    await town.settle()
    changes: dict[str, Any] = {"revision": 2, "action": "update", "headline": {"fr": "Quai Vauclair barré"}}
    await account.announce(**changes)
    await town.settle()
    assert not [text for text in account.seen() if "uai Vauclair barré" not in text]


async def test_a_lost_answer_on_mastodon_is_taken_back_after_a_throttled_retry(town: Town, sandbox: Sandbox) -> None:
    account = {"url": sandbox.http, "token": f"ville{uuid.uuid4().hex[:12]}"}
    await taken_back(await Account(town, sandbox, "mastodon", {"accounts": {"valmerande": account}}).open(), "throttle")


async def test_a_lost_answer_on_bluesky_is_taken_back(town: Town, sandbox: Sandbox) -> None:
    handle = f"ville{uuid.uuid4().hex[:12]}.example"
    account = {"url": f"{sandbox.http}/bluesky", "handle": handle, "app_password": "abcd-efgh-ijkl-mnop"}
    await taken_back(await Account(town, sandbox, "bluesky", {"accounts": {"valmerande": account}}).open())


async def taken_back(account: Account, *then: str) -> None:
    """Post it, lose the answer, meet these faults at the next tries, and withdraw."""
    town = account.town
    await account.fault("drop")
    await account.announce()
    await town.run()
    assert len(account.seen()) == 1
    for kind in then:
        await account.fault(kind)
        await town.let_time_pass()
        await town.run()
    await town.publishers[account.channel].aclose()
    town.publishers[account.channel] = account.real.open()  # another process, which no longer keeps a pause
    async with transaction(town.pool) as connection:
        announcement = await connection.fetchval("SELECT max(id) FROM announcement")
        await withdraw(connection, announcement, reason="wrong street", silent=True)
    await town.settle()
    assert account.seen() == []
