"""Facts of deliveries as PostgreSQL folds them: the same as schemas.deliveries, whatever comes in which order."""

import itertools
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.deliveries import State, fold, standing
from store import deliveries, receipts
from store.database import connect, transaction
from store.deliveries import Due, Record
from tests.integration.hub.town import Town

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 4, 8, 0, tzinfo=UTC)
FACTS = st.lists(st.tuples(st.sampled_from(State), st.integers(1, 3)), min_size=1, max_size=6)
_orders = itertools.count(1)


def fact(state: State, attempt: int = 1, **more: object) -> Record:
    return Record(7, attempt, state, NOW, **more)  # type: ignore[arg-type]


@pytest.fixture
async def town_with_a_delivery(town: Town) -> Town:
    await town.announce()
    await town.do("UPDATE delivery_order SET recipients = 1, fanned_out_at = now()")
    await town.do("INSERT INTO delivery VALUES (1, 7, 16)")
    await town.do(
        "INSERT INTO batch (order_id, authority_id, channel, family, lane, members, state)"
        " VALUES (1, 1, 'email', 'email', 'routine', '{7}', 'waiting')"
    )
    return town


@given(FACTS, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_database_folds_facts_as_the_lifecycle_does(
    database: str, facts: list[tuple[State, int]], chance: object
) -> None:
    import asyncio

    async def run() -> int:
        connection = await connect(database)
        order = next(_orders)
        try:
            await connection.execute("INSERT INTO delivery VALUES ($1, 7, 16)", order)
            records = [fact(state, attempt) for state, attempt in facts] * 2  # each told twice
            chance.shuffle(records)  # type: ignore[attr-defined]
            for record in records:
                async with connection.transaction():
                    await deliveries.record(connection, order, "email", [record])
            return int(await connection.fetchval("SELECT standing FROM delivery WHERE order_id = $1", order))
        finally:
            await connection.close()

    assert asyncio.run(run()) == fold([standing(State.QUEUED), *(standing(*one) for one in facts)])


async def test_same_fact_recorded_again_after_a_lost_answer_is_one_fact(town_with_a_delivery: Town) -> None:
    town = town_with_a_delivery
    failed = fact(State.FAILED, reason="no such mailbox", code="550")
    for _ in range(2):
        async with transaction(town.pool) as connection:
            await deliveries.record(connection, 1, "email", [failed])
    assert await town.one("SELECT count(*) FROM fact") == 1


async def test_late_lower_fact_is_kept_and_changes_nothing(town_with_a_delivery: Town) -> None:
    town = town_with_a_delivery
    async with transaction(town.pool) as connection:
        for state in (State.DELIVERED, State.FAILED, State.SENT, State.UNKNOWN):
            await deliveries.record(connection, 1, "email", [fact(state, reason="late")])
    assert await town.states() == {"delivered": 1}
    kept = [row["state"] for row in await town.all("SELECT state FROM fact ORDER BY state")]
    assert kept == [State.UNKNOWN.value, State.FAILED.value, State.DELIVERED.value], "an ordinary sent needs no row"


async def test_time_of_sending_is_the_first(town_with_a_delivery: Town) -> None:
    town = town_with_a_delivery
    async with transaction(town.pool) as connection:
        await deliveries.record(connection, 1, "email", [fact(State.SENT)])
        later = Record(7, 1, State.DELIVERED, NOW + timedelta(minutes=5))
        await deliveries.record(connection, 1, "email", [later])
    assert await town.one("SELECT sent_at FROM delivery") == NOW


async def test_stale_owner_requeues_nothing(town_with_a_delivery: Town) -> None:
    town = town_with_a_delivery
    async with transaction(town.pool) as connection:
        record = fact(State.RETRYING, due=Due("retry", NOW))
        await deliveries.record(connection, 1, "email", [record], may_requeue=False)
    assert await town.dues() == {}
    assert await town.states() == {"retrying": 1}


async def test_receipt_of_an_earlier_attempt_does_not_end_the_wait_of_a_later_one(town_with_a_delivery: Town) -> None:
    town = town_with_a_delivery
    await town.do("UPDATE batch SET state = 'done'")
    async with transaction(town.pool) as connection:
        await deliveries.record(connection, 1, "email", [fact(State.RETRYING, 2, due=Due("retry", NOW))])
        await deliveries.record(connection, 1, "email", [fact(State.FAILED, 1)])
        await deliveries.forget_due(connection, 1, [7])
    assert await town.dues() == {"retry": 1}
    async with transaction(town.pool) as connection:
        await deliveries.record(connection, 1, "email", [fact(State.DELIVERED, 1)])
        await deliveries.forget_due(connection, 1, [7])
    assert (await town.states(), await town.dues()) == ({"delivered": 1}, {})


async def test_reference_that_two_messages_share_stays_with_the_first(town_with_a_delivery: Town) -> None:
    town = town_with_a_delivery
    async with transaction(town.pool) as connection:
        await deliveries.record(connection, 1, "email", [fact(State.SENT, 1, reference="r")])
        await deliveries.record(connection, 1, "email", [fact(State.SENT, 2, reference="r")])
        found = await receipts.by_references(connection, "email", ["r", "nobody's"])
        assert await receipts.by_references(connection, "sms", ["r"]) == {}
    assert list(found) == ["r"] and found["r"][1] == 1


async def test_facts_of_a_transaction_that_fails_are_not_told_to_others(town_with_a_delivery: Town) -> None:
    town = town_with_a_delivery
    await town.do("DELETE FROM outbox")
    with pytest.raises(asyncpg.PostgresError):
        async with transaction(town.pool) as connection:
            await deliveries.record(connection, 1, "email", [fact(State.SENT)])
            await connection.execute("SELECT 1/0")
    assert await town.states() == {"queued": 1}
    assert await town.one("SELECT count(*) FROM outbox") == 0
