"""Handing a window over: every message gets exactly one outcome, whatever the publisher does."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from hub.handover import hand_over
from publishers.base import Limits, Outcome, Permanent, Receipt, Report, Transient, Unclear, Unknown, Untried
from schemas.messages import Message, Text

pytestmark = pytest.mark.unit

MESSAGES = [Text(f"1-{number}.1", "VALMERANDE", "+33639980101", "Rue barrée") for number in range(1, 6)]
KEYS = [message.key for message in MESSAGES]


class OneByOne:
    """A publisher whose answer to each key is given: an outcome, an exception, or an event it waits for."""

    channel = "sms"
    unclear = Unclear.WAIT

    def __init__(self, answers: dict[str, Any] | None = None, concurrency: int = 10) -> None:
        self.answers = answers or {}
        self.limits = Limits(concurrency=concurrency)
        self.at_once = self.most_at_once = 0

    async def publish(self, message: Message, /) -> Receipt:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            answer = self.answers.get(message.key, Receipt(message.key))
            if isinstance(answer, asyncio.Event):
                await answer.wait()
                answer = Receipt(message.key)
            if isinstance(answer, BaseException):
                raise answer
            assert isinstance(answer, Receipt)
            return answer
        finally:
            self.at_once -= 1

    async def aclose(self) -> None:
        self.answers = {}


class Many(OneByOne):
    """A publisher that takes many at once and does with them what ``does`` says."""

    def __init__(self, does: Any) -> None:
        super().__init__()
        self.does = does

    async def publish_many(self, messages: Sequence[Message], report: Report, /) -> None:
        await self.does(messages, report)


async def outcomes(publisher: Any, within: float = 5.0) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}

    def report(key: str, outcome: Outcome) -> None:
        assert key not in found, f"{key} is told twice"
        found[key] = outcome

    await hand_over(publisher, MESSAGES, report, within=within)
    assert sorted(found) == KEYS
    return found


async def test_each_message_has_its_own_outcome() -> None:
    refused, busy = Permanent("no"), Transient("busy")
    found = await outcomes(OneByOne({KEYS[1]: refused, KEYS[3]: busy}))
    assert found == {key: Receipt(key) for key in KEYS} | {KEYS[1]: refused, KEYS[3]: busy}


async def test_no_more_at_once_than_the_channel_takes() -> None:
    publisher = OneByOne(concurrency=2)
    await outcomes(publisher)
    assert publisher.most_at_once == 2


async def test_at_the_deadline_what_was_begun_is_unknown_and_the_rest_untried() -> None:
    publisher = OneByOne({KEYS[1]: asyncio.Event()}, concurrency=1)
    found = await outcomes(publisher, within=0.02)
    assert found[KEYS[0]] == Receipt(KEYS[0])
    assert type(found[KEYS[1]]) is Unknown
    assert [type(found[key]) for key in KEYS[2:]] == [Untried] * 3


async def test_defect_is_transient_for_its_message_and_those_not_begun() -> None:
    found = await outcomes(OneByOne({KEYS[1]: KeyError("a bug")}, concurrency=1))
    assert found[KEYS[0]] == Receipt(KEYS[0])
    assert [type(found[key]) for key in KEYS[1:]] == [Transient] * 4


async def test_what_a_defect_cuts_short_is_unknown() -> None:
    found = await outcomes(OneByOne({KEYS[0]: asyncio.Event(), KEYS[1]: KeyError("a bug")}, concurrency=2))
    assert type(found[KEYS[0]]) is Unknown
    assert [type(found[key]) for key in KEYS[1:]] == [Transient] * 4


async def test_cancelled_from_outside_tells_every_outcome_before_it_ends() -> None:
    publisher = OneByOne({KEYS[0]: asyncio.Event()}, concurrency=1)
    found: dict[str, Outcome] = {}
    task = asyncio.create_task(hand_over(publisher, MESSAGES, found.__setitem__, within=60))
    while not publisher.at_once:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert type(found[KEYS[0]]) is Unknown
    assert [type(found[key]) for key in KEYS[1:]] == [Untried] * 4


async def test_publisher_of_many_that_forgets_some_leaves_them_unknown() -> None:
    async def forgets(messages: Sequence[Message], report: Report) -> None:
        report(messages[0].key, Receipt("a"))

    found = await outcomes(Many(forgets))
    assert found[KEYS[0]] == Receipt("a")
    assert [type(found[key]) for key in KEYS[1:]] == [Unknown] * 4


async def test_publisher_of_many_that_repeats_itself_is_believed_the_first_time() -> None:
    async def repeats(messages: Sequence[Message], report: Report) -> None:
        for message in messages:
            report(message.key, Receipt("first"))
            report(message.key, Permanent("second"))
        report("a stranger", Receipt("third"))

    assert set((await outcomes(Many(repeats))).values()) == {Receipt("first")}


async def test_publisher_of_many_that_fails_leaves_the_rest_to_be_tried_again() -> None:
    async def fails(messages: Sequence[Message], report: Report) -> None:
        report(messages[0].key, Receipt("a"))
        raise ZeroDivisionError

    found = await outcomes(Many(fails))
    assert [type(found[key]) for key in KEYS] == [Receipt, *[Transient] * 4]


async def test_publisher_of_many_that_is_silent_is_unknown_at_the_deadline() -> None:
    async def silent(messages: Sequence[Message], report: Report) -> None:
        await asyncio.Event().wait()

    assert {type(outcome) for outcome in (await outcomes(Many(silent), within=0.02)).values()} == {Unknown}
