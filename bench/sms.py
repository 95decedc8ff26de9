"""``bench sms``: one announcement by SMS over SMPP, from the event on Kafka to every receipt recorded.

Beside it, in each round, the ceiling: our SMPP session alone with ready PDUs, to the same server (npm's smpp).
"""

import asyncio
import time
from dataclasses import dataclass, replace

from bench import rows, telling, town
from bench.alone import run as run_alone
from bench.hub import Hub, hub
from bench.report import Report, Round
from bench.smsc import Smsc
from bench.usage import Used
from launcher.console import say
from launcher.faults import Fault
from launcher.outside import outside
from schemas.deliveries import State
from schemas.lanes import Lane
from store.database import Connection, connect

_AREA = "ville"
_SENDER = "deliver-bulk"
_SLOWEST_PER_S = 50  # slower than that, something is wrong
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for; ``window``: messages that may await the SMSC's answer at a time."""

    recipients: int
    window: int
    rounds: int


@dataclass
class _Bench:
    asked: Asked
    running: Hub
    connection: Connection
    smsc: Smsc


async def run(asked: Asked) -> Report:
    """Measure. Raises Fault when Node.js or npm is absent, or when it takes far too long."""
    smsc = Smsc.find()
    report = Report("sms", {"recipients": asked.recipients, "window": asked.window})
    async with hub(extra=smsc.settings(asked.window), beside=[smsc.program]) as running:
        connection = await connect(running.dsn)
        try:
            say(f"Loading {asked.recipients:,} telephones…")
            authority = await town.found(connection, [_AREA, telling.WARM_UP])
            await town.subscribe_phones(connection, authority, asked.recipients, _AREA)
            await telling.warm_up(running, connection, authority, channel="sms")
            bench = _Bench(asked, running, connection, smsc)
            for number in range(1, asked.rounds + 1):
                report.rounds.append(await _round(bench, number))
        finally:
            await connection.close()
        report.faults += running.faults
    report.notes += [
        "submits_per_s: from the event on Kafka until every SMS is recorded as taken by the SMSC (fsync on)",
        "receipts_per_s: the same, until the receipt of every SMS is recorded at its delivery",
        "ceiling_per_s: our SMPP session alone, ready PDUs, no receipts",
        "the SMSC (npm's smpp, on Node.js) shares this machine's cores",
    ]
    return report


async def _round(bench: _Bench, number: int) -> Round:
    asked = bench.asked
    alone = await run_alone("bench.sms_ceiling", bench.smsc.port, asked.recipients, asked.window)
    found = await _send(bench, f"sms-{number}")
    submits, receipts = found.figures["submits_per_s"], found.figures["receipts_per_s"]
    say(f"  round {number}: {submits:,.0f} submits/s, {receipts:,.0f} with receipts; ceiling {alone.per_s:,.0f}")
    figures = {**found.figures, "ceiling_per_s": alone.per_s, "of_ceiling": submits / alone.per_s}
    return replace(found, figures=figures, used={**found.used, "ceiling": Used(alone.cpu_s, alone.peak_mb)})


async def _send(bench: _Bench, name: str) -> Round:
    asked, running, connection = bench.asked, bench.running, bench.connection
    within_s = 60 + asked.recipients / _SLOWEST_PER_S
    before = await bench.smsc.counted()
    async with outside(running.bootstrap) as system, running.measured() as measured:
        await system.emit([town.notice(name, Lane.BULK, _AREA, channels=["sms"])])
        await telling.until_done(connection, name, within_s)
        sent_s = time.monotonic() - measured.began
        early = await _until_bound(bench, before.acknowledged + asked.recipients, within_s)
        receipts_s = time.monotonic() - measured.began
    states = await rows.tally(connection, name)
    after = await bench.smsc.counted()
    if states != {State.DELIVERED.word: asked.recipients}:
        running.faults.append(f"{name}: not every delivery has its receipt: {states}")
    if after.submits - before.submits != asked.recipients:
        running.faults.append(f"{name}: the SMSC took {after.submits - before.submits:,} messages")
    sender, core = measured.round.used[_SENDER], measured.round.used["core"]
    return measured.with_figures(
        {
            "submits_per_s": asked.recipients / sent_s,
            "receipts_per_s": asked.recipients / receipts_s,
            "seconds": receipts_s,
            "sent": sum(states.values()),
            "delivered": states.get(State.DELIVERED.word, 0),
            "unaccounted": asked.recipients - states.get(State.DELIVERED.word, 0),
            "repeated": after.submits - before.submits - asked.recipients,
            "receipts_refused": after.refused - before.refused,
            "receipts_early": early,
            "worker_rss_mb": sender.peak_mb,
            "core_rss_mb": core.peak_mb,
            "core_cpu_us_per_sms": core.cpu_s / asked.recipients * 1e6,
            "worker_cpu_us_per_sms": sender.cpu_s / asked.recipients * 1e6,
            "outbox_left": await rows.outbox(connection),
        }
    )


async def _until_bound(bench: _Bench, acknowledged: int, within_s: float) -> int:
    """Wait until every receipt was taken and is bound; the most that were seen to be before their delivery's record."""
    deadline, early = time.monotonic() + within_s, 0
    while time.monotonic() < deadline:
        counted = await bench.smsc.counted()
        unread, unbound = await rows.unread_receipts(bench.connection)
        early = max(early, unbound)
        if counted.acknowledged >= acknowledged and not unread and not unbound:
            return early
        await asyncio.sleep(_LOOK_EVERY_S)
    raise Fault(
        f"Not every receipt was recorded within {within_s:.0f} s: {counted.acknowledged:,} of {acknowledged:,} were"
        f" taken, {unread:,} are unread, {unbound:,} about nothing known.",
        "The log of the core says why.",
    )
