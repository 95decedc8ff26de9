"""Our own processes: killed, killed again, frozen, added and taken away."""

import asyncio
from collections.abc import Mapping

from launcher.chaos.hub import Hub
from launcher.chaos.scenario import Needs, Scenario
from store.standing import block_recording

BULK = {"Minor": 1}
"""Only the bulk lane: its one sender has all the work."""
MAIL = Needs(channels=frozenset({"email"}), people=30, sandbox=("--latency-ms", "20"))
"""A mail server that takes 20 ms for its answers, so that a sender is in mid-window whenever it is hit; an event about
all areas is for 300 people, hence two batches."""
_SENDER = "deliver-bulk"
TEXTS = Needs(channels=frozenset({"sms"}), people=30, sandbox=("--latency-ms", "50"))
_UNTIL_ASKED_S = 45.0
"""Past the lease (15 s), and the time that a gateway has to know what it took in (20 s)."""
_TIMES = 3
_UNRECORDED_S = 2.0
"""Up to: four windows of a hundred are through in 0.8 s at this mail server, and then none opens any more."""


async def core_killed(hub: Hub) -> None:
    """Intake, fan-out, dispatcher, clock and relay are one process: hit in the middle of all of it."""
    async with hub.load(60, 12):
        for _ in range(_TIMES):
            await hub.sending(messages=60)
            await hub.kill("core")


async def sender_killed(hub: Hub) -> None:
    """One sender of each lane, in the middle of a window."""
    async with hub.load(60, 12):
        for lane in ("routine", "bulk", "urgent"):
            await hub.sending(messages=40)
            await hub.kill(f"deliver-{lane}")


async def sender_killed_again(hub: Hub) -> None:
    """The worst moments we know: all that is in flight has been taken, and nothing of it could be recorded.

    Each time the batch begins anew with what is unclear, and is hit again. That is where the bound is reached.
    """
    async with hub.load(4, 1, areas=10, severities=BULK):
        for _ in range(_TIMES):
            await hub.sending(messages=hub.chance.randrange(5, 60))
            await _without_a_record(hub)
            await hub.kill(_SENDER)
            await hub.unblock()
    await hub.settle()
    await hub.take_away(_SENDER)  # it is started anew without the pauses that its supervisor has come to make
    await hub.bring_back(_SENDER)


async def sender_frozen(hub: Hub) -> None:
    """SIGSTOP past session and lease in mid-window, another worker beside it: it wakes up among batches of others."""
    other = await hub.another(_SENDER)
    async with hub.load(4, 2, areas=10, severities=BULK):
        await hub.sending(messages=hub.chance.randrange(5, 60))
        await _without_a_record(hub)
        await hub.freeze(_SENDER)
        await hub.unblock()
        await hub.thawed()
    await hub.settle()
    await hub.take_away(other)


async def sender_frozen_sms(hub: Hub) -> None:
    """The same where the gateway can be asked: it is, while the first one sleeps with half of its window in hand."""
    other = await hub.another(_SENDER)
    async with hub.load(6, 2, areas=10, severities=BULK):
        await hub.sending("sms", messages=hub.chance.randrange(20, 60))
        await hub.freeze(_SENDER, _UNTIL_ASKED_S)
        hub.may_repeat(0, "the gateway is asked, and the one that wakes up late hands nothing over any more")
        await hub.thawed()
    await hub.settle()
    await hub.take_away(other)


async def _without_a_record(hub: Hub) -> None:
    """Let the sender go on for a moment while nothing it does can be recorded."""
    await hub.block(block_recording)
    await asyncio.sleep(hub.chance.uniform(0, _UNRECORDED_S))


async def workers_come_and_go(hub: Hub) -> None:
    """Two more senders of a lane join while it works, and leave again: five times its partitions change hands."""
    async with hub.load(12, 20, areas=10, severities=BULK):
        await hub.sending()
        second = await hub.another(_SENDER, 2)
        await hub.sending(messages=300)
        third = await hub.another(_SENDER, 3)
        await hub.sending(messages=300)
        await hub.take_away(second)
        await hub.sending(messages=300)
        await hub.bring_back(second)
        await hub.sending(messages=300)
        await hub.take_away(third)
    await hub.settle()
    await hub.take_away(second)


async def _any_sender_killed(hub: Hub) -> None:
    await hub.kill(hub.chance.choice(("deliver-routine", "deliver-bulk", "deliver-urgent")))


async def _any_sender_frozen(hub: Hub) -> None:
    await hub.freeze(hub.chance.choice(("deliver-routine", "deliver-bulk", "deliver-urgent")))
    await hub.thawed()


async def _core_killed(hub: Hub) -> None:
    await hub.kill("core")


async def _one_more_for_a_while(hub: Hub) -> None:
    name = await hub.another("deliver-routine")
    await asyncio.sleep(hub.chance.uniform(5, 15))
    await hub.take_away(name)


SCENARIOS: Mapping[str, Scenario] = {
    "core-killed": Scenario(
        "the core killed three times in mid-work: nothing lost, nothing repeated",
        core_killed,
        strike=_core_killed,
    ),
    "sender-killed": Scenario(
        "a sender of each lane killed in mid-window: at most its windows are repeated, and only by mail",
        sender_killed,
        strike=_any_sender_killed,
    ),
    "sender-killed-again": Scenario(
        "one sender killed three times, all it has in flight taken and unrecorded: no mail goes out a third time",
        sender_killed_again,
        MAIL,
    ),
    "sender-frozen": Scenario(
        "a sender stopped past session and lease, another takes over: it is fenced when it wakes up",
        sender_frozen,
        MAIL,
        _any_sender_frozen,
    ),
    "sender-frozen-sms": Scenario(
        "a sender of SMS stopped until its gateways were asked, and all was sent by another: it sends nothing twice",
        sender_frozen_sms,
        TEXTS,
    ),
    "workers-come-and-go": Scenario(
        "senders of a lane join and leave while it works: nothing lost, nothing repeated by a rebalance",
        workers_come_and_go,
        MAIL,
        _one_more_for_a_while,
    ),
}
