"""The protocol's steps count themselves, over a real database; and the gauges say what waits there."""

from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY

from publishers.base import Permanent, Transient, Unknown
from store import gauges, schedule
from store.database import transaction
from store.gauges import Waiting
from tests.integration.hub.conftest import mail, town
from tests.integration.hub.providers import Provider
from tests.integration.hub.town import Town, channels

pytestmark = pytest.mark.integration
__all__ = ["mail", "town"]

Moved = Callable[..., float]


@pytest.fixture
def moved() -> Moved:
    """By how much a figure has moved since the test began."""
    before = {(s.name, tuple(sorted(s.labels.items()))): s.value for f in REGISTRY.collect() for s in f.samples}

    def since(name: str, **labels: str) -> float:
        found = REGISTRY.get_sample_value(name, labels) or 0.0
        return found - before.get((name, tuple(sorted(labels.items()))), 0.0)

    return since


async def waiting(town: Town) -> Waiting:
    async with town.pool.acquire() as connection:
        return await gauges.waiting(connection)


async def test_every_outcome_of_a_window_is_counted_by_its_state(town: Town, mail: Provider, moved: Moved) -> None:
    await town.settle_in(4)
    mail.answers = [Permanent("no such mailbox", code="550"), Transient("later", code="451"), Unknown("cut off")]
    (batch,) = await town.announced_and_dispatched()
    await town.deliver(batch)
    for state in ("failed", "retrying", "unknown", "sent"):
        assert moved("tambour_outcomes_total", channel="email", state=state) == 1
    assert moved("tambour_window_messages_count", channel="email") == 2  # the town's windows are of two
    assert moved("tambour_window_messages_sum", channel="email") == 4
    assert moved("tambour_hand_over_seconds_count", channel="email") == 2
    assert moved("tambour_batches_claimed_total", channel="email") == 1
    assert moved("tambour_batches_finished_total", channel="email", left="none") == 1
    found = await waiting(town)
    assert found.due == {"retry": 2}  # the mail whose answer was lost is sent once more
    await town.settle()


async def test_what_waits_is_shown_with_the_age_of_the_oldest_that_nobody_was_offered(
    town: Town, mail: Provider
) -> None:
    await town.settle_in(4)
    assert (await waiting(town)).oldest_unsent == {}
    order = await town.announce()
    found = await waiting(town)
    assert (found.orders_open, found.outbox) == (1, 1)
    assert 0 <= found.oldest_unsent["routine"] < 60
    await town.fan_out()
    await town.do("UPDATE delivery_order SET created_at = now() - interval '90 seconds' WHERE id = $1", order)
    found = await waiting(town)
    assert found.batches == {("routine", "waiting"): 1}
    assert 90 <= found.oldest_unsent["routine"] < 150
    await town.dispatch()
    assert (await waiting(town)).oldest_unsent["routine"] >= 90
    await town.settle()
    found = await waiting(town)
    assert (found.oldest_unsent, found.batches) == ({}, {})


async def test_a_retry_of_an_old_announcement_is_not_taken_for_a_slow_hub(town: Town, mail: Provider) -> None:
    await town.settle_in(1)
    mail.answers = [Transient("later", code="451")]
    (batch,) = await town.announced_and_dispatched()
    await town.deliver(batch)
    await town.do("UPDATE delivery_order SET created_at = now() - interval '1 day'")
    assert (await waiting(town)).oldest_unsent == {}
    await town.let_time_pass()
    await town.do("UPDATE due SET at = now()")

    async with transaction(town.pool) as connection:
        assert await schedule.requeue_due(connection, 10)
    found = await waiting(town)
    assert found.batches == {("routine", "waiting"): 1}
    assert found.oldest_unsent == {}
    await town.settle()


async def test_a_hold_and_an_officers_question_are_shown(town: Town) -> None:
    provider = Provider("mastodon")
    town.publishers["mastodon"] = provider
    await town.do("INSERT INTO hold VALUES ('channel', 'mastodon', 'wrong account')")
    assert (await waiting(town)).holds == {"channel": 1}
    await town.do("DELETE FROM hold")
    await town.announce(**channels("mastodon"))
    await town.settle()


async def test_a_window_that_was_interrupted_is_counted_with_what_may_be_repeated(
    town: Town, mail: Provider, moved: Moved
) -> None:
    await town.settle_in(2)
    (batch,) = await town.announced_and_dispatched()
    members = await town.one("SELECT members FROM batch WHERE id = $1", batch)
    await town.do("UPDATE batch SET in_flight = $2, in_flight_since = now() WHERE id = $1", batch, members)
    await town.deliver(batch)
    assert moved("tambour_windows_interrupted_total", channel="email") == 1
    assert moved("tambour_repeats_possible_total", channel="email") == 2
