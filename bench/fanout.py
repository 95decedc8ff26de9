"""``bench fanout``: how fast an audience becomes deliveries, and whether a larger one costs more for each recipient.

A hold on the channel keeps everything from being dispatched, so that fan-out alone is measured. Time runs from the
order's row to the page that ends the audience, both by the database's clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench import rows, telling, town
from bench.hub import Hub, hub
from bench.report import Report, Round
from launcher.console import say
from launcher.outside import outside
from schemas.lanes import Lane
from store import holds
from store.database import Connection, connect

_SLOWEST_PER_S = 200
_LINEAR = 1.5  # times as much for each recipient as of the smallest audience


@dataclass(frozen=True, slots=True)
class Asked:
    """Sizes of audiences, and how often each is read."""

    recipients: Sequence[int]
    rounds: int


async def run(asked: Asked) -> Report:
    """Measure. Raises Fault when an audience takes far too long."""
    sizes = sorted(set(asked.recipients))
    report = Report("fanout", {"recipients": ",".join(map(str, sizes))})
    async with hub() as running:
        connection = await connect(running.dsn)
        try:
            for index, size in enumerate(sizes):
                say(f"Loading {size:,} subscribers…")
                code = _code(index)
                authority = await town.found(connection, [_area(size)], code=code)
                await town.subscribe(connection, authority, size, _area(size))
            await holds.place(connection, "channel", "email", "bench: fan-out alone is measured")
            for number in range(1, asked.rounds + 1):
                report.rounds.append(await _round(sizes, running, connection, number))
        finally:
            await connection.close()
        report.faults += running.faults
    report.notes += [
        "a hold on the channel keeps deliveries from being dispatched: every one is counted, and waits in one batch",
        "ceiling_per_s: as many rows by COPY over one connection, and nothing else",
        f"rows_per_s: of the largest audience; linear 1: a row of it costs at most {_LINEAR} times one of the cheapest",
    ]
    return report


async def _round(sizes: Sequence[int], running: Hub, connection: Connection, number: int) -> Round:
    figures: dict[str, float] = {}
    speeds: list[float] = []
    last: Round | None = None
    for index, size in enumerate(sizes):
        name = f"public-{number}-{size}"
        async with outside(running.bootstrap) as system, running.measured() as measured:
            await system.emit([town.notice(name, Lane.BULK, _area(size), code=_code(index))])
            await telling.until_fanned_out(connection, name, 60 + size / _SLOWEST_PER_S)
        found = await rows.account(connection, name)
        if not found.holds or found.recipients != size:
            running.faults.append(f"{name}: recipients, deliveries and batches don't agree: {found}")
        assert found.fanned_out is not None  # waited for
        speeds.append(size / (found.fanned_out - found.began).total_seconds())
        figures[f"rows_per_s_{size}"] = speeds[-1]
        figures[f"core_rss_mb_{size}"] = measured.round.used["core"].peak_mb
        figures[f"unaccounted_{size}"] = size - found.in_batches + found.astray
        say(f"  round {number}: {size:,} recipients at {speeds[-1]:,.0f} rows/s")
        last = measured.round
        await rows.forget(connection, name)
    assert last is not None  # there is one size at least
    ceiling = await rows.copy_alone(connection, sizes[-1])
    linear = float(max(speeds) <= _LINEAR * speeds[-1]) if len(speeds) > 1 else 1.0
    figures |= {
        "rows_per_s": speeds[-1],
        "ceiling_per_s": ceiling,
        "of_ceiling": speeds[-1] / ceiling,
        "core_rss_mb": figures[f"core_rss_mb_{sizes[-1]}"],
        "linear": linear,
    }
    return replace(last, figures=figures)


def _area(size: int) -> str:
    return f"zone-{size}"


def _code(index: int) -> str:
    """One authority a size: none reads past the subscribers of another."""
    return f"9601{index}"
