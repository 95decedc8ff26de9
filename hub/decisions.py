"""What an officer decides about one delivery: send it again, give it up, or say that it arrived.

Sending again opens a new attempt: whatever is still told of the earlier one binds to that one (schemas.deliveries).
"""

from datetime import UTC, datetime
from enum import StrEnum

from publishers.registry import CHANNELS
from schemas.deliveries import DeliveryId, State, attempt_of, state_of
from store import deliveries, posts, schedule
from store.database import Connection
from store.deliveries import Held, Record

_UNDER_WAY = "it is being sent at this moment: look again in a minute"
OFFICER = "officer"
"""Code of a fact that a person decided."""


class Decision(StrEnum):
    """What can be decided."""

    AGAIN = "again"
    GIVE_UP = "give-up"
    ARRIVED = "arrived"


class Undecidable(ValueError):
    """Why a decision can't be taken, and what is to be done instead."""


async def decide(connection: Connection, delivery: DeliveryId, decision: Decision, reason: str) -> State:
    """Take the decision, in the caller's transaction; returns the delivery's state after it. Raises Undecidable."""
    held = await deliveries.hold_for_decision(connection, delivery)
    if held is None:
        raise Undecidable(f"there is no delivery {delivery.public}")
    _refuse(held, decision)
    if await deliveries.stop_waiting(connection, delivery) is not (held.waits is not None):
        raise Undecidable(_UNDER_WAY)  # the clock has just given it to a worker
    if decision is Decision.ARRIVED and await _goes_on(connection, delivery):
        decision = Decision.AGAIN  # one part of a thread arrived: the rest is still to be said
    attempt, now = attempt_of(held.standing), datetime.now(UTC)
    if decision is Decision.AGAIN:
        attempt += 1
    state = {Decision.AGAIN: State.QUEUED, Decision.GIVE_UP: State.FAILED, Decision.ARRIVED: State.SENT}[decision]
    record = Record(delivery.recipient_id, attempt, state, now, code=OFFICER, reason=reason, notable=True)
    await deliveries.record(connection, delivery.order_id, held.channel, [record])
    if decision is Decision.AGAIN:
        await schedule.add_retry_batch(connection, delivery.order_id, [delivery.recipient_id])
        await schedule.tell_dispatcher(connection)
    return state


async def _goes_on(connection: Connection, delivery: DeliveryId) -> bool:
    """Take the part that got no answer as arrived; whether other parts of the thread are still to be said."""
    story = await posts.story(connection, delivery.order_id, delivery.recipient_id)
    own = [row for row in story if row.order_id == delivery.order_id]
    for row in own:
        if row.open:
            await posts.done(connection, delivery.order_id, delivery.recipient_id, row.step.number, None, None)
    return any(not row.done and not row.open for row in own)


def _refuse(held: Held, decision: Decision) -> None:
    state = state_of(held.standing)
    if held.under_way:
        raise Undecidable(_UNDER_WAY)
    decidable = {State.UNKNOWN, State.RETRYING}
    if decision is not Decision.GIVE_UP:
        decidable |= {State.FAILED}
    if decision is Decision.AGAIN and CHANNELS[held.channel].family == "webhook":
        decidable |= {State.SENT}  # a replay: the receiver knows the call by its id
    if state not in decidable:
        raise Undecidable(f"it is {state.word}: there is nothing to decide")
    if decision is Decision.AGAIN and held.superseded:
        raise Undecidable("a newer version is out, and goes to its recipient: sending this one would contradict it")
    if decision is Decision.AGAIN and held.expired:
        raise Undecidable("its announcement has expired: nobody could act on it any more")
