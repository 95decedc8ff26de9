"""From what a publisher said to what is recorded: one outcome, one record, decided from values alone."""

from dataclasses import dataclass
from datetime import datetime

from hub import retry, unclear
from publishers.base import Outcome, Permanent, PublishError, Receipt, Transient, Unclear, Unknown, Untried
from schemas.deliveries import State, attempt_of
from schemas.lanes import Lane
from store.batches import Member
from store.deliveries import UNCLEAR, Due, Record

_POLICY = retry.Policy()


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a decision depends on besides the outcome. ``unknowns`` counts earlier unclear outcomes."""

    now: datetime
    expires: datetime
    lane: Lane
    rule: Unclear
    can_look_up: bool
    unknowns: int = 0
    luck: float = 0.5
    policy: retry.Policy = _POLICY


def record_of(member: Member, outcome: Outcome, given: Circumstances) -> Record | None:
    """What to record of an outcome; None when nothing happened (Untried): the member stays in its batch."""
    if isinstance(outcome, Receipt):
        return taken(member, outcome, given.now)
    if isinstance(outcome, Untried):
        return None
    attempt = attempt_of(member.standing)
    state, due, reason = _refused(member, outcome, given)
    return Record(
        member.recipient_id,
        attempt,
        state,
        given.now,
        tried=True,
        code=outcome.code,
        reason=reason,
        due=due,
        address_dead=isinstance(outcome, Permanent) and outcome.address_dead,
    )


def taken(member: Member, receipt: Receipt, now: datetime) -> Record:
    """What to record of a message that its provider took: nothing else needs to be known for it."""
    return Record(
        member.recipient_id,
        attempt_of(member.standing),
        State.SENT,
        now,
        tried=True,
        code=receipt.code,
        url=receipt.url,
        reference=receipt.reference,
    )


def _refused(member: Member, outcome: PublishError, given: Circumstances) -> tuple[State, Due | None, str]:
    match outcome:
        case Permanent():
            return State.FAILED, None, outcome.reason
        case Unknown():
            return State.UNKNOWN, wait_for(given), outcome.reason
        case _:
            return _again(member, outcome, given)


def _again(member: Member, outcome: PublishError, given: Circumstances) -> tuple[State, Due | None, str]:
    decision = retry.decide(
        given.policy,
        tries=member.tries + 1,
        now=given.now,
        expires=given.expires,
        luck=given.luck,
        retry_after=outcome.retry_after if isinstance(outcome, Transient) else None,
    )
    if isinstance(decision, retry.TryAgain):
        return State.RETRYING, Due("retry", decision.at), outcome.reason
    reason = f"{outcome.reason}; {decision.reason}"
    if member.parts:
        return State.FAILED, None, f"{cut_off(member)}: {reason}"
    never_handed_over = decision.expired and member.state is not State.UNKNOWN
    return (State.EXPIRED if never_handed_over else State.FAILED), None, reason


def wait_for(given: Circumstances) -> Due:
    """What a delivery waits for after one more unclear outcome."""
    following = unclear.after_unknown(
        given.rule, times=given.unknowns + 1, lane=given.lane, can_look_up=given.can_look_up
    )
    if following.step is not unclear.Step.SEND:
        return Due("resolve", given.now + following.wait)
    pause = retry.decide(given.policy, tries=given.unknowns + 1, now=given.now, expires=given.expires, luck=given.luck)
    return Due("retry", pause.at) if isinstance(pause, retry.TryAgain) else Due("officer", given.expires)


def interrupted(member: Member, given: Circumstances) -> tuple[Record, bool]:
    """What to record of a message that an earlier owner of the batch was handing over when it vanished.

    True when it is sent again in this very batch; otherwise the record says what it waits for.
    """
    following = unclear.after_unknown(
        given.rule, times=given.unknowns + 1, lane=given.lane, can_look_up=given.can_look_up
    )
    waits = following.step is not unclear.Step.SEND
    record = Record(
        member.recipient_id,
        attempt_of(member.standing),
        State.UNKNOWN,
        given.now,
        tried=True,
        code="interrupted",
        reason="the process that was sending it ended before the provider's answer was recorded",
        due=Due("resolve", given.now + following.wait) if waits else None,
    )
    return record, not waits


def not_sent(member: Member, state: State, reason: str, now: datetime) -> Record:
    """A delivery that ends without being handed over (again).

    One whose outcome is unknown can't have "never been handed over": nobody can act on it any more, and it failed
    as far as we know. A receipt that comes late still proves the contrary.
    """
    attempt = attempt_of(member.standing)
    if member.parts and member.state is not State.UNKNOWN:
        reason = f"{cut_off(member)}: {reason}"
        return Record(member.recipient_id, attempt, State.FAILED, now, code="cut_off", reason=reason)
    if member.state is State.UNKNOWN:
        return Record(
            member.recipient_id,
            attempt,
            State.FAILED,
            now,
            code=UNCLEAR,
            reason=f"the provider never answered, and it was not sent again: {reason}",
        )
    return Record(member.recipient_id, attempt, state, now, reason=reason)


def cut_off(member: Member) -> str:
    """That a thread has begun, for a delivery that ends before it has."""
    return f"cut off after {member.parts} part{'s' if member.parts > 1 else ''}"


def ask_officer(member: Member, given: Circumstances) -> Record:
    """An unclear outcome that only a person can settle, while the announcement lasts."""
    return Record(
        member.recipient_id,
        attempt_of(member.standing),
        State.UNKNOWN,
        given.now,
        code=UNCLEAR,
        reason="the provider never answered; sending it again might repeat it",
        due=Due("officer", given.expires),
    )
