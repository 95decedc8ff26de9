"""An SMS whose answer was lost, at a gateway that knows our key and at one that can only be searched."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from publishers.base import Receipt, Transient, Unclear, Unknown
from publishers.registry import CHANNELS
from schemas.messages import Message
from store import recipients
from store.database import transaction
from store.recipients import Subscriber
from tests.contract.conftest import Sandbox, running_sandbox
from tests.contract.gateways import http_options, ovh_options, twilio_options
from tests.contract.peer import Trouble, sandbox_will
from tests.integration.hub.providers import AskableProvider
from tests.integration.hub.town import Town

pytestmark = pytest.mark.integration

NUMBERS = [f"+33639980{number:03}" for number in range(600, 612)]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


async def live_at(town: Town, numbers: list[str]) -> None:
    async with transaction(town.pool) as connection:
        people = [Subscriber("sms", number, "fr", (("travaux", ""),)) for number in numbers]
        await recipients.save(connection, 1, people)


async def test_answers_lost_at_three_kinds_of_gateway_repeat_nothing(town: Town, sandbox: Sandbox) -> None:
    gateways = {
        "main": http_options(sandbox.http, timeout=2),
        "ovh": ovh_options(f"{sandbox.http}/ovh/1.0", timeout=2),
        "twilio": twilio_options(f"{sandbox.http}/twilio", timeout=2),
    }
    options = CHANNELS["sms"].options_type().model_validate({"gateways": gateways})
    town.publishers["sms"] = CHANNELS["sms"].open(options)
    await live_at(town, NUMBERS)
    await sandbox_will(sandbox.http, "sms", Trouble.TAKE_AND_CUT, 8)
    await town.announce(channels=["sms"])
    await town.settle()
    await town.publishers["sms"].aclose()
    assert await town.states() == {"sent": len(NUMBERS)}
    taken = Counter(line["number"] for line in sandbox.journal("sms") if "id" in line)
    assert {number: taken[number] for number in NUMBERS} == dict.fromkeys(NUMBERS, 1)
    references = [row["reference"] for row in await town.all("SELECT reference FROM provider_reference")]
    assert {reference.partition(":")[0] for reference in references} == {"main", "ovh", "twilio"}


class SearchableProvider(AskableProvider):
    """Knows no key, and can be searched for the message."""

    key_kept = timedelta(0)

    def __init__(self) -> None:
        super().__init__("sms", Unclear.WAIT)
        self.there: Receipt | None = None
        self.away = False
        self.searched: list[tuple[str, datetime]] = []

    async def find(self, message: Message, since: datetime, /) -> Receipt | None:
        self.searched.append((message.key, since))
        if self.away:
            raise Transient("down")
        return self.there


@pytest.fixture
async def searchable(town: Town) -> SearchableProvider:
    provider = SearchableProvider()
    provider.answers = [Unknown("cut")]
    town.publishers["sms"] = provider
    await town.settle_in(1, channel="sms")
    return provider


async def test_what_is_found_by_its_words_is_not_sent_again(town: Town, searchable: SearchableProvider) -> None:
    searchable.there = Receipt(reference="there it is")
    await town.announce(channels=["sms"])
    await town.settle()
    assert (await town.states(), len(searchable.asked)) == ({"sent": 1}, 1)
    assert [key for key, _ in searchable.searched] == searchable.asked
    assert await town.one("SELECT reference FROM provider_reference") == "there it is"


async def test_what_is_found_neither_by_key_nor_by_words_is_sent_again(
    town: Town, searchable: SearchableProvider
) -> None:
    await town.announce(channels=["sms"])
    await town.settle()
    assert (await town.states(), len(searchable.asked), len(searchable.searched)) == ({"sent": 1}, 2, 1)


async def test_search_that_fails_is_made_again_later_and_sends_nothing_meanwhile(
    town: Town, searchable: SearchableProvider
) -> None:
    searchable.away = True
    await town.announce(channels=["sms"])
    await town.run()
    await town.let_time_pass()
    await town.run()
    assert await town.states() == {"unknown": 1} and len(searchable.asked) == 1
    searchable.away = False
    searchable.there = Receipt(reference="there it is")
    await town.settle()
    assert (await town.states(), len(searchable.asked)) == ({"sent": 1}, 1)
