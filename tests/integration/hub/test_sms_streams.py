"""Two senders of an authority: whoever leaves its information by SMS still gets its alerts, and the reverse."""

import json

import pytest

from hub.receipts import bind
from publishers.base import Unclear
from schemas.authorities import Stream
from schemas.lanes import Lane
from store import audience, authorities, optouts, receipts
from store.database import transaction
from tests.integration.hub.providers import Provider
from tests.integration.hub.town import Town

pytestmark = pytest.mark.integration

INFORMATION, ALERTS, PERSON = "+33639980001", "+33639980002", "+33639980500"


@pytest.fixture
async def sms(town: Town) -> Provider:
    """A town with two senders, and one person who hears both."""
    provider = Provider("sms", Unclear.WAIT)
    town.publishers["sms"] = provider
    [person] = await town.settle_in(1, channel="sms")
    await town.do("UPDATE recipient SET address = $2 WHERE id = $1", person, PERSON)
    await town.do("UPDATE authority SET identity = identity || $1", {"sms_alerts_sender": ALERTS})
    return provider


async def answered(town: Town, text: str, to: str) -> str | None:
    """The person writes to one of the senders; returns what became of it."""
    body = json.dumps({"type": "inbound", "from": PERSON, "to": to, "text": text}).encode()
    async with transaction(town.pool) as connection:
        kept = await receipts.keep(
            connection, channel="sms", kind="inbound", body=body, hint=None, reference=None, arrival=f"{text}{to}"
        )
    assert kept is not None
    return await bind(town.pool, kept)


async def hears(town: Town, lane: Lane) -> bool:
    """Whether an announcement of that lane would be sent to the person, as the estimate counts."""
    async with transaction(town.pool) as connection:
        found = await audience.count_matches(connection, 1, "sms", ["travaux"], [], lane)
    return sum(found.values()) == 1


async def said(town: Town) -> tuple[bool, bool]:
    return await hears(town, Lane.ROUTINE), await hears(town, Lane.URGENT)


async def test_stop_to_information_keeps_alerts(town: Town, sms: Provider) -> None:
    assert await answered(town, "STOP", INFORMATION) == "opted_out"
    assert await said(town) == (False, True)
    await town.announce(channels=["sms"])
    await town.settle()
    assert await town.states() == {"suppressed": 1}
    assert sms.accepted == []


async def test_stop_to_alerts_keeps_information(town: Town, sms: Provider) -> None:
    assert await answered(town, "STOP", ALERTS) == "opted_out"
    assert await said(town) == (True, False)
    await town.announce(channels=["sms"])
    await town.settle()
    assert await town.states() == {"sent": 1}


async def test_start_brings_back_the_stream_it_was_sent_to(town: Town, sms: Provider) -> None:
    for sender in (INFORMATION, ALERTS):
        await answered(town, "STOP", sender)
    assert await said(town) == (False, False)
    assert await answered(town, "START", ALERTS) == "opted_in"
    assert await said(town) == (False, True)


async def test_with_one_sender_stop_is_about_everything_and_start_to_one_of_two_about_that_one(
    town: Town, sms: Provider
) -> None:
    await town.do("UPDATE authority SET identity = identity - 'sms_alerts_sender'")
    await answered(town, "STOP", INFORMATION)
    assert await said(town) == (False, False)
    await town.do("UPDATE authority SET identity = identity || $1", {"sms_alerts_sender": ALERTS})
    assert await said(town) == (False, False), "what somebody left stays left"
    await answered(town, "START", INFORMATION)
    assert await said(town) == (True, False)


async def test_urgent_lane_is_stopped_by_a_stop_to_alerts_alone(town: Town, sms: Provider) -> None:
    await answered(town, "STOP", INFORMATION)
    assert await urgent(town, "crue") == ["sent"]
    await answered(town, "STOP", ALERTS)
    assert await urgent(town, "rupture de digue") == ["sent", "suppressed"]


async def urgent(town: Town, matter: str) -> list[str]:
    """Announce something urgent; returns the states of the person's deliveries, oldest first."""
    await town.announce(channels=["sms"], lane="urgent", matter=matter)
    await town.settle()
    rows = await town.all("SELECT standing % 16 AS state FROM delivery ORDER BY order_id")
    names = {7: "sent", 5: "suppressed"}
    return [names.get(row["state"], str(row["state"])) for row in rows]


async def test_each_lane_speaks_from_its_sender(town: Town, sms: Provider) -> None:
    async with transaction(town.pool) as connection:
        authority = await authorities.get(connection, 1)
        assert await authorities.speaking_as(connection, INFORMATION) == [(1, "information")]
        assert await authorities.speaking_as(connection, ALERTS) == [(1, "alerts")]
        assert await authorities.speaking_as(connection, "+33639980003") == []
    assert authority.identity.sms_sender_for(Lane.URGENT) == ALERTS
    assert authority.identity.sms_sender_for(Lane.ROUTINE) == INFORMATION
    assert authority.identity.sms_sender_for(Lane.BULK) == INFORMATION


async def test_opt_outs_of_streams_stand_beside_one_another(town: Town, sms: Provider) -> None:
    async def left(stream: Stream = "") -> str | None:
        async with transaction(town.pool) as connection:
            found = await optouts.suppression(connection, 1, "sms", PERSON, stream)
        return found.reason if found else None

    async with transaction(town.pool) as connection:
        assert await optouts.suppress(connection, 1, "sms", PERSON, "first", "information")
        assert not await optouts.suppress(connection, 1, "sms", PERSON, "again", "information")
    async with transaction(town.pool) as connection:
        assert await optouts.suppress(connection, 1, "sms", PERSON, "second", "alerts")
    assert (await left("information"), await left("alerts"), await left()) == ("first", "second", "first")
    async with transaction(town.pool) as connection:
        assert await optouts.restore(connection, 1, "sms", PERSON, "information")
    assert (await left("information"), await left("alerts")) == (None, "second")
    async with transaction(town.pool) as connection:
        assert await optouts.restore(connection, 1, "sms", PERSON), "coming back to everything"
        assert not await optouts.restore(connection, 1, "sms", PERSON)
    assert await left() is None


async def test_link_in_a_text_is_about_information_where_alerts_have_their_own_sender(
    town: Town, sms: Provider
) -> None:
    person = await town.one("SELECT id FROM recipient WHERE channel = 'sms'")
    async with transaction(town.pool) as connection:
        found = await optouts.recipient_for(connection, person)
        assert found is not None and found.stream == "information"
    await town.do("UPDATE authority SET identity = identity - 'sms_alerts_sender'")
    async with transaction(town.pool) as connection:
        found = await optouts.recipient_for(connection, person)
        assert found is not None and found.stream == ""
