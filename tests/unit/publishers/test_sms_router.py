"""The SMS channel over gateways that answer as told."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from publishers.accounts import Grant, Rate
from publishers.base import (
    CANNOT_SAY,
    Checks,
    Finds,
    Incoming,
    Limits,
    LooksUp,
    NotYet,
    Outcome,
    Permanent,
    PublishError,
    PublishesMany,
    Receipt,
    Receives,
    Transient,
    Unknown,
    Untried,
)
from publishers.sms import channel as sms
from publishers.sms.channel import Sms, SmsOptions
from publishers.sms.route import FIRST_PAUSE, order
from schemas.messages import Text
from tests.unit.publishers import fake_gateways
from tests.unit.publishers.fake_gateways import GATEWAYS, Clock, Known

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    GATEWAYS.clear()
    classes = {"http": "Known", "searched": "Searched", "listening": "Listening"}
    monkeypatch.setattr(
        sms, "KINDS", {kind: (fake_gateways.__name__, "FakeOptions", name) for kind, name in classes.items()}
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


def channel(clock: Clock, **gateways: dict[str, Any]) -> Sms:
    """The channel over these gateways."""
    given = {name: {"kind": "http", "name": name, **more} for name, more in gateways.items()}
    return Sms(SmsOptions.model_validate({"gateways": given}), clock=clock)


def text(key: str = "1-1.1") -> Text:
    return Text(key, "VALMERANDE", "+33639980001", "Rue barrée")


def preferring(name: str, *, of: tuple[str, ...] = ("one", "two")) -> Text:
    """A message whose key prefers that gateway."""
    keys = (f"{number:x}-1.1" for number in range(1000))
    return text(next(key for key in keys if order(key, dict.fromkeys(of, 1))[0] == name))


async def told(publisher: Sms, message: Text) -> Outcome:
    try:
        return await publisher.publish(message)
    except PublishError as error:
        return error


def test_it_is_all_that_the_hub_can_use(clock: Clock) -> None:
    publisher = channel(clock, one={"concurrency": 3}, two={"concurrency": 4})
    for protocol in (PublishesMany, LooksUp, Finds, Receives, Checks):
        assert isinstance(publisher, protocol)
    assert publisher.limits == Limits(window=100, concurrency=7)


async def test_same_key_goes_to_the_same_gateway_and_its_name_stands_before_the_reference(clock: Clock) -> None:
    publisher = channel(clock, one={}, two={})
    for name in ("one", "two", "one"):
        receipt = await publisher.publish(preferring(name))
        assert receipt.reference is not None and receipt.reference.startswith(f"{name}:id-")
    assert len(GATEWAYS["one"].taken) == 2 and len(GATEWAYS["two"].taken) == 1


@pytest.mark.parametrize(
    "error", [Untried("nobody there"), Transient("busy", code="throttled"), Transient("no credit", code="no_credit")]
)
async def test_what_was_surely_not_taken_goes_to_the_next(clock: Clock, error: PublishError) -> None:
    publisher = channel(clock, one={}, two={})
    publisher_one: Known = GATEWAYS["one"]
    publisher_one.fails(error)
    message = preferring("one")
    assert await told(publisher, message) == Receipt(reference="two:id-1")
    assert GATEWAYS["two"].taken == [message.key]


@pytest.mark.parametrize("error", [Unknown("no answer"), Permanent("no such number", code="invalid_number")])
async def test_what_may_be_out_there_or_is_refused_for_good_never_goes_to_the_next(
    clock: Clock, error: PublishError
) -> None:
    publisher = channel(clock, one={}, two={})
    GATEWAYS["one"].fails(error)
    assert await told(publisher, preferring("one")) == error
    assert GATEWAYS["two"].taken == []


async def test_expired_message_is_offered_to_nobody_else(clock: Clock) -> None:
    publisher = channel(clock, one={}, two={})
    GATEWAYS["one"].fails(Untried("expired", code="expired"), times=5)
    for _ in range(5):
        assert await told(publisher, preferring("one")) == Untried("expired", code="expired")
    assert GATEWAYS["two"].taken == []
    assert (await publisher.publish(preferring("one"))).reference == "one:id-1", "and says nothing of its health"


async def test_when_all_fail_the_error_that_counts_as_a_try_is_told(clock: Clock) -> None:
    publisher = channel(clock, one={}, two={})
    GATEWAYS["one"].fails(Untried("nobody there"))
    GATEWAYS["two"].fails(Transient("busy", code="throttled"))
    assert await told(publisher, preferring("one")) == Transient("busy", code="throttled")
    GATEWAYS["one"].fails(Untried("nobody there"))
    GATEWAYS["two"].fails(Untried("nor here"))
    assert await told(publisher, preferring("one")) == Untried("nobody there")


async def test_gateway_that_fails_is_left_alone_then_probed_then_used_again(clock: Clock) -> None:
    publisher = channel(clock, one={}, two={})
    message = preferring("one")
    GATEWAYS["one"].fails(Unknown("no answer"), times=4)
    with capture_logs() as logs:
        for _ in range(3):
            assert isinstance(await told(publisher, message), Unknown)
        assert await told(publisher, message) == Receipt(reference="two:id-1")
        clock.now = 2.0
        assert isinstance(await told(publisher, message), Unknown), "the probe"
        assert await told(publisher, message) == Receipt(reference="two:id-2")
        clock.now = 5.9
        assert await told(publisher, message) == Receipt(reference="two:id-3")
        clock.now = 6.0
        assert await told(publisher, message) == Receipt(reference="one:id-1")
    assert [line["event"] for line in logs] == ["sms.gateway_shut", "sms.gateway_shut", "sms.gateway_back"]


async def test_only_one_message_at_a_time_probes(clock: Clock) -> None:
    publisher = channel(clock, one={}, two={})
    message = preferring("one")
    GATEWAYS["one"].fails(Unknown("no answer"), times=3)
    for _ in range(3):
        await told(publisher, message)
    clock.now = 2.0
    found = await asyncio.gather(*(told(publisher, message) for _ in range(5)))
    names = [one.reference.partition(":")[0] for one in found if isinstance(one, Receipt) and one.reference]
    assert sorted(names) == ["one", "two", "two", "two", "two"]


async def test_probe_that_is_cancelled_leaves_the_next_message_to_probe(clock: Clock) -> None:
    publisher = channel(clock, one={}, two={})
    message = preferring("one")
    GATEWAYS["one"].fails(Unknown("no answer"), times=3)
    for _ in range(3):
        await told(publisher, message)
    clock.now = 2.0
    probe = asyncio.create_task(told(publisher, message))
    await asyncio.sleep(0)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert await told(publisher, message) == Receipt(reference="one:id-1")


async def test_trouble_with_one_number_says_nothing_of_the_gateway(clock: Clock) -> None:
    publisher = channel(clock, one={}, two={})
    GATEWAYS["one"].fails(Transient("not to that country", code="foreign"), times=9)
    for _ in range(9):
        assert isinstance(await told(publisher, preferring("one")), Receipt)
    assert await told(publisher, preferring("one")) == Receipt(reference="one:id-1")


async def test_last_gateway_is_tried_however_it_has_been_doing(clock: Clock) -> None:
    publisher = channel(clock, one={})
    GATEWAYS["one"].fails(Untried("nobody there"), times=50)
    for _ in range(50):
        assert await told(publisher, text()) == Untried("nobody there")
    assert await told(publisher, text()) == Receipt(reference="one:id-1")


async def test_spare_gets_only_what_the_others_cannot_take(clock: Clock) -> None:
    publisher = channel(clock, one={}, spare={"weight": 0})
    for number in range(50):
        await publisher.publish(text(f"{number:x}-1.1"))
    assert GATEWAYS["spare"].taken == []
    GATEWAYS["one"].fails(Untried("nobody there"))
    assert await told(publisher, text()) == Receipt(reference="spare:id-1")


async def test_looking_up_asks_every_gateway_that_can_be_asked(clock: Clock) -> None:
    publisher = channel(clock, one={}, two={}, three={"kind": "searched"})
    message = text()
    assert await publisher.look_up(message.key, message.recipient) is None
    GATEWAYS["two"].taken.append(message.key)
    assert await publisher.look_up(message.key, message.recipient) == Receipt(reference="two:known")
    GATEWAYS["one"].silent = True
    assert await publisher.look_up(message.key, message.recipient) == Receipt(reference="two:known")
    GATEWAYS["two"].taken.clear()
    with pytest.raises(Transient, match="one: is away"):
        await publisher.look_up(message.key, message.recipient)


async def test_only_the_gateway_that_left_it_unclear_is_asked_when_that_is_known(clock: Clock) -> None:
    publisher = channel(clock, one={}, two={})
    message = preferring("one")
    GATEWAYS["one"].fails(Unknown("no answer"))
    await told(publisher, message)
    GATEWAYS["two"].silent = True
    assert await publisher.look_up(message.key, message.recipient) is None
    assert (GATEWAYS["one"].asked, GATEWAYS["two"].asked) == ([message.key], [])


async def test_gateway_at_which_a_deadline_cut_it_short_is_remembered_too(clock: Clock) -> None:
    publisher = channel(clock, one={}, two={})
    message = preferring("one")
    reached = asyncio.Event()
    GATEWAYS["one"].waits = reached
    sending = asyncio.create_task(told(publisher, message))
    await reached.wait()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert await publisher.look_up(message.key, message.recipient) is None
    assert (GATEWAYS["one"].asked, GATEWAYS["two"].asked) == ([message.key], [])


async def test_of_two_that_cannot_say_the_one_that_may_answer_yet_is_told(clock: Clock) -> None:
    publisher = channel(clock, one={}, two={})
    GATEWAYS["one"].silent = GATEWAYS["two"].silent = True
    for hopeless, error in ((Transient("no id", code=CANNOT_SAY), Transient), (Permanent("no right"), Transient)):
        GATEWAYS["one"].says = hopeless
        with pytest.raises(error, match="two: is away"):
            await publisher.look_up("1-1.1", "+33639980001")
    GATEWAYS["two"].silent = False
    with pytest.raises(Permanent, match="one: no right"):
        await publisher.look_up("1-1.1", "+33639980001")


async def test_gateway_that_keeps_no_key_is_searched_by_the_message(clock: Clock) -> None:
    publisher = channel(clock, one={}, two={"kind": "searched"})
    message, since = preferring("two"), datetime(2026, 11, 24, tzinfo=UTC)
    assert await publisher.find(message, since) is None
    await publisher.publish(message)
    assert await publisher.find(message, since) == Receipt(reference="two:found")
    GATEWAYS["two"].fails(Unknown("no answer"))
    await told(publisher, message)
    assert await publisher.look_up(message.key, message.recipient) is None, "left to find"
    assert GATEWAYS["one"].asked == []


async def test_receipts_over_our_own_connections_carry_the_gateways_name(clock: Clock) -> None:
    publisher = channel(clock, one={}, two={"kind": "listening"})
    kept: list[Incoming] = []
    came = asyncio.Event()

    async def keep(incoming: Incoming) -> None:
        kept.append(incoming)
        came.set()

    listening = asyncio.create_task(publisher.receive(keep))
    async with asyncio.timeout(5):
        await came.wait()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert kept == [Incoming("receipt", b"{}", reference="two:42", arrival="two:1")]


async def test_cancelled_at_a_gateway_that_does_not_tell_is_unknown(clock: Clock) -> None:
    publisher = channel(clock, two={"kind": "listening", "concurrency": 1})
    outcomes: dict[str, Outcome] = {}
    sending = asyncio.create_task(publisher.publish_many([text("a"), text("b")], outcomes.__setitem__))
    await GATEWAYS["two"].reached.wait()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert {key: type(one) for key, one in outcomes.items()} == {"a": Unknown, "b": Untried}


async def test_check_names_the_gateways_and_closing_closes_them(clock: Clock) -> None:
    publisher = channel(clock, one={}, two={})
    assert [(found.name, found.ok) for found in await publisher.check()] == [("one", True), ("two", True)]
    await publisher.aclose()
    assert GATEWAYS["one"].closed and GATEWAYS["two"].closed


@pytest.mark.parametrize(
    ("gateways", "where"),
    [
        ({}, "gateways"),
        ({"Main": {"kind": "http", "name": "x"}}, "gateways.Main"),
        ({"a:b": {"kind": "http", "name": "x"}}, "gateways.a:b"),
        ({"main": {"kind": "pigeon", "name": "x"}}, "gateways.main"),
        ({"main": "http"}, "gateways.main"),
        ({"main": {"kind": "http"}}, "gateways.main.name"),
        ({"main": {"kind": "http", "name": "x", "weight": -1}}, "gateways.main.weight"),
        ({"main": {"kind": "http", "name": "x", "price_per_segment": "cheap"}}, "gateways.main.price_per_segment"),
        ({"main": {"kind": "http", "name": "x", "currency": "euro"}}, "gateways.main.currency"),
        ({"main": {"kind": "http", "name": "x", "tokne": "x"}}, "gateways.main.tokne"),
    ],
)
def test_faulty_option_is_named_with_its_gateway(gateways: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as raised:
        SmsOptions.model_validate({"gateways": gateways})
    [fault] = raised.value.errors()
    assert ".".join(map(str, fault["loc"])).startswith(where)


async def test_gateway_takes_no_more_than_it_was_granted_and_the_other_takes_over(clock: Clock) -> None:
    publisher = channel(clock, one={"kind": "http", "per_second": 5}, two={"kind": "http"})
    assert publisher.rates == {"one": Rate(5, 10)}
    outcomes: dict[str, Outcome] = {}
    grant = Grant({"one": 3})
    await publisher.publish_within([text(f"{n}-1.1") for n in range(40)], outcomes.__setitem__, grant)
    assert len(GATEWAYS["one"].taken) == 3 and len(GATEWAYS["two"].taken) == 37
    assert grant.left == {"one": 0}


async def test_what_no_gateway_may_take_now_is_untried_and_what_was_not_used_is_left_in_the_grant(clock: Clock) -> None:
    publisher = channel(clock, one={"kind": "http", "per_second": 5})
    GATEWAYS["one"].fails(Untried("nobody listens"))
    outcomes: dict[str, Outcome] = {}
    grant = Grant({"one": 3})
    await publisher.publish_within([text(f"{n}-1.1") for n in range(5)], outcomes.__setitem__, grant)
    assert sum(isinstance(outcome, Receipt) for outcome in outcomes.values()) == 2
    assert sum(type(outcome) is Untried for outcome in outcomes.values()) == 3
    assert grant.left == {"one": 1}, "nothing of one was handed over"


async def test_gateway_that_asks_for_a_pause_is_not_asked_before_its_end_though_it_is_the_last(clock: Clock) -> None:
    publisher = channel(clock, one={"kind": "http"})
    GATEWAYS["one"].fails(Transient("too much", code="throttled", retry_after=60))
    assert isinstance(await told(publisher, text()), Transient)
    [news] = publisher.rest.news()
    assert (news.account, news.seconds, news.reason) == ("one", 60.0, "too much")
    assert publisher.shut() == {"one": True} and publisher.weights() == {}
    clock.now += 20
    assert await told(publisher, text()) == NotYet(
        "every gateway has asked for a pause", code="pause", retry_after=40.0
    )
    clock.now += 40
    assert isinstance(await told(publisher, text()), Receipt)
    assert publisher.shut() == {"one": False}


async def test_pause_that_another_worker_was_asked_for_moves_messages_to_the_other_gateway(clock: Clock) -> None:
    publisher = channel(clock, one={"kind": "http"}, two={"kind": "http"})
    publisher.rest.learn("one", 30)
    assert publisher.weights() == {"two": 1}
    for n in range(10):
        assert isinstance(await told(publisher, text(f"{n}-1.1")), Receipt)
    assert len(GATEWAYS["two"].taken) == 10 and GATEWAYS["one"].taken == []


async def test_circuit_breaker_shows_from_the_third_failure_to_the_first_success(clock: Clock) -> None:
    publisher = channel(clock, one={"kind": "http"}, two={"kind": "http"})
    GATEWAYS["one"].fails(Transient("is away"), 3)
    shut = []
    for _ in range(4):
        await told(publisher, preferring("one"))
        shut.append(publisher.shut()["one"])
    assert shut == [False, False, True, True]
    clock.now += FIRST_PAUSE
    assert publisher.weights() == {"one": 1, "two": 1}
    await told(publisher, preferring("one"))
    assert publisher.shut() == {"one": False, "two": False}
    assert publisher.rest.news() == [], "that it fails is this worker's own experience"
