"""One owner's turn at a batch: window after window, look again, hand over, record; then give back what is left.

    unclear ones of an earlier owner: recorded, then sent once more or left to wait
      └── window (≤ 100): open (revocations re-read, window noted as in flight) → hand over → record
      └── finish: done, or waiting with those who are left (deadline, stop, hold, nothing handed over)

What a crash can repeat is the window in flight, no more: docs/guarantees.md, G3. Two clocks are used: the
database's for what is written, the machine's boot clock (which counts through SIGSTOP and suspend) for how much
of the lease is left.
"""

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from hub import metrics, outcomes
from hub.composing import Composer, Subject, key_of
from hub.handover import hand_over
from hub.limiter import Meter
from hub.outcomes import Circumstances
from hub.recording import Recorder
from hub.rendering import TemplateError
from hub.settings import DeliverySettings
from hub.unclear import Step, on_its_turn, resolve_after
from publishers.base import (
    CANNOT_SAY,
    Finds,
    LooksUp,
    NotYet,
    Outcome,
    Permanent,
    Publisher,
    PublishError,
    Receipt,
    Transient,
    Untried,
)
from schemas.deliveries import State, attempt_of, standing
from schemas.messages import Message
from store import batches
from store.batches import Claimed, Gate, Member
from store.database import Pool, transaction
from store.deliveries import Due, Record, Unknowns

log = structlog.get_logger()

_MARGIN_S = 1.0  # a window opens only if its answers can be recorded within the lease
_UNTRIED_PAUSE = timedelta(seconds=2)
_CAP_PAUSE = timedelta(minutes=15)


def boot_clock() -> float:
    """Seconds that count through SIGSTOP and suspend: what a lease is measured by."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass
class Turn:
    """One owner's turn at one batch; ``started`` is the boot clock before it was claimed."""

    pool: Pool
    batch: Claimed
    subject: Subject
    publisher: Publisher[Any]
    composer: Composer
    recorder: Recorder
    sizes: DeliverySettings
    stopping: Callable[[], bool]
    unknowns: dict[int, Unknowns]
    started: float
    meter: Meter
    left: list[int] = field(default_factory=list)
    can_look_up: bool = field(init=False)
    untried: bool = False
    unspent: int = 0
    """Members of an opened window to whom nothing was handed over: they use up nothing of the daily cap."""

    def __post_init__(self) -> None:
        self.can_look_up = isinstance(self.publisher, LooksUp)  # slow, and asked of each message

    def elapsed(self) -> float:
        """Seconds since before the claim."""
        return boot_clock() - self.started

    def now(self) -> datetime:
        """The database's time: when it was claimed, and what has passed since."""
        return self.batch.claimed_at + timedelta(seconds=self.elapsed())

    def given(self, member: Member) -> Circumstances:
        """What a decision about this member depends on."""
        return Circumstances(
            now=self.now(),
            expires=self.batch.expires,
            lane=self.batch.lane,
            rule=self.publisher.unclear,
            can_look_up=self.can_look_up,
            unknowns=self.unclear(member).times,
            luck=random.random(),
        )

    def unclear(self, member: Member) -> Unknowns:
        """How often, and since when, the outcome of this member's attempt has been unclear."""
        return self.unknowns.get(member.recipient_id, Unknowns(0, self.now()))

    async def run(self) -> None:
        """Send as much as the deadline allows, and end the claim. Raises AWAY between windows only."""
        todo = await self._unclear_first()
        waits_for: str | None = None
        not_before: datetime | None = None
        while todo and not self._must_stop():
            window, todo = todo[: self._window()], todo[self._window() :]
            gate, going = await self._open(window)
            if not gate.ours:
                return  # another owner has the batch; what we handed over is recorded
            if gate.stop:
                state = State.EXPIRED if gate.stop == "expired" else State.WITHDRAWN
                self._end(window + todo, state, gate.stop)
                todo = []
            elif gate.held:
                todo = window + todo
                waits_for = f"hold on {gate.held}"
                break
            else:
                before = self.unspent
                await self._send(going)
                await self.recorder.flush()
                await self.meter.close(self.pool, handed=self.unspent - before < len(going))
                self.left += gate.limited
                if gate.capped:
                    todo = [one for one in window if one.recipient_id in gate.capped] + todo
                    waits_for, not_before = "daily cap", self.now() + _CAP_PAUSE
                    break
        await self.recorder.flush()
        await self.meter.limiter.tell(self.pool)
        left = [*self.left, *(one.recipient_id for one in todo)]
        if self.untried and self.elapsed() < self.sizes.deadline_s:  # the provider's fault, not our deadline's
            waits_for, not_before = "the provider", self.now() + _UNTRIED_PAUSE
        elif waits_for is None and self.meter.wait is not None and (self.meter.dry or not todo):
            waits_for, not_before = self.meter.wait.why, min(self.meter.wait.at, self.batch.expires)
        if self.unspent or self.meter.unused:
            async with transaction(self.pool) as connection:
                await batches.give_back_room(connection, self.batch, self.unspent)
                await self.meter.give_back(connection)
                await batches.finish(connection, self.batch, left, waits_for=waits_for, not_before=not_before)
        else:
            async with self.pool.acquire() as connection:  # one statement: a transaction of its own
                await batches.finish(connection, self.batch, left, waits_for=waits_for, not_before=not_before)
        metrics.batch_finished(self.batch.channel, left=len(left))

    def _must_stop(self) -> bool:
        lease_left = self.sizes.lease_s - self.elapsed()
        over = self.stopping() or self.untried or self.meter.dry
        return over or self.elapsed() > self.sizes.deadline_s or lease_left < _MARGIN_S

    def _window(self) -> int:
        return min(self.sizes.window, self.publisher.limits.window)

    async def _open(self, window: Sequence[Member]) -> tuple[Gate, list[Member]]:
        reachable = [one for one in window if one.address is not None]
        self._end([one for one in window if one.address is None], State.SUPPRESSED, "erased")
        async with self.pool.acquire() as connection:
            gate = await batches.open_window(
                connection, self.batch, [one.recipient_id for one in reachable], self.meter.opening(reachable)
            )
        self.meter.heard(gate.paused)
        if gate.stop or gate.held or not gate.ours:
            return gate, reachable
        reasons = dict(gate.suppressed)
        for member in reachable:
            if member.recipient_id in reasons:
                self._end([member], State.SUPPRESSED, reasons[member.recipient_id])
        out = reasons.keys() | gate.capped | gate.limited
        return gate, [one for one in reachable if one.recipient_id not in out]

    def _end(self, members: Sequence[Member], state: State, reason: str) -> None:
        self.recorder.add(*(outcomes.not_sent(one, state, reason, self.now()) for one in members))

    async def _send(self, members: Sequence[Member]) -> None:
        by_key: dict[str, Member] = {}
        messages: list[Message] = []
        for member in members:
            try:
                message = self.composer.compose(self.subject, member)
            except Permanent as refused:
                self._report(member, refused)
            except TemplateError as error:
                log.error("template_failed", order=self.batch.order_id, fault=str(error))
                self._report(member, Transient(f"the template failed: {error}", code="template", retry_after=60))
            except Exception as error:  # a defect of ours must hold up nobody else, and is tried again once mended
                log.exception("composing_failed", order=self.batch.order_id)
                self._report(
                    member, Transient(f"Tambour failed: {type(error).__name__}", code="defect", retry_after=60)
                )
            else:
                by_key[message.key] = member
                messages.append(message)
        within = min(self.sizes.deadline_s, self.sizes.lease_s - _MARGIN_S - self.elapsed())
        if within <= 0:  # another owner may have the batch at any moment
            for member in by_key.values():
                self._report(member, Untried("composing it took until the lease's end"))
        elif messages:
            await hand_over(
                self.publisher,
                messages,
                lambda key, outcome: self._report(by_key[key], outcome),
                within=within,
                grant=self.meter.grant,
            )

    def _report(self, member: Member, outcome: Outcome) -> None:
        if isinstance(outcome, Receipt):
            self.recorder.add(outcomes.taken(member, outcome, self.now()))
            return
        record = outcomes.record_of(member, outcome, self.given(member))
        if record is None:
            self.meter.not_handed_over(member, outcome, self.now())
            self.untried |= not isinstance(outcome, NotYet)
            self.unspent += 1
            self.left.append(member.recipient_id)
        else:
            self.recorder.add(record)

    async def _unclear_first(self) -> list[Member]:
        """Those to send in this turn, once what an earlier owner left unclear is recorded."""
        again: list[Member] = []
        for member in self.batch.unclear:
            record, now = outcomes.interrupted(member, self.given(member))
            self.recorder.add(record)
            before = self.unknowns.get(member.recipient_id, Unknowns(0, self.batch.unclear_since))
            self.unknowns[member.recipient_id] = Unknowns(before.times + 1, before.since)
            if now:
                again.append(replace(member, standing=standing(record.state, record.attempt), tries=member.tries + 1))
        if self.batch.unclear:
            metrics.window_interrupted(self.batch.channel, again=len(again))
            log.warning("batch_was_interrupted", batch=self.batch.id, epoch=self.batch.epoch, unclear=len(again))
            await self.recorder.flush()
            async with transaction(self.pool) as connection:
                await batches.settle_window(connection, self.batch)
        plain = [one for one in self.batch.members if one.state is not State.UNKNOWN]
        asked: list[Member] = []
        for member in (one for one in self.batch.members if one.state is State.UNKNOWN):
            if self._must_stop():
                self.left.append(member.recipient_id)
            elif await self._goes_out_again(member):
                asked.append(member)
        return [*again, *asked, *plain]

    async def _goes_out_again(self, member: Member) -> bool:
        """Whether an unknown delivery whose pause is over is sent again; if not, what became of it is recorded."""
        given = self.given(member)
        if given.now >= given.expires:
            self._end([member], State.EXPIRED, "expired")  # nobody can act on it any more
            return False
        step = on_its_turn(given.rule, times=given.unknowns, lane=given.lane, can_look_up=given.can_look_up)
        if step is Step.LOOK_UP:
            return await self._never_seen(member, self._asked(member))
        if step is Step.OFFICER:
            self.recorder.add(outcomes.ask_officer(member, given))
        return step is Step.SEND

    async def _asked(self, member: Member) -> Receipt | None:
        """What the provider says of the member's message: by its key, then by its words where it can be searched."""
        assert isinstance(self.publisher, LooksUp)  # or the step would be another
        found = await self.publisher.look_up(key_of(self.batch.order_id, member), member.address or "")
        if found is not None or not isinstance(self.publisher, Finds):
            return found
        try:
            message = self.composer.compose(self.subject, member)
        except (Permanent, TemplateError):
            return None  # sending says what is wrong with it
        return await self.publisher.find(message, self.unclear(member).since)

    async def _never_seen(self, member: Member, question: Awaitable[Receipt | None]) -> bool:
        """The provider's answer; True when it has never seen the message, so that sending it repeats nothing."""
        try:
            found = await question
        except Permanent:
            self.recorder.add(outcomes.ask_officer(member, self.given(member)))  # it can never be asked
            return False
        except PublishError as error:
            if error.code == CANNOT_SAY:
                return self._without_asking(member, error)
            self._wait(member, error, self.now() + timedelta(minutes=1))
            return False
        if found is not None:
            self._report(member, found)
        return found is None

    def _without_asking(self, member: Member, error: PublishError) -> bool:
        """Whether to send again what nobody can be asked about: as if the channel could not be asked at all."""
        given = self.given(member)
        told_by = self.unclear(member).since + resolve_after(given.lane)
        if given.now < told_by:
            self._wait(member, error, told_by)
            return False
        step = on_its_turn(given.rule, times=given.unknowns, lane=given.lane, can_look_up=False)
        if step is Step.OFFICER:
            self.recorder.add(outcomes.ask_officer(member, given))
        return step is Step.SEND

    def _wait(self, member: Member, error: PublishError, until: datetime) -> None:
        due = Due("resolve", min(until, self.batch.expires))
        attempt = attempt_of(member.standing)
        self.recorder.add(
            Record(
                member.recipient_id,
                attempt,
                State.UNKNOWN,
                self.now(),
                code=error.code,
                reason=error.reason,
                due=due,
            )
        )
