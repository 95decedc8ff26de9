"""A crash between any two steps of the protocol, by name: a worker process ends itself with SIGKILL exactly there.

What another process makes of it: nothing is lost, and no more is repeated than the step allows. The provider's
journal is a file that outlives the worker; its kinds are those of guarantee G3 (mail: the window in flight once
more) and G4 (a provider that deduplicates, or can be asked: nothing repeated).
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from publishers.base import Unclear
from store import notices
from store.database import transaction
from tests.integration.hub.killing import Journal, Kill, was_killed, worker
from tests.integration.hub.providers import taken
from tests.integration.hub.town import Town, message, notice

pytestmark = pytest.mark.integration

PEOPLE = 6  # batches of four and two, windows of two
WINDOW = 2


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(str(tmp_path / "journal"))


async def recovers(town: Town, journal: Journal, *, repeats: int = 0) -> None:
    """Another process goes on: everybody has the message, and at most ``repeats`` were sent again."""
    town.publishers[journal.channel] = replace(journal, dies_after=None).open()
    await town.let_leases_end()
    await town.settle()
    counts = Counter(taken(Path(journal.path)))
    assert len(counts) == PEOPLE, "none is lost"
    assert sum(counts.values()) - PEOPLE <= repeats
    assert await town.states() == {"sent": PEOPLE}
    assert await town.letters() == []


INTAKE = {
    "attempt counted, message not read": Kill("hub.intake:decode", "before"),
    "announcement written, orders not": Kill("store.announcements:order", "before"),
    "orders written, their messages not": Kill("store.outbox:put", "before"),
    "all written, not committed": Kill("store.attempts:forget", "after"),
    "committed, not acknowledged": Kill("hub.intake:Intake._one", "after"),
}


@pytest.mark.parametrize("step", INTAKE)
async def test_intake_killed(town: Town, database: str, journal: Journal, step: str) -> None:
    await town.settle_in(PEOPLE)
    data = notice()
    assert was_killed(worker("take in", database, kill=INTAKE[step], data=[data]))
    # not acknowledged: Kafka gives the message to the next process
    await town.take_in(message(data, id="event-0", offset=0))
    assert await town.one("SELECT count(*) FROM delivery_order") == 1
    assert await town.outcomes() == ["announced"]
    assert await town.one("SELECT count(*) FROM intake_attempt") == 0
    await recovers(town, journal)


FAN_OUT = {
    "order locked, page not read": Kill("store.orders:_insert_page", "before"),
    "deliveries made, batch not": Kill("store.orders:_add_batches", "before"),
    "page made, not committed": Kill("store.orders:_add_batches", "after"),
    "page committed, next not begun": Kill("hub.fanout:fan_out_page", "before", call=2),
    "all committed, not acknowledged": Kill("tests.integration.hub.town:fan_out", "after"),
}


@pytest.mark.parametrize("step", FAN_OUT)
async def test_fan_out_killed(town: Town, database: str, journal: Journal, step: str) -> None:
    people = await town.settle_in(PEOPLE)
    order = await town.announce()
    assert was_killed(worker("run", database, kill=FAN_OUT[step], journal=journal))
    await recovers(town, journal)
    assert await town.audience(order) == people


async def test_fan_out_killed_with_its_turn_over_and_the_next_not_asked_for(
    town: Town, database: str, journal: Journal
) -> None:
    """The tenth page and the message that asks for the eleventh are one commit: neither is there without the other."""
    await town.settle_in(PEOPLE)
    await town.announce()
    kill = Kill("store.outbox:put", "before")
    assert was_killed(worker("short turns", database, kill=kill, journal=journal))
    assert await town.one("SELECT count(*) FROM delivery") == 0
    await recovers(town, journal)


async def test_fan_out_whose_message_is_gone_is_driven_again_by_the_clock(town: Town, journal: Journal) -> None:
    from store import orders, outbox, schedule

    await town.settle_in(PEOPLE)
    await town.announce()
    await town.do("DELETE FROM outbox")
    await town.do("UPDATE delivery_order SET moved_at = now() - interval '1 minute'")
    async with transaction(town.pool) as connection:
        stalled = await schedule.stalled_orders(connection, 30)
        await outbox.put(connection, [orders.order_message(order, lane) for order, lane in stalled])
        assert await schedule.stalled_orders(connection, 30) == [], "once a period"
    await recovers(town, journal)


DISPATCH = {
    "batches chosen, messages not written": Kill("store.outbox:put", "before"),
    "messages written, not committed": Kill("store.outbox:put", "after"),
    "committed": Kill("store.schedule:dispatch", "after"),
}


@pytest.mark.parametrize("step", DISPATCH)
async def test_dispatcher_killed(town: Town, database: str, journal: Journal, step: str) -> None:
    await town.settle_in(PEOPLE)
    await town.announce()
    await town.fan_out()
    await town.do("DELETE FROM outbox")
    assert was_killed(worker("dispatch", database, kill=DISPATCH[step]))
    await recovers(town, journal)


DELIVERY = {
    "claimed, not committed": (Kill("store.batches:claim", "after"), 0),
    "claim committed, no window opened": (Kill("store.batches:open_window", "before"), 0),
    "window noted, not committed": (Kill("store.batches:open_window", "after"), 0),
    "window committed, nothing handed over": (Kill("hub.turn:hand_over", "before"), 0),
    "handed over, nothing recorded": (Kill("hub.turn:hand_over", "after"), WINDOW),
    "being recorded": (Kill("store.deliveries:record", "before"), WINDOW),
    "recorded, window still noted as in flight": (Kill("store.deliveries:record", "after"), WINDOW),
    "recorded, next window not opened": (Kill("store.batches:open_window", "before", call=2), 0),
    "second window handed over": (Kill("hub.turn:hand_over", "after", call=2), WINDOW),
    "all recorded, batch not finished": (Kill("store.batches:finish", "before"), 0),
    "finished, not committed": (Kill("store.batches:finish", "after"), 0),
    "finished, not acknowledged": (Kill("hub.delivery:Deliverer.deliver", "after"), 0),
}


@pytest.mark.parametrize("step", DELIVERY)
async def test_delivery_of_mail_killed(town: Town, database: str, journal: Journal, step: str) -> None:
    kill, repeats = DELIVERY[step]
    await town.settle_in(PEOPLE)
    await town.announce()
    assert was_killed(worker("run", database, kill=kill, journal=journal))
    await recovers(town, journal, repeats=repeats)


@pytest.mark.parametrize("accepted", [1, 2, 3, 5])
async def test_delivery_of_mail_killed_in_the_middle_of_a_hand_over(
    town: Town, database: str, journal: Journal, accepted: int
) -> None:
    await town.settle_in(PEOPLE)
    await town.announce()
    dying = replace(journal, dies_after=accepted)
    assert was_killed(worker("run", database, journal=dying))
    assert len(taken(Path(journal.path))) == accepted
    await recovers(town, journal, repeats=WINDOW)


@pytest.mark.parametrize("step", DELIVERY)
async def test_delivery_to_a_provider_that_deduplicates_killed(
    town: Town, database: str, journal: Journal, step: str
) -> None:
    journal = replace(journal, unclear=Unclear.SEND_AGAIN.name, deduplicates=True)
    await town.settle_in(PEOPLE)
    await town.announce()
    assert was_killed(worker("run", database, kill=DELIVERY[step][0], journal=journal))
    await recovers(town, journal, repeats=0)


@pytest.mark.parametrize("step", DELIVERY)
async def test_delivery_to_a_provider_that_can_be_asked_killed(
    town: Town, database: str, journal: Journal, step: str
) -> None:
    journal = replace(journal, unclear=Unclear.WAIT.name, askable=True)
    await town.settle_in(PEOPLE)
    await town.announce()
    assert was_killed(worker("run", database, kill=DELIVERY[step][0], journal=journal))
    await recovers(town, journal, repeats=0)


async def test_delivery_to_a_provider_that_nobody_can_ask_killed_asks_an_officer_and_repeats_nothing(
    town: Town, database: str, journal: Journal
) -> None:
    journal = replace(journal, unclear=Unclear.WAIT.name)
    await town.settle_in(PEOPLE)
    await town.announce()
    assert was_killed(worker("run", database, kill=DELIVERY["handed over, nothing recorded"][0], journal=journal))
    town.publishers["email"] = journal.open()
    await town.let_leases_end()
    await town.settle()
    assert max(Counter(taken(Path(journal.path))).values()) == 1
    assert await town.states() == {"sent": PEOPLE - WINDOW, "unknown": WINDOW}
    assert await town.dues() == {"officer": WINDOW}


async def test_worker_killed_again_and_again_sends_each_mail_twice_at_most(
    town: Town, database: str, journal: Journal
) -> None:
    """The kill comes right after a hand-over, each time: the rule of mail is once more, not once more each time."""
    await town.settle_in(PEOPLE)
    await town.announce()
    kill = DELIVERY["handed over, nothing recorded"][0]
    for _ in range(4):
        worker("run", database, kill=kill, journal=journal)
        await town.let_leases_end()
    town.publishers["email"] = journal.open()
    await town.settle()
    counts = Counter(taken(Path(journal.path)))
    assert len(counts) == PEOPLE and max(counts.values()) <= 2
    assert (await town.states()).get("queued", 0) == 0


CLOCK = {
    "due rows taken, no batch made": Kill("store.schedule:add_retry_batch", "before"),
    "batch made, not committed": Kill("store.schedule:add_retry_batch", "after"),
    "committed": Kill("store.schedule:requeue_due", "after"),
}


@pytest.mark.parametrize("step", CLOCK)
@pytest.mark.parametrize("lane", ["routine", "urgent"])
async def test_clock_killed_while_it_brings_back_retries(
    town: Town, database: str, journal: Journal, step: str, lane: str
) -> None:
    from publishers.base import Transient
    from tests.integration.hub.providers import Provider

    await town.settle_in(PEOPLE)
    provider = Provider("email")
    provider.answers = [Transient("busy")] * PEOPLE
    town.publishers["email"] = provider
    await town.announce(lane=lane)
    await town.run()
    await town.let_time_pass()
    assert was_killed(worker("requeue", database, kill=CLOCK[step]))
    await recovers(town, journal)


NOTICE = {
    "found due, not emitted": Kill("hub.scheduling:message_of", "before"),
    "emitted, not marked": Kill("store.notices:mark", "before"),
    "marked, not committed": Kill("store.notices:mark", "after"),
    "committed": Kill("hub.scheduling:emit_due", "after"),
}


@pytest.mark.parametrize("step", NOTICE)
async def test_clock_killed_while_it_emits_a_notice_emits_it_once(
    town: Town, database: str, journal: Journal, step: str
) -> None:
    from datetime import UTC, datetime, timedelta

    from hub.scheduling import TOLERANCE, emit_due

    await town.settle_in(PEOPLE)
    async with transaction(town.pool) as connection:
        await notices.schedule(
            connection,
            authority_id=1,
            content=notice(),
            urgent=False,
            local_time="2026-11-26T18:30",
            due_at=datetime.now(UTC),
            tolerance=TOLERANCE,
        )
    assert was_killed(worker("emit", database, kill=NOTICE[step]))
    async with transaction(town.pool) as connection:
        await emit_due(connection)
    assert await town.one("SELECT count(*) FROM outbox WHERE topic = 'municipal.events'") == 1
    assert await town.one("SELECT state FROM notice") == "emitted"
    await town.run()
    await recovers(town, journal)
    assert timedelta(0) < TOLERANCE


RECEIPT = {
    "neither kept nor announced": Kill("store.receipts:keep_all", "before"),
    "kept and announced by one statement, the provider not answered": Kill("store.receipts:keep_all", "after"),
}


@pytest.mark.parametrize("step", RECEIPT)
async def test_inlet_killed_keeps_a_receipt_with_its_message_or_not_at_all(
    town: Town, database: str, step: str
) -> None:
    assert was_killed(worker("keep a receipt", database, kill=RECEIPT[step]))
    assert await town.one("SELECT count(*) FROM receipt") == await town.one("SELECT count(*) FROM outbox")
    # not answered: the provider tells it again
    assert worker("keep a receipt", database).returncode == 0
    assert await town.one("SELECT count(*) FROM receipt") == 1
    assert await town.one("SELECT count(*) FROM outbox") == 1
    await town.run()
    assert await town.one("SELECT outcome FROM receipt") == "unbound", "kept, though it is about nothing we know"


BINDING = {
    "loaded, nothing recorded": Kill("store.deliveries:record", "before"),
    "recorded, not bound": Kill("store.receipts:bind_all", "before"),
    "bound, not committed": Kill("store.receipts:bind_all", "after"),
    "committed, not acknowledged": Kill("tests.integration.hub.town:bind_all", "after"),
}


@pytest.mark.parametrize("step", BINDING)
async def test_binding_of_receipts_killed(town: Town, database: str, step: str) -> None:
    """A group is bound by one commit: all of it or nothing, and nothing twice."""
    from tests.integration.hub.providers import Provider

    town.publishers["sms"] = Provider("sms", Unclear.WAIT)
    await town.settle_in(3, channel="sms")
    await town.announce(channels=["sms"])
    await town.settle()
    references = [row["reference"] for row in await town.all("SELECT reference FROM provider_reference")]
    assert worker("keep a receipt", database, references=references).returncode == 0
    assert was_killed(worker("run", database, kill=BINDING[step]))
    bound = await town.one("SELECT count(*) FROM receipt WHERE outcome = 'bound'")
    assert bound == (3 if step == "committed, not acknowledged" else 0)
    await town.run()
    assert await town.one("SELECT count(*) FROM receipt WHERE outcome = 'bound'") == 3
    assert await town.states() == {"delivered": 3}
    assert await town.one("SELECT count(*) FROM fact WHERE state = 9") == 3
